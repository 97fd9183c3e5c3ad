"""Finite width and outliers: references, sampled flips, an mpmath average, rates, bad input."""

import math

import edgeworth
import jax
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signmag_jax import theory
from signmag_jax.evidence import InvalidInput
from signmag_jax.perturb import SignFlip, SignQuantize

WIDTHS = {64: 2.52771, 128: 2.58594, 256: 2.62260, 512: 2.64408, 1024: 2.65583, 2048: 2.66197}


def gap(theta):
    return mp.sin(theta) - theta * mp.cos(theta)


def averaged_ratio(p, n):
    """A_n(p) with E κ by mpmath quadrature over q itself, for every number of flips."""
    p = mp.mpf(p)
    mean = p**n * mp.pi
    for k in range(1, n):
        a, b = mp.mpf(k) / 2, mp.mpf(n - k) / 2

        def integrand(s, a=a, b=b):
            # q = s² removes the singularity that a half flip count leaves at q = 0.
            return 2 * s ** (2 * a - 1) * (1 - s**2) ** (b - 1) * gap(2 * mp.asin(s))

        body = mp.quad(integrand, [0, 0.3, 0.6, 0.9, 1]) / mp.beta(a, b)
        mean += mp.binomial(n, k) * p**k * (1 - p) ** (n - k) * body
    flip = 2 * p * (1 - p) - (1 - 2 * p) * mean / mp.pi - (mean / mp.pi) ** 2 / 2
    size = 2 * mp.sqrt(p)
    v = 1 + 2 * size * mp.sqrt(2 / mp.pi) + size**2
    kernel = edgeworth.Kernel(edgeworth.shifted(size))
    # T of the shift to first order in Σ x_j⁴ = 3/n.
    return float(flip / (v / 2 - 2 * kernel.plain**2 - 4 * kernel.plain * kernel.fourth * 3 / n))


@pytest.mark.parametrize("n", WIDTHS)
def test_reference_widths(n):
    """Of the flips alone: what the shift's own 1/n term takes away is 0.54% of 3/n at this rate."""
    shift = theory.finite_width_ratio(0.01, n) / WIDTHS[n] - 1
    assert shift == pytest.approx(-0.00537 * 3 / n, abs=5e-6)


@pytest.mark.parametrize(("rate", "n"), [(0.3, 2), (1e-12, 2), (0.01, 3), (0.5, 6), (1e-5, 9)])
def test_average_against_independent_quadrature(rate, n):
    with mp.workdps(50):
        expected = averaged_ratio(rate, n)
    assert theory.finite_width_ratio(rate, n) == pytest.approx(expected, rel=1e-12)


def test_average_against_sampled_masks_and_inputs():
    rng, n, rate, rows = np.random.default_rng(8), 24, 0.1, 400_000
    x = rng.normal(size=(rows, n))
    q = np.sum((rng.random((rows, n)) < rate) * x**2, axis=1) / np.sum(x**2, axis=1)
    theta = 2 * np.arcsin(np.sqrt(np.minimum(q, 1)))
    sampled = np.sin(theta) - theta * np.cos(theta)
    mean, error = sampled.mean(), sampled.std() / math.sqrt(rows)
    exact = theory.width.finite_width_gap(rate, n)
    infinite = theory.width.finite_width_gap(rate, 100_000)
    assert abs(mean - exact) < 4 * error
    assert abs(mean - infinite) > 8 * error  # the same check would reject the infinite width


@pytest.mark.parametrize("rate", [0.01, 0.5])
def test_rate_and_coefficient_of_convergence(rate):
    widths = np.array([2048, 4096, 8192, 16384])
    infinite = theory.transverse_ratio(rate)
    relative = np.array([theory.finite_width_ratio(rate, int(n)) for n in widths]) / infinite - 1
    slope = np.polyfit(np.log(widths), np.log(-relative), 1)[0]
    assert slope == pytest.approx(-1, abs=0.02)
    richardson = 2 * widths[-1] * relative[-1] - widths[-2] * relative[-2]
    assert theory.finite_width_slope(rate) == pytest.approx(richardson, rel=2e-3)


