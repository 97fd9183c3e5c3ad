"""One block: reference values, an independent mpmath route, stability, derivatives, identities, bad input."""

import math
from decimal import Decimal
from fractions import Fraction

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from signmag_jax import theory
from signmag_jax.evidence import InvalidInput
from signmag_jax.perturb import MagnitudeNoise, MagnitudeShift, Moments, SignFlip, SignQuantize, Ternarize

X64 = jax.config.jax_enable_x64
REFERENCE = {  # rate: (A, paper's closed form, R of flips, R of the matched shift)
    0.01: (2.66829030845228, 2.6088, 0.00957516103470375, 0.642127582191152),
    0.02: (2.61410815850068, 2.5350, 0.0187971618231012, 0.644146550262623),
    0.05: (2.47900338122075, 2.3662, 0.045230800577664, 0.647707645186804),
    0.10: (2.29195458528413, 2.1443, 0.0864401400245162, 0.651090595619171),
}


def textbook(c, v):
    """(e, r, T) from the arc-cosine kernel as textbooks print it, in 80 digits."""
    c, v = mp.mpf(c), mp.mpf(v)
    theta = mp.acos(c / mp.sqrt(v))
    kappa = mp.sqrt(v) / (2 * mp.pi) * (mp.sin(theta) + (mp.pi - theta) * mp.cos(theta))
    return v / 2 + mp.mpf(1) / 2 - 2 * kappa, 2 * (kappa - mp.mpf(1) / 2) ** 2, v / 2 - 2 * kappa**2


def flip_cv(p):
    return 1 - 2 * mp.mpf(p), mp.mpf(1)


def shift_cv(p):
    size, b = 2 * mp.sqrt(mp.mpf(p)), mp.sqrt(2 / mp.pi)
    return 1 + size * b, 1 + 2 * size * b + size**2


@pytest.mark.parametrize("rate", REFERENCE)
def test_reference_values(rate):
    ratio, paper, flip, shift = REFERENCE[rate]
    assert theory.transverse_ratio(rate) == pytest.approx(ratio, rel=1e-12)
    assert theory.paper_transverse_ratio(rate) == pytest.approx(paper, abs=5e-5)
    assert theory.radial_fraction(SignFlip(rate)) == pytest.approx(flip, rel=1e-12)
    assert theory.radial_fraction(theory.matched_shift(rate)) == pytest.approx(shift, rel=1e-12)


@given(st.floats(-12, math.log10(0.5)).map(lambda x: 10.0**x))
def test_block_keeps_twelve_digits_at_every_rate(rate):
    with mp.workdps(80):
        flip, shift = textbook(*flip_cv(rate)), textbook(*shift_cv(rate))
        ratio = float(flip[2] / shift[2])
        expected = [[float(x) for x in flip], [float(x) for x in shift]]
    assert theory.transverse_ratio(rate) == pytest.approx(ratio, rel=1e-12)
    for perturbation, values in zip((SignFlip(rate), theory.matched_shift(rate)), expected, strict=True):
        found = theory.block(perturbation)
        assert [found.energy, found.radial, found.transverse] == pytest.approx(values, rel=1e-12)


@given(st.floats(0.05, 5), st.floats(-1, 1))
def test_block_agrees_with_double_integral(v, cosine):
    c = cosine * math.sqrt(v)
    moments = Moments(c, v, c - 1, v * (1 - cosine) * (1 + cosine))
    # Polar Gauss–Legendre on the wedge where both are positive, and on the one where only h is.
    nodes, weights = np.polynomial.legendre.leggauss(60)
    theta = math.acos(cosine)
    kappa = 0.0
    low, high = theta - math.pi / 2, math.pi / 2
    phi = (low + high) / 2 + (high - low) / 2 * nodes
    kappa = math.sqrt(v) / math.pi * np.sum(weights * np.cos(phi) * np.cos(phi - theta)) * (high - low) / 2
    found = theory.block(type("Mine", (), {"moments": lambda self: moments})())
    assert found.energy == pytest.approx(v / 2 + 0.5 - 2 * kappa, abs=2e-14 * (1 + v))
    assert found.transverse == pytest.approx(v / 2 - 2 * kappa**2, abs=2e-14 * (1 + v))
    assert found.alignment == pytest.approx(kappa - 0.5, abs=2e-14 * (1 + v))


@given(st.floats(1e-6, 1))
@example(0.28386814805365174)
def test_energy_splits_and_fractions_are_fractions(x):
    for perturbation in (
        SignFlip(x),
        MagnitudeShift(x),
        MagnitudeNoise(x),
        Ternarize(x),
        Ternarize(x, 1 + x),
    ):
        for activation in ("relu", "identity"):
            b = theory.block(perturbation, activation)
            if np.isnan(b.radial):  # E hδ changes its sign there: none of its digits is sure, nor any needed
                assert isinstance(perturbation, Ternarize)
                assert b.transverse == pytest.approx(b.energy, rel=1e-9)
                continue
            assert b.energy == pytest.approx(b.radial + b.transverse, rel=1e-12, abs=1e-300)
            assert 0 <= b.radial_fraction <= 1
            assert -1e-15 <= b.sine_squared <= 1 + 1e-15
            assert b.radial == pytest.approx(b.alignment**2 / b.signal, rel=1e-13)


