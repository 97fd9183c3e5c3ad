"""Linear response against exact flips, exact Hessians and Monte Carlo, on a minute model."""

import dataclasses
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import MINUTE

from signmag_jax import measure
from signmag_jax.evidence import Estimate, InvalidInput
from signmag_jax.evidence.ratio import paired_ratio
from signmag_jax.measure import singles, sweep
from signmag_jax.measure.activations import membership
from signmag_jax.measure.comparison import RateLeverage
from signmag_jax.measure.drawn_damage import predicted_damage
from signmag_jax.measure.leverage import draws_of
from signmag_jax.measure.response_checks import paired_error
from signmag_jax.models import MATRICES, SITE_OF, token_nll

SHAPES = {name: (MINUTE.layers, *MINUTE.shapes()[name]) for name in MATRICES}
PLACES = [
    singles.Place(MATRICES.index(name), *(int(i) for i in where))
    for name, shape in SHAPES.items()
    for where in np.ndindex(shape)
]
SOME = PLACES[::40]
WINDOWS, PROBES = 16, 30


@pytest.fixture(scope="module")
def text(minute_text):
    return minute_text


@pytest.fixture(scope="module")
def found(minute, text):
    return measure.linear_response(minute, *text, probes=PROBES, singles=SOME, fraction=0.2)


@pytest.fixture(scope="module")
def weights(minute):
    return np.concatenate([np.asarray(minute.params["blocks"][name]).ravel() for name in MATRICES])


@pytest.fixture(scope="module")
def loss(minute, text):
    """Mean NLL over the evaluation windows as a function of all weights flattened."""

    def of(flat):
        sizes = np.cumsum([np.prod(shape) for shape in SHAPES.values()])[:-1].tolist()
        pieces = zip(SHAPES.items(), jnp.split(flat, sizes), strict=True)
        edited = {name: piece.reshape(shape) for (name, shape), piece in pieces}
        params = minute.params | {"blocks": minute.params["blocks"] | edited}
        return token_nll(MINUTE, params, jnp.asarray(text[1])).mean()

    return of


@pytest.fixture(scope="module")
def damage(weights, loss):
    """ΔNLL with each weight multiplied by 1 − 2·mask; one program, 500 masks at a time."""
    run = jax.jit(lambda masks: jax.lax.map(lambda m: loss(weights * (1 - 2 * m)) - loss(weights), masks))

    def of(masks):
        padded = np.pad(masks.astype(np.float64), ((0, -len(masks) % 500), (0, 0)))
        rows = [np.asarray(run(jnp.asarray(part))) for part in padded.reshape(-1, 500, weights.size)]
        return np.concatenate(rows)[: len(masks)]

    return of


@pytest.fixture(scope="module")
def diagonal(damage, weights):
    """`2 H_ii w_i²` of every weight, by central differences."""
    step = 1e-4 * np.eye(weights.size)
    return (damage(step) + damage(-step)) / (2 * 1e-8)


@pytest.fixture(scope="module")
def flips(damage, weights):
    return damage(np.eye(weights.size))


def pool_mask(found, pool):
    outlier = np.array([p.column in found.outliers[SITE_OF[p.name]][p.layer] for p in PLACES])
    return {"outlier": outlier, "rest": ~outlier, "all": np.ones_like(outlier)}[pool]


@pytest.mark.parametrize("pool", ["outlier", "rest", "all"])
def test_slopes_are_the_sum_of_exact_single_flips(found, flips, pool):
    slope = found.pools[pool].slope
    member = pool_mask(found, pool)
    truth = flips[member].sum()
    assert found.pools[pool].weights == member.sum()
    noise = found.pools[pool].probe_error
    # brackets leave a few percent of third order; twice or half the slope would be seen
    assert noise < 0.1 * abs(truth)
    assert abs(slope.value - truth) < 4 * noise + 0.08 * abs(truth)


def test_second_order_is_needed(found, flips):
    whole = found.pools["all"]
    truth = flips.sum()
    for wrong in (whole.first.value, whole.first.value + whole.second.value / 2, 2 * whole.slope.value):
        assert abs(wrong - truth) > 3 * abs(whole.slope.value - truth)


def test_singles_carry_their_exact_cost_and_nothing_else(found, flips):
    taken = [PLACES.index(place) for place in SOME]
    assert found.pools["all"].singles.value == pytest.approx(flips[taken].sum(), rel=1e-6)
    mean = sum(row.mean() for row in (found.known["outlier"], found.known["rest"]))
    assert mean == pytest.approx(flips[taken].sum(), rel=1e-6)