def test_slope_for_small_rates():
    rates = np.array([1e-6, 1e-8])
    np.testing.assert_allclose(
        theory.finite_width_slope(rates) * np.sqrt(rates), -3 / (2 * math.pi), rtol=2e-3
    )


def test_rows_without_flips_saturate():
    for n in (2, 50, 1000):
        tiny = theory.finite_width_ratio(1e-12, n) / theory.transverse_ratio(1e-12) - 1
        assert theory.finite_width_saturation(n) == pytest.approx(tiny, abs=1e-6)
    widths = np.array([10**3, 10**4, 10**5])
    scaled = [theory.finite_width_saturation(int(n)) * math.sqrt(n) for n in widths]
    leading = -4 / (3 * math.pi) * math.sqrt(8 / math.pi)
    assert np.abs(np.array(scaled) - leading).max() < 2e-3
    assert np.all(np.diff(np.abs(np.array(scaled) - leading)) < 0)


@pytest.mark.parametrize(("law", "rival"), [("laplace", "gaussian"), ("uniform", "laplace")])
def test_one_flip_at_a_time_in_sampled_rows(law, rival):
    """Each weight of each row alone, the sign of the rest of the row averaged over."""
    rng, rows, n = np.random.default_rng(5), 4000, 1024
    half = math.sqrt(3)
    drawn = {
        "laplace": lambda *size: rng.laplace(0, 0.5**0.5, size),
        "uniform": lambda *size: rng.uniform(-half, half, size),
    }
    x = rng.standard_normal((rows, n))
    part = drawn[law](rows, n) * x / np.linalg.norm(x, axis=1, keepdims=True)
    rest = part.sum(axis=1, keepdims=True) - part
    turned = (np.maximum(side * rest + part, 0) - np.maximum(side * rest - part, 0) for side in (1, -1))
    cost, small = sum(np.mean(each**2, axis=1) for each in turned) / 2, np.mean(2 * part**2, axis=1)
    found = cost.mean() / small.mean()
    error = np.std(cost - found * small, ddof=1) / small.mean() / math.sqrt(rows)
    right, wrong = (float(theory.finite_width_saturation_expansion(n, each)) for each in (law, rival))
    assert abs(found - 1 - right) < 4 * error < abs(found - 1 - wrong)


@pytest.mark.slow
def test_widths_compile_rarely_and_trace():
    np.testing.assert_allclose(
        jax.vmap(lambda p: theory.finite_width_ratio(p, 64))(np.array([0.01, 0.7])),
        [theory.finite_width_ratio(0.01, 64), np.nan],
        rtol=3e-6 if jax.config.jax_enable_x64 else 2e-3,
    )


@pytest.mark.parametrize("perturbation", [SignFlip(0.2), theory.matched_shift(0.05), SignQuantize()])
def test_finite_rows_against_sampled_layers(perturbation):
    rng, layers, m = np.random.default_rng(4), 60_000, 24
    moments = perturbation.moments()
    z = rng.normal(size=(2, layers, m))
    h = np.maximum(z[0], 0)
    delta = np.maximum(moments.c * z[0] + np.sqrt(moments.noise) * z[1], 0) - h
    radial = np.sum(h * delta, axis=1) ** 2 / np.sum(h**2, axis=1)
    energy = np.sum(delta**2, axis=1)
    sampled = radial.mean() / energy.mean()
    scatter = np.std(radial - sampled * energy) / energy.mean() / math.sqrt(layers)
    predicted = theory.finite_rows_radial_fraction(perturbation, m)
    infinite = theory.radial_fraction(perturbation)
    # What the first order leaves out is of relative order 1/m.
    slack = 4 * scatter + 3 * abs(predicted - infinite) / m
    assert abs(sampled - predicted) < slack
    assert abs(sampled - infinite) > 2 * slack