def test_theorem_4():
    assert theory.sign_cosine_squared() == pytest.approx(2 / math.pi, rel=1e-15)
    assert theory.radial_fraction(SignQuantize(), "identity") == pytest.approx(0.363380227632419, rel=1e-12)
    relu = theory.radial_fraction(SignQuantize())
    assert relu == pytest.approx(0.364893467110275, rel=1e-12)
    assert relu / theory.radial_fraction(SignQuantize(), "identity") - 1 == pytest.approx(0.00416, abs=1e-5)
    assert theory.cosine_squared(Ternarize()) == pytest.approx(0.786957665452318, rel=1e-12)
    assert theory.radial_fraction(Ternarize()) == pytest.approx(0.213577563788822, rel=1e-12)
    assert theory.radial_fraction(Ternarize(scale="mean_abs")) == pytest.approx(0.65917742328081, rel=1e-12)


def test_limit_and_root_coefficient_as_rates():
    rates = np.logspace(-10, -5, 11)
    relative = theory.transverse_ratio(rates) / theory.transverse_ratio_limit() - 1
    slope = np.polyfit(np.log(rates), np.log(-relative), 1)[0]
    assert slope == pytest.approx(0.5, abs=2e-3)
    exact, paper = theory.transverse_ratio_root_coefficient(), -4 / (3 * math.pi)
    assert exact == pytest.approx(-0.168572554882126, rel=1e-12)
    remainder = relative - exact * np.sqrt(rates)
    assert np.polyfit(np.log(rates[5:]), np.log(np.abs(remainder[5:])), 1)[0] == pytest.approx(1, abs=0.02)
    # With the paper's coefficient the remainder would still be of order √p.
    wrong = np.abs(relative - paper * np.sqrt(rates))
    assert np.polyfit(np.log(rates), np.log(wrong), 1)[0] == pytest.approx(0.5, abs=0.02)


def test_expansion_leaves_the_power_three_halves():
    assert theory.transverse_ratio_rate_coefficient() == pytest.approx(-1.4514, abs=5e-5)
    rates = np.logspace(-7, -4, 13)
    remainder = np.abs(theory.transverse_ratio(rates) - theory.transverse_ratio_expansion(rates))
    assert np.polyfit(np.log(rates), np.log(remainder), 1)[0] == pytest.approx(1.5, abs=0.05)


def test_finite_change_ignores_the_scale_that_the_linear_one_keeps():
    base = Ternarize(0.6, 1.0).moments()
    for scale in (0.5, 3.0):
        scaled = Ternarize(0.6, scale).moments()
        assert scaled.c == pytest.approx(scale * base.c)
        a, b = theory.block(Ternarize(0.6, 1.0)), theory.block(Ternarize(0.6, scale))
        assert b.sine_squared == pytest.approx(a.sine_squared, rel=1e-13)
        assert b.transverse == pytest.approx(scale**2 * a.transverse, rel=1e-13)


def test_monotone_in_the_rate():
    rates = np.linspace(1e-4, 0.5, 500)
    assert np.all(np.diff(theory.transverse_ratio(rates)) < 0)
    assert np.all(np.diff(theory.radial_fraction(SignFlip(rates))) > 0)


def test_proposition_1():
    rates, rows = np.array([0.01, 0.1, 0.5]), 64.0
    noise, flip, shift = (
        theory.block(p, "identity")
        for p in (theory.matched_noise(rates), SignFlip(rates), theory.matched_shift(rates))
    )
    np.testing.assert_allclose(noise.energy, flip.energy, rtol=1e-14)
    np.testing.assert_allclose(
        theory.noise_to_flip_ratio(rates), noise.transverse / flip.transverse, rtol=1e-13
    )
    np.testing.assert_allclose(
        theory.flip_to_shift_ratio(rates), flip.transverse / shift.transverse, rtol=1e-13
    )
    assert theory.flip_to_shift_ratio(0.01) == pytest.approx(2.7244, abs=5e-5)
    assert theory.noise_matrix_radial_fraction(rows) == 1 / rows
    # One matrix by hand: m rows, δW x has covariance (noise)I plus drift² along Wx.
    expected = (flip.radial + flip.transverse / rows) / flip.energy
    np.testing.assert_allclose(theory.flip_matrix_radial_fraction(rates, rows), expected, rtol=1e-13)


@pytest.mark.parametrize("rate", [0.001, 0.03, 0.4])
def test_derivative_is_that_of_the_reference(rate):
    with mp.workdps(40):
        ratio = lambda p: textbook(*flip_cv(p))[2] / textbook(*shift_cv(p))[2]  # noqa: E731
        slope = float(mp.diff(ratio, mp.mpf(rate)))
    tolerance = 1e-10 if X64 else 2e-3
    assert float(jax.grad(theory.transverse_ratio)(rate)) == pytest.approx(slope, rel=tolerance)