@pytest.mark.parametrize("part", ["slope", "first", "second", "singles", "gauss_newton"])
def test_columns_layers_and_matrices_add_up(found, part):
    def total(each):
        return np.sum(getattr(each, part).value)

    whole = total(found.pools["all"])
    assert total(found.layers) == pytest.approx(whole, rel=1e-9)
    assert total(found.pools["outlier"]) + total(found.pools["rest"]) == pytest.approx(whole, rel=1e-9)
    for table in (found.matrices, found.each, found.columns):
        assert sum(total(each) for each in table.values()) == pytest.approx(whole, rel=1e-9)
    column = found.columns["o_proj"]
    assert column.slope.value.shape == (MINUTE.layers, MINUTE.hidden)
    np.testing.assert_allclose(
        getattr(column, part).value.sum(axis=1), getattr(found.each["o_proj"], part).value
    )


def test_monte_carlo_of_independent_flips_meets_the_prediction(found, damage, weights):
    rate = 0.01
    masks = np.random.default_rng(5).random((6000, weights.size)) < rate
    cost = damage(masks)
    # the number of flips is known in the mean: as a control variate it removes its own scatter
    count = masks.sum(axis=1)
    measured = Estimate.of_samples(
        cost - np.polyfit(count, cost, 1)[0] * (count - rate * weights.size), estimator="mc"
    )
    predicted = found.damage("all", rate)
    assert measured.standard_error < 0.1 * predicted.value
    assert abs(measured.value - predicted.value) < 4 * measured.standard_error + 0.08 * predicted.value
    half = found.damage("all", rate / 2)
    assert abs(measured.value - half.value) > 4 * measured.standard_error + 0.08 * predicted.value


def test_hessian_probes_estimate_the_exact_diagonal(found, diagonal):
    free = diagonal.copy()
    free[[PLACES.index(place) for place in SOME]] = 0
    truth = {}
    for place, value in zip(PLACES, free, strict=True):
        truth.setdefault(place.name, np.zeros(SHAPES[place.name])[:, 0])[place.layer, place.column] += value
    distance = np.concatenate(
        [((c.second.value - truth[n]) / c.probe_error).ravel() for n, c in found.columns.items()]
    )
    assert np.abs(distance).max() < 5
    assert 0.7 < np.sqrt((distance**2).mean()) < 1.3
    whole = found.pools["all"]
    for wrong in (0.5 * free.sum(), 2 * free.sum(), 0.0):
        assert abs(whole.second.value - wrong) > 5 * whole.probe_error


def test_exactly_k_flips_by_enumeration(found):
    """All pairs of 12 weights of a random quadratic form, against slope and interaction."""
    rng = np.random.default_rng(2)
    size, w, gradient = 12, rng.normal(size=12), rng.normal(size=12)
    hessian = rng.normal(size=(12, 12)) + 3 * np.eye(12)
    hessian += hessian.T
    bent = 4 * hessian * np.outer(w, w)
    bracket = -2 * gradient * w + np.diag(bent) / 2
    pairs = [bracket[i] + bracket[j] + bent[i, j] for i, j in itertools.combinations(range(size), 2)]
    whole = dataclasses.replace(
        found.pools["all"], slope=Estimate.exact(bracket.sum()), weights=np.asarray(size)
    )
    interaction = Estimate.exact((bent.sum() - np.trace(bent)) / 2)
    exact = dataclasses.replace(
        found,
        pools={"all": whole},
        interaction={"all": interaction},
        samples={"all": np.full((1, 2), whole.slope.value)},
        pairs={"all": np.full((1, 2), interaction.value)},
    )
    k = exact.damage("all", 2 / size, exactly=True)
    independent = exact.damage("all", 2 / size)
    assert k.value == pytest.approx(np.mean(pairs), rel=1e-9)
    assert abs(independent.value - np.mean(pairs)) > 1e-3 * abs(np.mean(pairs))
    assert exact.without_replacement("all", 2 / size) == pytest.approx(k.value - independent.value, rel=1e-6)