def test_finite_rows_coefficients():
    for perturbation, coefficient in (
        (SignFlip(1e-9), 2),
        (theory.matched_shift(1e-9), 2 * (1 - 2 / math.pi)),
    ):
        change = theory.finite_rows_radial_fraction(perturbation, 100) - theory.radial_fraction(perturbation)
        assert 100 * change == pytest.approx(coefficient, rel=1e-3)
    outer = theory.finite_rows_radial_fraction(SignFlip(0.1), 1e9, 10)
    inner = theory.finite_rows_radial_fraction(SignFlip(0.1), 1e9)
    assert outer == pytest.approx(inner + (1 - inner) / 10, rel=1e-12)
    relative = theory.finite_rows_ratio(0.01, 1e6) / theory.transverse_ratio(0.01) - 1
    assert relative * 1e6 == pytest.approx(-0.04, abs=5e-3)


@settings(max_examples=50)
@given(st.floats(1e-6, 1.0), st.integers(2, 10**7))
def test_flip_amplification_against_textbook(alpha, n):
    def lost(square):
        with mp.workdps(60):
            cosine = 1 - 2 * square
            theta = mp.acos(cosine)
            return 1 - (mp.sin(theta) + (mp.pi - theta) * cosine) / mp.pi

    with mp.workdps(60):
        expected = float(lost(mp.mpf(alpha) ** 2) / lost(1 / mp.mpf(n)))
    assert theory.flip_amplification(alpha, n) == pytest.approx(expected, rel=1e-12)


def test_flip_amplification_reference_and_expansion():
    assert theory.flip_amplification(0.26, 2048) == pytest.approx(124.227279814976, rel=1e-12)
    paper = 2048 * 0.26**2 * (1 - 4 / (3 * math.pi) * 0.26)
    assert paper == pytest.approx(123.17, abs=5e-3)
    assert abs(theory.flip_amplification(0.26, 2048) - paper) > 1
    assert theory.flip_amplification(1 / math.sqrt(300), 300) == pytest.approx(1, rel=1e-14)
    alphas = np.logspace(-4, -2, 9)
    relative = theory.flip_amplification(alphas, 1e16) / (1e16 * alphas**2) - 1
    remainder = np.abs(relative + 4 / (3 * math.pi) * (alphas - 1e-8))
    assert np.polyfit(np.log(alphas), np.log(remainder), 1)[0] > 1.9


def test_pool_leverage():
    alpha_squared = np.array([0.5, 0.1, 0.2, 0.2])
    norms = np.array([1.0, 4.0, 2.0, 1.0])
    pool = np.array([True, False, True, False])
    assert theory.pool_leverage(alpha_squared, norms, pool) == pytest.approx((0.5 + 0.4) / (0.4 + 0.2))
    assert theory.pool_leverage(7 * alpha_squared, 3 * norms, pool) == pytest.approx(1.5)
    for bad in (np.ones(4, bool), np.zeros(4, bool), np.array([0, 1, 0, 1])):
        with pytest.raises(InvalidInput, match="pool"):
            theory.pool_leverage(alpha_squared, norms, bad)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.finite_width_ratio(0.1, 1), "2 <= n <= 1e"),
        (lambda: theory.finite_width_ratio(0.0, 64), "0 < rate <= 0.5"),
        (lambda: theory.flip_amplification(0.0, 64), "0 < alpha <= 1"),
        (lambda: theory.flip_amplification(1.1, 64), "0 < alpha <= 1"),
        (lambda: theory.flip_amplification(0.5, 1), "2 <= n"),
        (lambda: theory.finite_rows_ratio(0.1, 7), "8 <= rows"),
        (lambda: theory.flip_matrix_radial_fraction(1.5, 8), "0 <= rate <= 1"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InvalidInput, match=message):
        call()
