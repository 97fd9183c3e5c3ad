"""The residual chain: its limit, where it rises and where it first falls, on long chains and in balls."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signmag_jax import theory
from signmag_jax.evidence import InvalidInput

SHORT, LONG = 1000, 16000


@pytest.mark.parametrize("rate", [1e-6, 0.01, 0.1, 0.5])
def test_long_chains_tend_to_the_limit(rate):
    ratios = theory.depth_ratios(rate, LONG, residual=True)
    limit = theory.residual_limit(rate)
    depths = np.array([SHORT, LONG])
    off = limit - ratios[depths - 1]
    assert np.all(off > 0)
    # The distance falls as log L/L, which between these depths has a slope near −0.9.
    slope = np.diff(np.log(off)) / np.diff(np.log(depths))
    assert -1 < slope < -0.8
    # Twice the shift's energy would be another limit.
    assert off[1] < 0.01 * limit


def test_limits_of_small_rates():
    assert theory.residual_limit(1e-14) == pytest.approx(theory.transverse_ratio_limit(), rel=1e-6)
    first = theory.depth_ratios(1e-14, 1, residual=True)[0]
    assert first == pytest.approx(theory.residual_first_ratio(), rel=1e-6)


def test_small_errors_rise_with_every_layer():
    ratios = theory.depth_ratios(1e-12, 400, residual=True)
    assert np.all(np.diff(ratios) > 0)
    # The linear recursion of the proof.
    f, g, power, expected = 1.0, 1 / 3, 0.5, []
    w = 1 - 2 / np.pi
    for layer in range(1, 41):
        expected.append(f / (w * f + 2 * (1 - w) * g))
        following = (layer + 1) / 2 + (layer + 1) * layer / (2 * np.pi)
        growth = 1 + 1 / (2 * (1 + power))
        rise = following / (1 + following) - power / (1 + power)
        f, g, power = growth * f + 1, growth * g + rise, following
    np.testing.assert_allclose(ratios[:40], expected, rtol=3e-6)


def test_where_the_rise_begins_is_certain():
    balls = theory.enclose("depth_ratios", rate="1/100", depth=2000, residual=True, digits=12)
    values, radii = (np.array([float(getattr(b, name)) for b in balls]) for name in ("midpoint", "radius"))
    assert np.all(np.diff(values) > radii[1:] + radii[:-1]), "at 1% it rises from the first layer on"
    balls = theory.enclose("depth_ratios", rate="1/20", depth=100, residual=True, digits=12)
    values, radii = (np.array([float(getattr(b, name)) for b in balls]) for name in ("midpoint", "radius"))
    assert values[0] - values[1] > radii[0] + radii[1], "at 5% it falls once"
    assert np.all(np.diff(values)[1:] > radii[2:] + radii[1:-1])


@given(st.floats(-12, -0.302).map(lambda x: 10.0**x))
def test_the_limit_in_its_ball(rate):
    ball = theory.enclose("residual_limit", rate=rate)
    assert theory.residual_limit(rate) == pytest.approx(float(ball), rel=1e-13)


def test_the_start_in_its_ball():
    ball = float(theory.enclose("residual_first_ratio"))
    assert theory.residual_first_ratio() == pytest.approx(ball, rel=1e-15)


def test_the_first_fall_of_a_rate():
    """Rises up to p = 0.038375; from 0.038378 on the ratio falls at once, as the float64 chain says too."""
    for rate, fall in (("1/1000", None), ("1/100", None), ("38375/1000000", None), ("38378/1000000", 1),
                       ("1/20", 1), ("1/2", 1)):  # fmt: skip
        assert theory.first_fall(rate, 64) == fall
        ratios = theory.depth_ratios(float(Fraction(rate)), 64, residual=True)
        falls = np.flatnonzero(np.diff(ratios) < 0)
        assert (int(falls[0]) + 1 if falls.size else None) == fall
    assert theory.first_fall("1/20", 1) is None, "one layer alone cannot fall"
    assert theory.first_fall("1/20", 8, weights="uniform") is None, "flips cost more: it rises still"
    with pytest.raises(InvalidInput, match="0 < rate"):
        theory.first_fall("3/4")
