"""Linear response against exact flips, exact Hessians and Monte Carlo, on a minute model."""

import dataclasses
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import MINUTE, build

from signmag_jax import measure
from signmag_jax.evidence import Estimate, InvalidInput
from signmag_jax.measure import response, singles, sweep
from signmag_jax.models import MATRICES, logits, token_nll

SHAPES = {name: (MINUTE.layers, *MINUTE.shapes()[name]) for name in MATRICES}
PLACES = [
    singles.Place(MATRICES.index(name), *(int(i) for i in where))
    for name, shape in SHAPES.items()
    for where in np.ndindex(shape)
]
SOME = PLACES[::40]
WINDOWS, PROBES = 16, 30


@pytest.fixture(scope="module")
def minute():
    return build(seed=3, config=MINUTE, loud=1.0, dtype=np.float64, scale=0.5)


@pytest.fixture(scope="module")
def text(minute):
    """Windows that the model wrote itself: its loss is minimal in the mean, so flips cost."""
    forward = jax.jit(lambda tokens: logits(MINUTE, minute.params, tokens))
    rng = np.random.default_rng(7)
    tokens = rng.integers(0, MINUTE.vocabulary, (WINDOWS, 9)).astype(np.int32)
    for at in range(1, 9):
        scores = np.asarray(forward(jnp.asarray(tokens)))[:, at - 1]
        tokens[:, at] = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    chosen = rng.integers(0, MINUTE.vocabulary, (2, 9)).astype(np.int32)
    return chosen, tokens


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
    """ΔNLL with the signs of the masks' weights flipped."""
    run = jax.jit(lambda masks: jax.lax.map(lambda m: loss(weights * (1 - 2 * m)) - loss(weights), masks))
    return lambda masks: np.asarray(run(jnp.asarray(masks, np.float64)))


@pytest.fixture(scope="module")
def flips(damage, weights):
    return damage(np.eye(weights.size))


def pool_mask(found, pool):
    outlier = np.array([p.column in found.outliers[SITE[p.name]][p.layer] for p in PLACES])
    return {"outlier": outlier, "rest": ~outlier, "all": np.ones_like(outlier)}[pool]


SITE = response.SITE_OF


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
    np.testing.assert_allclose(getattr(column, part).value.sum(axis=1), getattr(found.each["o_proj"], part).value)


def test_monte_carlo_of_independent_flips_meets_the_prediction(found, damage, weights):
    rate = 0.01
    masks = np.random.default_rng(5).random((6000, weights.size)) < rate
    cost = damage(masks)
    # the number of flips is known in the mean: as a control variate it removes its own scatter
    count = masks.sum(axis=1)
    measured = Estimate.of_samples(cost - np.polyfit(count, cost, 1)[0] * (count - rate * weights.size), estimator="mc")
    predicted = found.damage("all", rate)
    assert measured.standard_error < 0.1 * predicted.value
    assert abs(measured.value - predicted.value) < 4 * measured.standard_error + 0.08 * predicted.value
    half = found.damage("all", rate / 2)
    assert abs(measured.value - half.value) > 4 * measured.standard_error + 0.08 * predicted.value


def test_exactly_k_flips_by_enumeration(found, loss, weights):
    """All pairs of 32 weights, on the exact quadratic form, against slope and interaction."""
    taken = np.flatnonzero([p.name == "k_proj" and p.layer == 0 for p in PLACES])
    size = taken.size
    gradient = np.asarray(jax.jit(jax.grad(loss))(weights))[taken]

    @jax.jit
    def product(i):
        return jax.jvp(jax.grad(loss), (jnp.asarray(weights),), (jnp.zeros(weights.size).at[i].set(1.0),))[1]

    hessian = np.stack([np.asarray(product(i))[taken] for i in taken])
    w = weights[taken]
    bracket = -2 * gradient * w + 2 * np.diag(hessian) * w**2
    bent = 4 * hessian * np.outer(w, w)
    pairs = [bracket[i] + bracket[j] + bent[i, j] for i, j in itertools.combinations(range(size), 2)]
    interaction = (bent.sum() - np.trace(bent)) / 2
    exact = dataclasses.replace(
        found,
        pools={
            "all": dataclasses.replace(
                found.pools["all"], slope=Estimate.exact(bracket.sum()), weights=np.asarray(size)
            )
        },
        interaction={"all": Estimate.exact(interaction)},
    )
    k = exact.damage("all", 2 / size, exactly=True)
    independent = exact.damage("all", 2 / size)
    assert k.value == pytest.approx(np.mean(pairs), rel=1e-9)
    assert abs(independent.value - np.mean(pairs)) > 1e-4 * abs(np.mean(pairs))
    assert exact.without_replacement("all", 2 / size) == pytest.approx(k.value - independent.value, rel=1e-6)


def test_interaction_is_the_off_diagonal_of_the_hessian(found, loss, weights):
    free = np.ones(weights.size)
    free[[PLACES.index(place) for place in SOME]] = 0
    along = jnp.asarray(weights * free)
    bent = float(jax.jit(lambda e: jax.jvp(lambda w: jax.jvp(loss, (w,), (e,))[1], (weights,), (e,))[1])(along))
    pairs, diagonal = found.interaction["all"].value, found.pools["all"].second.value
    assert pairs + diagonal == pytest.approx(2 * bent, rel=1e-6)


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
    cost = measure.linear_response_cost(4, 1024, 2, 3)
    assert cost == 2 * (4 + 2 * (8 + 4) + 4 + 3 * 4)


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
