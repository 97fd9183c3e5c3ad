"""What a linear response predicts at a rate and at a count of flips, beside the flips that were made."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

from signmag_jax import measure
from signmag_jax.evidence import Estimate, InvalidInput
from signmag_jax.evidence.ratio import paired_ratio
from signmag_jax.measure.activations import membership
from signmag_jax.measure.arm_comparison import RateLeverage
from signmag_jax.measure.drawn_damage import predicted_damage
from signmag_jax.measure.leverage import ARMS, draws_of
from signmag_jax.measure.response_checks import paired_error
from signmag_jax.models import MATRICES, SITE_OF


@pytest.fixture(scope="module")
def found(response):
    return response


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


def test_exactly_k_flips_are_shown_beside_independent_ones(found):
    plain = found.to_json()["damages"]["outlier"]
    size, bent = int(found.pools["outlier"].weights), found.interaction["outlier"].value
    for each in plain:
        gap = each["exactly"]["value"] - each["independent"]["value"]
        assert gap == pytest.approx(each["difference"], rel=1e-6)
        assert gap == pytest.approx(-each["rate"] * (1 - each["rate"]) / (size - 1) * bent, rel=1e-6)


def test_leverage_is_the_ratio_of_pools_or_says_why_not(found):
    outlier, rest = (found.samples[name] / found.pools[name].weights for name in ARMS)
    for name, table in (("outlier", outlier), ("rest", rest)):
        assert table.mean() == pytest.approx(found.pools[name].slope.value / found.pools[name].weights)
    if not found.pools["rest"].resolved:
        assert "not separated from zero" in found.leverage.reason
    # The same quotient where both pools are clear: a tenth of their scatter.
    clear = paired_ratio(outlier + 1, rest + 2)
    assert clear.interval.estimate.value == pytest.approx((outlier.mean() + 1) / (rest.mean() + 2), rel=1e-9)


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


@pytest.fixture(scope="module")
def drawn(minute, minute_text):
    return measure.leverage(minute, *minute_text, rates=(0.05,), draws=40, fraction=0.2)


def test_few_flips_count_for_each_matrix_as_they_were_shared(found, drawn):
    """Largest remainders hit the same matrices in every draw; a whole pool in proportion would not."""
    one = dataclasses.replace(drawn.rates[0], flips=5)
    for arm in ARMS:
        whole = int(found.pools[arm].weights)
        expected = 0.0
        for seed in range(one.draws):
            made = draws_of(drawn.pools, 5, 0).recipe(arm, seed)
            assert sum(int(made.drawn[name].sum()) for name in MATRICES) == 5
            for name in MATRICES:
                member = pool_columns(found, name, arm)
                each = np.where(member, found.columns[name].slope.value, 0).sum(axis=1)
                part = np.asarray(made.drawn[name]) / drawn.pools.matrix_size(name, arm)
                expected += float(part @ each) / one.draws
        pairs = 5 * 4 / (whole * (whole - 1))
        expected += pairs * found.interaction[arm].value
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
    assert ratio.distance is None
    assert ratio.reason.startswith("the prediction: ")
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
def clear(found):
    """A response whose pools are clear: a tenth of the scatter, and an interaction that matters."""
    samples = {"outlier": found.samples["outlier"] / 10 + 50, "rest": found.samples["rest"] / 10 + 25}
    pairs = {pool: np.full_like(samples[pool], bent) for pool, bent in (("outlier", -200), ("rest", 40))}
    slopes = {pool: Estimate(table.mean(), 0.01, 16) for pool, table in samples.items()}
    pools = {pool: dataclasses.replace(found.pools[pool], slope=slope) for pool, slope in slopes.items()}
    interaction = {pool: Estimate(table.mean(), 0.01, 16) for pool, table in pairs.items()}
    return dataclasses.replace(found, samples=samples, pairs=pairs, pools=pools, interaction=interaction)


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_a_leverage_is_compared_where_both_are_resolved(clear, drawn, factor):
    """Draws that scatter about the prediction; with half as much again in one arm they lie far off."""
    one = dataclasses.replace(drawn.rates[0], flips=40)
    expected = {arm: predicted_damage(clear, drawn, one, arm).mean(axis=0) for arm in ARMS}
    noise = np.random.default_rng(0).normal(0, 0.1, (len(ARMS), one.draws, 1))
    tables = {
        arm: times * expected[arm] * (1 + scatter)
        for arm, times, scatter in zip(ARMS, (factor, 1.0), noise, strict=True)
    }
    measured = RateLeverage.of(one.rate, one.flips, tables, floor=0.0)
    (check,) = measure.leverage_checks(clear, dataclasses.replace(drawn, rates=(measured,)))
    assert check.reason == ""
    ratio = check.predicted.interval.estimate
    assert ratio.value == pytest.approx(expected["outlier"].mean() / expected["rest"].mean())
    assert ratio.standard_error < 0.1 * ratio.value
    assert (abs(check.distance) < 4) == (factor == 1)
    whole = dataclasses.replace(measured, flips=int(clear.pools["outlier"].weights))
    (beyond,) = measure.leverage_checks(clear, dataclasses.replace(drawn, rates=(whole,)))
    assert beyond.distance is None
    assert "next term" in beyond.reason