def test_interaction_is_the_off_diagonal_of_the_hessian(found, damage, weights):
    free = np.ones(weights.size)
    free[[PLACES.index(place) for place in SOME]] = 0
    up, down = damage(np.stack([1e-4 * free, -1e-4 * free]))
    pairs, diagonal = found.interaction["all"].value, found.pools["all"].second.value
    assert pairs + diagonal == pytest.approx((up + down) / (2 * 1e-8), rel=1e-4)


def test_gauss_newton_and_hessian_differ_by_what_is_reported(found):
    whole = found.pools["all"]
    gap = whole.slope.value - whole.gauss_newton.value
    assert whole.difference.value == pytest.approx(gap, rel=1e-9)


def test_a_slope_that_is_not_resolved_says_so(found):
    plain = json.loads(json.dumps(found.to_json(), allow_nan=False))
    columns = found.columns["q_proj"].to_json()
    assert not np.all(columns["resolved"])
    assert np.shape(columns["slope"]["standard_error"]) == np.shape(columns["resolved"])
    assert plain["pools"]["all"]["resolved"] is True
    assert "16 windows" in plain["pools"]["all"]["slope"]["estimator"]


def test_resumption_gives_the_same_bits_and_cost_is_counted(minute, text, tmp_path, monkeypatch):
    calls = []
    real = sweep._one
    monkeypatch.setattr(sweep, "_one", lambda *a: calls.append(0) or real(*a))
    options = {"probes": 2, "singles": len(SOME), "fraction": 0.2, "resume": tmp_path}
    first = measure.linear_response(minute, *text, **options).to_json()
    # per window: the gradient, two probes of each matrix, three directions, and the flips
    assert len(calls) == WINDOWS * (1 + 2 * 2 + 3 + 1)
    (tmp_path / "record-00000004.json").write_text("{")
    again = measure.linear_response(minute, *text, **options).to_json()
    assert json.dumps(first) == json.dumps(again)
    cost = measure.MEASUREMENTS["linear-response"].passes(windows=4, window=1024, probes=2, singles=3)
    assert cost == 2 * (3 + 2 * (8 + 4) + 4 + 3 * 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probes": 1}, "probes >= 2"),
        ({"newton": "x"}, "newton in"),
        ({"layers": (9,)}, "layers in 0..1"),
        ({"singles": [singles.Place(0, 5, 0, 0)]}, "singles in the layers"),
        ({"singles": [singles.Place(0, 0, 99, 0)]}, "singles within q_proj, 8 × 8"),
    ],
)
def test_bad_options_are_refused(minute, text, change, message):
    with pytest.raises(InvalidInput, match=message):
        measure.linear_response(minute, *text, **change)


def test_text_that_chooses_may_not_score(minute, text):
    with pytest.raises(InvalidInput, match="disjoint"):
        measure.linear_response(minute, text[1][:2], text[1])


