"""Infinite width from finite ones: what the extrapolation leaves out must be smaller than its error."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from small_runs import results_of

from signmag_jax import simulate, theory
from signmag_jax.claims.claim import Missing
from signmag_jax.claims.families.theorem_3 import block, rows
from signmag_jax.claims.levels import LEVELS
from signmag_jax.claims.supply import extrapolated, weights_at_infinity
from signmag_jax.claims.tails import skewed, telling, threshold
from signmag_jax.claims.verdict import resolving_standard_error
from signmag_jax.evidence import Estimate

RATES = (0.01, 0.02, 0.05, 0.1)


@pytest.mark.parametrize("widths", [(64, 128), (64, 128, 256), (96, 160, 250, 700)])
def test_a_polynomial_in_one_over_the_width_is_extrapolated_exactly(widths):
    coefficients = [2.7, -3.0, 40.0, -500.0][: len(widths)]
    values = [sum(c / n**k for k, c in enumerate(coefficients)) for n in widths]
    errors = [0.01 * (k + 1) for k in range(len(widths))]
    points = zip(widths, values, errors, strict=True)
    found = extrapolated(*((n, lambda v=v, e=e, n=n: Estimate(v, e, n, "1", "test")) for n, v, e in points))()
    assert found.value == pytest.approx(coefficients[0], rel=1e-12)
    matrix = np.linalg.inv(np.vander([1 / n for n in widths], increasing=True))
    assert found.standard_error == pytest.approx(math.hypot(*(matrix[0] * errors)), rel=1e-9)
    assert found.n == min(widths)


def test_a_missing_width_is_passed_on():
    gone = Missing("UNRESOLVED", "too few networks")
    points = ((64, lambda: Estimate(1.0, 0.1, 9, "1", "test")), (128, lambda: gone))
    assert extrapolated(*points)() is gone


@pytest.fixture(scope="module")
def deviation():
    """Standard deviation of one network's ratio, times its width: it falls as 1/width."""
    found = simulate.block(128, RATES, networks=64, seed=2).transverse_ratio
    return np.asarray(found.standard_error) * 8 * 128


def bias_and_error(level, rate, deviation, count):
    """What an exact average over networks would leave at the level's last `count` widths, and the error."""
    widths, networks = level.widths[-count:], level.networks[-count:]
    weights = weights_at_infinity(widths)
    left = sum(w * float(theory.finite_width_ratio(rate, n)) for w, n in zip(weights, widths, strict=True))
    parts = (w * deviation / n / math.sqrt(k) for w, n, k in zip(weights, widths, networks, strict=True))
    return abs(left - float(theory.transverse_ratio(rate))), math.hypot(*parts)


@pytest.mark.parametrize("name", LEVELS)
def test_three_widths_hold_their_bias_and_still_resolve(name, deviation):
    for rate, spread in zip(RATES, deviation, strict=True):
        if name == "quick" and rate == RATES[0]:
            continue  # a row that runs from the default level on
        bias, error = bias_and_error(LEVELS[name], rate, spread, 3)
        exact, rival = float(theory.transverse_ratio(rate)), float(theory.paper_transverse_ratio(rate))
        sampled = Estimate(exact, error, min(LEVELS[name].networks[-3:]), "1", "test")
        limit = skewed(threshold(150), [sampled])
        assert bias < 0.5 * error
        assert error < resolving_standard_error(exact, rival, telling(limit, [sampled]))


@pytest.mark.parametrize("name", ["default", "full"])
def test_two_widths_do_not_hold_their_bias(name, deviation):
    bias, error = bias_and_error(LEVELS[name], RATES[0], deviation[0], 2)
    assert bias > 0.6 * error


@pytest.mark.parametrize("name", LEVELS)
def test_the_rows_use_three_widths(name):
    level, widths = LEVELS[name], LEVELS[name].widths
    each = np.ones(len(RATES))
    ratios = {n: Estimate(n * each, each, 9, "1", "test") for n in widths}
    known = {block(level, n): SimpleNamespace(transverse_ratio=ratio) for n, ratio in ratios.items()}
    claims = rows(level, results_of(level, known))
    claim = next(claim for claim in claims if claim.name == "theorem_3.exact.p=0.01")
    found = claim.routes["simulated"]()
    assert found.value == pytest.approx(np.dot(weights_at_infinity(widths[-3:]), widths[-3:]))
