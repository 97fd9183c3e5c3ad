"""The 1/n term: Edgeworth's expansion from the moments of one weight, orders as slopes, brute force."""

import math

import edgeworth
import jax
import mpmath as mp
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from signmag_jax import theory
from signmag_jax.evidence import Incomplete, InvalidInput
from signmag_jax.perturb import MagnitudeShift, Moments, SignFlip
from signmag_jax.theory.cumulants import shift_bend
from signmag_jax.theory.scaled import WeightMoments
from signmag_jax.theory.symbolic import width as symbolic

RATES = [1e-300, 1e-30, 1e-12, 1e-6, 0.01, 0.1, 0.3, 0.5]


def changes(p):
    """ΔT/T per Σ x_j⁴ of flips and of the shift of equal norm, at the precision of the moment."""
    size = 2 * mp.sqrt(p)
    pairs = (edgeworth.flipped(p), mp.mpf(1)), (edgeworth.shifted(size), shift_power(size))
    found = []
    for mixed, v in pairs:
        kernel = edgeworth.Kernel(mixed)
        found.append(-4 * kernel.plain * kernel.fourth / (v / 2 - 2 * kernel.plain**2))
    return found


def shift_power(size):
    return 1 + 2 * size * mp.sqrt(2 / mp.pi) + size**2


@pytest.mark.parametrize("rate", RATES)
def test_slopes_at_every_rate(rate):
    with mp.workdps(700 if rate < 1e-100 else 120):
        flips, shift = (float(change) for change in changes(mp.mpf(rate)))
    assert theory.finite_width_slope(rate) == pytest.approx(3 * (flips - shift), rel=1e-12)
    x = np.array([1.0, -2.0, 0.5])
    share = np.sum(x**4) / np.sum(x**2) ** 2
    assert theory.profile_width_slope(rate, x) == pytest.approx(share * (flips - shift), rel=1e-12)
    if rate >= 0.01:
        # The flips alone, as the law once had it.
        assert theory.finite_width_slope(rate) != pytest.approx(3 * flips, rel=3e-3)


def test_what_the_shift_adds_to_the_slope():
    for rate, part in ((0.01, 0.0033), (0.1, 0.037), (0.5, 0.24)):
        flips, shift = changes(mp.mpf(rate))
        assert float(shift / (shift - flips)) == pytest.approx(part, rel=0.02)


@settings(max_examples=25)
@given(st.floats(-0.7, 1).map(lambda x: 10.0**x), st.floats(0.01, 0.99), st.floats(-3, 6))
def test_the_general_formula(size, rate, excess):
    """Any fourth cumulants, those of weights that are not Gaussian too."""
    with jax.enable_x64(True):  # a perturbation's own moments are of the caller's precision
        check_the_general_formula(size, rate, excess)


def check_the_general_formula(size, rate, excess):
    for perturbation, cumulants, mixed in (
        (MagnitudeShift(size), theory.shift_cumulants(size), edgeworth.shifted(mp.mpf(size))),
        (SignFlip(rate), theory.flip_cumulants(rate), edgeworth.flipped(mp.mpf(rate))),
    ):
        # Another E|w|⁴, all else alike: E w^i w'^j with i + j = 4 begins with it.
        even = 1 if isinstance(perturbation, MagnitudeShift) else 1 - 2 * mp.mpf(rate)
        heavier = lambda i, j, m=mixed, e=even: m(i, j) + (excess * (e if j % 2 else 1) if i + j == 4 else 0)  # noqa: E731
        signs = np.array([1.0, float(even), 1.0, float(even), 1.0])
        own = theory.FourthCumulants(*(k + excess * sign for k, sign in zip(cumulants, signs, strict=True)))
        for kappas, law in ((cumulants, mixed), (own, heavier)):
            with mp.workdps(40):
                expected = float(edgeworth.Kernel(law).fourth)
            try:
                found = theory.kernel_change(perturbation.moments(), kappas)
            except Incomplete:
                continue
            assert found == pytest.approx(expected, rel=1e-11)


def test_cancelled_digits_are_refused():
    assert theory.kernel_change(MagnitudeShift(0.5).moments(), theory.shift_cumulants(0.5)) < 0
    with pytest.raises(Incomplete, match="kernel_change: float64 does not resolve it"):
        theory.kernel_change(MagnitudeShift(1e-4).moments(), theory.shift_cumulants(1e-4))
    with pytest.raises(InvalidInput, match="noise > 0"):
        theory.kernel_change(Moments.of(2.0, 4.0), theory.flip_cumulants(0.1))