def test_value_and_gradient_exist_at_both_ends():
    transverse = lambda p: theory.block(SignFlip(p)).transverse  # noqa: E731
    energy = lambda p: theory.block(SignFlip(p)).energy  # noqa: E731
    assert float(jax.grad(transverse)(0.0)) == pytest.approx(2, rel=1e-5)
    assert float(jax.grad(energy)(0.0)) == pytest.approx(2, rel=1e-5)
    assert float(jax.grad(transverse)(1.0)) == pytest.approx(0, abs=1e-5)
    assert float(jax.grad(energy)(1.0)) == pytest.approx(0, abs=1e-5)
    for f in (transverse, energy):
        for p in (0.0, 1.0):
            assert np.isfinite(float(jax.jit(jax.grad(jax.grad(f)))(p)))
    at_zero = theory.block(SignFlip(0.0))
    assert at_zero.energy == at_zero.transverse == at_zero.radial_fraction == 0
    reversed_ = theory.block(SignFlip(1.0))
    assert reversed_.energy == pytest.approx(1, rel=1e-15)
    assert reversed_.transverse == pytest.approx(0.5, rel=1e-15)
    # All weights gone: c = v = 0.
    gone = theory.block(type("Gone", (), {"moments": lambda self: Moments(0.0, 0.0, -1.0, 0.0)})())
    assert (gone.energy, gone.transverse, gone.sine_squared) == (0.5, 0.0, 1.0)


def test_float64_on_concrete_input_and_the_callers_precision_on_traced():
    with jax.enable_x64(False):
        value = theory.transverse_ratio(np.float32(0.25))
        assert type(value) is np.float64
        assert theory.transverse_ratio(jnp.array([0.1, 0.2])).dtype == np.float64
        assert jax.jit(theory.transverse_ratio)(0.25).dtype == jnp.float32
        assert float(jax.jit(theory.transverse_ratio)(0.25)) == pytest.approx(value, rel=1e-5)
    with jax.enable_x64(True):
        assert jax.jit(theory.transverse_ratio)(0.25).dtype == jnp.float64
    assert jax.vmap(theory.transverse_ratio)(jnp.array([0.1, 0.2], dtype=jnp.bfloat16)).dtype == jnp.float32


def test_a_million_rates_compile_once():
    traced = []

    @jax.jit
    def ratios(rates):
        traced.append(rates.shape)
        return jax.vmap(theory.transverse_ratio)(rates)

    first = ratios(jnp.linspace(1e-6, 0.5, 1_000_000))
    ratios(jnp.linspace(1e-5, 0.4, 1_000_000))
    assert traced == [(1_000_000,)]
    assert bool(jnp.all(jnp.isfinite(first)))


@pytest.mark.parametrize("bad", [0.0, -0.1, 0.51, float("nan"), float("inf")])
def test_rates_outside_are_refused_and_traced_ones_are_nan(bad):
    with pytest.raises(InvalidInput, match=r"`0 < rate <= 0.5` is required, received .*: pass a flip rate"):
        theory.transverse_ratio(bad)
    with pytest.raises(ValueError, match="0 < rate"):
        theory.paper_transverse_ratio(np.array([0.1, bad]))
    mapped = jax.vmap(theory.transverse_ratio)(jnp.array([0.1, bad]))
    assert np.isnan(np.asarray(mapped)).tolist() == [False, True]


@pytest.mark.parametrize("c", ["1", None, math.nan, 1e200, 10**400, 1j, [0.5, [0.6]], [0.5, math.inf]])
def test_moments_that_are_no_numbers_are_refused_by_name(c):
    mine = type("Mine", (), {"moments": lambda self: Moments.of(c, 1.0)})()
    with pytest.raises(InvalidInput, match=r"^`(c|noise) is finite` is required, received .*: return finite"):
        theory.block(mine)


@pytest.mark.parametrize(
    ("c", "v"), [([0.5, 0.3], [1, 2]), (Fraction(1, 2), 1), (Decimal("0.5"), Decimal(1))], ids=type
)
def test_moments_may_be_lists_fractions_and_decimals(c, v):
    def fraction(moments):
        return theory.radial_fraction(type("Given", (), {"moments": lambda self: moments})())

    arrays = (np.asarray(one, dtype=np.float64) for one in (c, v))
    np.testing.assert_array_equal(fraction(Moments.of(c, v)), fraction(Moments.of(*arrays)))


def test_impossible_moments_and_unknown_activations_are_refused():
    mine = type("Mine", (), {"moments": lambda self: Moments.of(1.0, 0.5)})()
    with pytest.raises(InvalidInput, match="`noise = v - c"):
        theory.block(mine)
    with pytest.raises(InvalidInput, match="`activation in"):
        theory.block(SignFlip(0.1), "softplus")
    nan = type("Nan", (), {"moments": lambda self: Moments(1.0, float("nan"), 0.0, 0.0)})()
    with pytest.raises(InvalidInput, match="`v is finite`"):
        theory.block(nan)