def test_columns_to_protect_first_are_those_of_largest_cost(found, flips):
    mapped = measure.ColumnMap.of(found)
    best = mapped.protect_first(5)
    slopes = [column.slope for column in best]
    assert slopes == sorted(slopes, reverse=True)
    assert all(column.slope > 3 * column.standard_error for column in best)
    truth = {}
    for place, cost in zip(PLACES, flips, strict=True):
        where = place.name, place.layer, place.column
        truth[where] = truth.get(where, 0.0) + cost
    exact = [truth[c.matrix, c.layer, c.column] for c in best]
    ranks = sorted(truth.values(), reverse=True)
    # of 116 columns; the Gauss–Newton ranking is not the exact one, but its best are among the best
    assert best
    assert min(exact) > ranks[len(ranks) // 4]
    assert sum(exact) > 0.7 * sum(ranks[: len(best)])
    plain = json.loads(json.dumps(mapped.to_json(), allow_nan=False))
    first = [each["column"] for each in plain["protect_first"][: len(best)]]
    assert first == [each.column for each in best]
    shares = mapped.resolved_share()
    assert shares["gauss_newton"] >= shares["hessian"]
    with pytest.raises(InvalidInput, match="count >= 1"):
        mapped.protect_first(0)


def test_leverage_is_the_ratio_of_pools_or_says_why_not(found):
    outlier, rest = (found.samples[name] / found.pools[name].weights for name in ("outlier", "rest"))
    for name, table in (("outlier", outlier), ("rest", rest)):
        assert table.mean() == pytest.approx(found.pools[name].slope.value / found.pools[name].weights)
    if not found.pools["rest"].resolved:
        assert "not separated from zero" in found.leverage.reason
    # The same quotient where both pools are clear: a tenth of their scatter.
    clear = paired_ratio(outlier + 1, rest + 2)
    assert clear.interval.estimate.value == pytest.approx((outlier.mean() + 1) / (rest.mean() + 2), rel=1e-9)


def scattered(found, part, times=1.0):
    """A response with a part of its scatter, and its mean slopes multiplied."""
    samples = {
        pool: times * table.mean() + part * (table - table.mean()) for pool, table in found.samples.items()
    }
    pairs = {pool: part * table for pool, table in found.pairs.items()}
    return dataclasses.replace(found, samples=samples, pairs=pairs)


def test_monte_carlo_leverage_is_checked_where_both_are_resolved(found, drawn):
    # 0.3 of a pool of 20% of the columns: beyond the linear regime for some, which must be said
    monte = drawn
    checks = measure.damage_checks(found, monte)
    assert [check.arm for check in checks] == ["outlier", "rest"]
    assert "not separated from zero" in checks[0].reason
    # A thirtieth of the scatter of probes and windows is enough for a distance.
    sharp = scattered(found, 1 / 30)
    (check, _) = measure.damage_checks(sharp, monte)
    assert not check.reason
    assert check.distance == pytest.approx((check.measured.value - check.predicted.value) / check.error)
    assert abs(check.distance) < 4
    (wrong, _) = measure.damage_checks(scattered(found, 1 / 30, 20.0), monte)
    assert abs(wrong.distance) > 4
    for check in checks:
        assert (check.distance is None) == bool(check.reason)
    (ratio,) = measure.leverage_checks(found, monte)
    assert (ratio.distance is None) == bool(ratio.reason)
    assert ratio.distance is None or abs(ratio.distance) < 4
    json.dumps(ratio.to_json(), allow_nan=False)
    other = dataclasses.replace(monte, provenance={**monte.provenance, "evaluation_sha256": "other"})
    for check in (measure.damage_checks, measure.leverage_checks):
        with pytest.raises(InvalidInput, match="same evaluation_sha256"):
            check(found, other)
        wider = {site: np.pad(chosen, ((0, 0), (0, 1))) for site, chosen in monte.columns.items()}
        with pytest.raises(InvalidInput, match="same outlier columns"):
            check(found, dataclasses.replace(monte, columns=wider))


def test_the_error_of_a_paired_difference_covers_draws_probes_and_windows():
    """Against many repetitions; and what both have in common on a window is not in it."""
    rng = np.random.default_rng(0)
    gaps, errors = [], []
    for _ in range(3000):
        common = 5 * rng.normal(size=8)
        predicted = common + 0.3 * rng.normal(size=(2, 8))
        measured = common + rng.normal(size=(6, 1)) + 0.2 * rng.normal(size=(6, 8)) + 0.5 * rng.normal(size=8)
        gaps.append(measured.mean() - predicted.mean())
        errors.append(paired_error(predicted, measured))
    truth = np.std(gaps)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(truth, rel=0.06)
    assert truth < 0.3 * 5 / np.sqrt(8)


@pytest.fixture(scope="module")
def drawn(minute, text):
    return measure.leverage(minute, *text, rates=(0.05,), draws=40, fraction=0.2)


def test_few_flips_count_for_each_matrix_as_they_were_shared(found, drawn):
    """Largest remainders hit the same matrices in every draw; a whole pool in proportion would not."""
    one = dataclasses.replace(drawn.rates[0], flips=5)
    for arm in ("outlier", "rest"):
        whole = int(found.pools[arm].weights)
        expected = 0.0
        for seed in range(one.draws):
            made = draws_of(drawn.pools, 5, 0).plan(arm, seed)
            assert sum(int(made.drawn[name].sum()) for name in MATRICES) == 5
            for name in MATRICES:
                member = pool_columns(found, name, arm)
                each = np.where(member, found.columns[name].slope.value, 0).sum(axis=1)
                part = np.asarray(made.drawn[name]) / drawn.pools.matrix_size(name, arm)
                expected += float(part @ each) / one.draws
        expected += found._pair_rate(arm, 5 / whole) * found.interaction[arm].value
        value = predicted_damage(found, drawn, one, arm).mean()
        assert value == pytest.approx(expected, rel=1e-6)
        plain = found.damage(arm, 5 / whole, exactly=True).value
        assert abs(value - plain) > 0.02 * abs(plain)
    # with many flips the two are one
    many = dataclasses.replace(one, flips=drawn.pool_sizes["outlier"] // 2)
    rate = many.flips / drawn.pool_sizes["outlier"]
    gap = (
        predicted_damage(found, drawn, many, "outlier").mean()
        - found.damage("outlier", rate, exactly=True).value
    )
    assert abs(gap) < 0.05 * abs(rate * found.pools["outlier"].slope.value)


def pool_columns(found, name, arm):
    outlier = membership(found.outliers[SITE_OF[name]], found.columns[name].slope.value.shape[1])
    return outlier if arm == "outlier" else ~outlier


def test_what_two_orders_leave_out_grows_with_the_rate_and_with_the_singles(found):
    small, large = (found.left_out("all", rate) for rate in (0.001, 0.01))
    assert large > 90 * small > 0
    bare = dataclasses.replace(found, known={pool: 0 * cost for pool, cost in found.known.items()})
    assert bare.left_out("all", 0.01) < large
    # A pool that saturates, 1 − exp(−b): two orders miss less than they say.
    slope, pairs = Estimate(1.0, 0.0, 4), Estimate(-0.5, 0.0, 4)
    pools = {"all": dataclasses.replace(found.pools["all"], slope=slope)}
    saturating = dataclasses.replace(bare, pools=pools, interaction={"all": pairs})
    for b in (0.1, 0.3, 0.5):
        missed = abs((1 - np.exp(-b)) - (b - b**2 / 2))
        assert missed < saturating.left_out("all", b) < 3 * missed
    nothing = dataclasses.replace(
        bare, pools={"all": dataclasses.replace(found.pools["all"], slope=Estimate(0.0, 0.0, 4))}
    )
    assert nothing.left_out("all", 0.1) >= 0


def test_predicted_leverage_at_a_count_is_the_ratio_of_damages_and_is_told_from_that_at_rate_zero(
    found, drawn
):
    """On a response whose pools are clear: a tenth of the scatter, and an interaction that matters."""
    tables = {"outlier": found.samples["outlier"] / 10 + 50, "rest": found.samples["rest"] / 10 + 25}
    pairs = {
        pool: np.full_like(table, bent)
        for (pool, table), bent in zip(tables.items(), (-200, 40), strict=True)
    }
    pools = {
        pool: dataclasses.replace(found.pools[pool], slope=Estimate(table.mean(), 0.01, 16))
        for pool, table in tables.items()
    }
    interaction = {pool: Estimate(table.mean(), 0.01, 16) for pool, table in pairs.items()}
    clear = dataclasses.replace(found, samples=tables, pairs=pairs, pools=pools, interaction=interaction)
    flips = 40
    damage = [
        clear.damage(arm, flips / int(clear.pools[arm].weights), exactly=True).value
        for arm in ("outlier", "rest")
    ]
    ratio = clear.leverage_at(flips).interval.estimate
    assert ratio.value == pytest.approx(damage[0] / damage[1], rel=1e-9)
    at_zero = clear.leverage_at(1).interval.estimate
    assert abs(at_zero.value - ratio.value) > 0.05 * ratio.value
    measured = clear.leverage_at(flips)
    leverage = dataclasses.replace(drawn, rates=(RateLeverage(0.1, flips, 2, {}, measured, {}),))
    shares = [predicted_damage(clear, leverage, leverage.rates[0], arm) for arm in ("outlier", "rest")]
    (check,) = measure.leverage_checks(clear, leverage)
    assert check.predicted.interval.estimate.value == pytest.approx(shares[0].mean() / shares[1].mean())
    far = dataclasses.replace(leverage.rates[0], flips=int(clear.pools["outlier"].weights))
    (beyond,) = measure.leverage_checks(clear, dataclasses.replace(leverage, rates=(far,)))
    assert "next term" in beyond.reason
    with pytest.raises(InvalidInput, match="flips"):
        clear.leverage_at(0)


def test_exactly_k_flips_are_shown_beside_independent_ones(found):
    plain = found.to_json()["damages"]["outlier"]
    size, bent = int(found.pools["outlier"].weights), found.interaction["outlier"].value
    for each in plain:
        gap = each["exactly"]["value"] - each["independent"]["value"]
        assert gap == pytest.approx(each["difference"], rel=1e-6)
        assert gap == pytest.approx(-each["rate"] * (1 - each["rate"]) / (size - 1) * bent, rel=1e-6)