def second_order(rate, n):
    """T(shift)/T − 1 on the sphere with the terms of 1/n² besides, and by 3/n or 3/(n + 2) alone."""
    with mp.workdps(40):
        size = 2 * mp.sqrt(rate)
        kernel = edgeworth.Kernel(edgeworth.shifted(size))
        across = shift_power(size) / 2 - 2 * kernel.plain**2
        fourth = mp.mpf(3) / (n + 2)
        sixth = mp.mpf(15) / ((n + 2) * (n + 4))
        squared = mp.mpf(9 * n + 96) / ((n + 2) * (n + 4) * (n + 6))
        off = kernel.fourth * fourth + kernel.sixth * sixth + kernel.squared * squared
        whole = -2 * ((kernel.plain + off) ** 2 - kernel.plain**2) / across
        slope = -4 * kernel.plain * kernel.fourth / across
        return float(whole), float(slope * 3 / n), float(slope * fourth)


def law_of_the_shift(rate, n):
    """The same from the law, whose flips are exact."""
    gap = theory.width.finite_width_gap(rate, n) / rate / math.pi
    flips = rate * (2 * (1 - rate) - (1 - 2 * rate) * gap - rate * gap**2 / 2)
    infinite = theory.block(theory.matched_shift(rate)).transverse
    return flips / theory.finite_width_ratio(rate, n) / infinite - 1


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5])
def test_the_sphere_is_met_to_first_order_and_nearly_to_second(rate):
    """E Σ x_j⁴ is 3/(n + 2) on the sphere; 3/n equals it to first order, and leaves a tenth of 1/n²."""
    widths = np.array([512, 1024, 2048])
    left = []
    for n in widths:
        whole, first, mean = second_order(mp.mpf(rate), int(n))
        assert law_of_the_shift(rate, int(n)) == pytest.approx(first, rel=1e-8)
        left.append((whole - first, whole - mean))
    ours, other = np.abs(np.array(left)).T
    for each in (ours, other):
        assert np.polyfit(np.log(widths), np.log(each), 1)[0] == pytest.approx(-2, abs=0.1)
    assert np.all(ours < other)


def test_brute_force_on_the_sphere():
    """No kernel: rows and inputs, with their known second and fourth moments as control variates."""
    n, rate, rng = 8, 0.5, np.random.default_rng(13)
    size = 2 * math.sqrt(rate)
    moments = MagnitudeShift(size).moments()
    batches = []
    for _ in range(40):
        x, w = rng.standard_normal((2, 25_000, n))
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        z = np.einsum("ij,ij->i", x, w)
        other = z + size * np.einsum("ij,ij->i", x, np.sign(w))
        # relu(z)relu(z') is (|zz'| + zz')/4 and what changes sign with the row.
        product = (np.abs(z * other) + moments.c) / 4
        controls = (z**2 - 1, z * other - moments.c, other**2 - moments.v, z**4 - 3)
        batches.append(np.stack([product, *controls]).mean(axis=1))
    batches = np.array(batches)
    slopes = np.linalg.lstsq(batches[:, 1:], batches[:, 0] - batches[:, 0].mean(), rcond=None)[0]
    kernels = batches[:, 0] - batches[:, 1:] @ slopes
    plain = theory.block(MagnitudeShift(size)).alignment + 0.5
    across = theory.block(MagnitudeShift(size)).transverse
    found = -2 * (kernels.mean() ** 2 - plain**2) / across
    error = 4 * plain * kernels.std(ddof=5) / math.sqrt(len(kernels)) / across
    predicted = law_of_the_shift(rate, n)
    assert predicted > 8 * error, "too few rows to see the term at all"
    assert abs(found - predicted) < 4 * error


@settings(max_examples=20)
@given(st.floats(0.05, 0.95), st.floats(1, 3), st.floats(1, 20), st.floats(0.01, 0.7))
def test_closed_forms_of_other_weights_are_the_proved_ones(b, third, fourth, s):
    """Of flips √D m₄/(12π), of the shift the bend, at moments that need not be anybody's."""
    weights = WeightMoments(b, third, fourth)
    exact = symbolic.AbsoluteMoments(*map(sp.Float, weights))
    v = 1 + 4 * s * b + 4 * s**2
    bend = -symbolic.shift_kernel_change(sp.Float(2 * s), exact) / s**3
    size = 1 + (third + fourth) / math.sqrt(1 - b**2)
    assert shift_bend(s, v, weights) == pytest.approx(float(bend), rel=1e-9, abs=1e-12 * size)
    noise, rate = 4 * s**2 * (1 - s**2), sp.Float(s) ** 2
    assert float(symbolic.flip_kernel_change(rate, exact)) == pytest.approx(
        math.sqrt(noise) * fourth / (12 * math.pi), rel=1e-12
    )
