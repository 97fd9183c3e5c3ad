"""The ends of every domain: angles of 0 and π, the smallest rates, float32, cosines below 0."""

import math
from itertools import pairwise

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import quick

from signmag_jax import theory
from signmag_jax.perturb import MagnitudeNoise, Scale, SignFlip
from signmag_jax.theory.depth_width import realised

SMALLEST = math.ulp(0.0)


def textbook_transverse(c, v):
    kappa = textbook_overlap(c, v)
    return v / 2 - 2 * kappa**2


def textbook_overlap(c, v):
    theta = mp.acos(c / mp.sqrt(v))
    return mp.sqrt(v) * (mp.sin(theta) + (mp.pi - theta) * mp.cos(theta)) / (2 * mp.pi)


def textbook_ratio(root):
    """A as a function of √p."""
    size, b = 2 * root, mp.sqrt(2 / mp.pi)
    flip = textbook_transverse(1 - 2 * root**2, mp.mpf(1))
    return flip / textbook_transverse(1 + size * b, 1 + 2 * size * b + size**2)


@pytest.mark.parametrize("n", [2.0, 2048.0])
def test_amplification_of_a_whole_input_has_value_and_gradient(n):
    with jax.enable_x64(True):
        law = jax.jit(lambda alpha: theory.flip_amplification(alpha, n))
        # 1 − J(−1) = 1, and its derivative 4α(1 − θ/π) vanishes.
        base = 1 - 2 * textbook_overlap(1 - 2 / mp.mpf(n), mp.mpf(1))
        assert float(law(1.0)) == pytest.approx(float(1 / base), rel=1e-12)
        assert float(jax.grad(law)(1.0)) == 0
        assert float(jax.jvp(law, (1.0,), (1.0,))[1]) == 0
        for alpha in (0.3, 0.9, 1 - 1e-6):
            slope = mp.diff(lambda a: (1 - 2 * textbook_overlap(1 - 2 * a**2, mp.mpf(1))) / base, alpha)
            assert float(jax.grad(law)(alpha)) == pytest.approx(float(slope), rel=1e-9)


@pytest.mark.parametrize("activation", ["relu", "relu_squared", "identity"])
@pytest.mark.parametrize("kind", [SignFlip, MagnitudeNoise, Scale])
def test_every_block_has_gradients_where_its_angle_ends(activation, kind):
    with jax.enable_x64(True):
        values = lambda x: jnp.stack(theory.block(kind(x), activation))  # noqa: E731
        slopes = quick.jit(jax.jacfwd(values))
        for x in (0.0, 1.0, -1.0) if kind is Scale else (0.0, 1.0):
            found = np.asarray(slopes(x))
            # The radial fraction is 0/0 where there is no error.
            kept = np.arange(len(found)) != theory.BlockEnergies._fields.index("radial_fraction")
            assert np.all(np.isfinite(found[kept])), (x, found)


@pytest.mark.parametrize(
    ("chain", "activation"),
    [("plain", "relu"), ("plain", "identity"), ("residual", "identity"), ("renormalised", "identity")],
)
def test_chains_have_gradients_where_cosines_are_zero_or_one(chain, activation):
    with jax.enable_x64(True):
        ratios = quick.jit(jax.jacfwd(lambda p: theory.chain_ratios(p, 2, chain, activation=activation)))
        # Half of all signs flipped: the cosine of linear layers is 0.
        secant = (
            theory.chain_ratios(0.5, 2, chain, activation=activation)
            - theory.chain_ratios(0.5 - 1e-7, 2, chain, activation=activation)
        ) / 1e-7
        np.testing.assert_allclose(ratios(0.5), secant, rtol=1e-5)
        states = quick.jit(jax.jacrev(lambda p: theory.chain(SignFlip(p), 2, chain, activation=activation)))
        for rate in (0.0, 0.5, 1.0):
            assert all(np.all(np.isfinite(part)) for part in states(rate))


@pytest.mark.parametrize("rate", [0.3, 0.7, 0.9, 1.0])
@pytest.mark.parametrize("slope", [0.01, 0.3, 0.9])
def test_cosines_keep_their_sign_from_layer_to_layer(rate, slope):
    """Most signs flipped: φ(z) and φ(z') point apart, which sin² alone does not say."""
    found = theory.chain(SignFlip(rate), 4, activation=theory.leaky_relu(slope)).sine_squared
    with mp.workdps(30):
        c, q, nu = 1 - 2 * mp.mpf(rate), mp.mpf(1), (1 + mp.mpf(slope) ** 2) / 2
        expected = []
        for _ in range(4):
            q = leaky_kernel(c * q, slope) / nu
            expected.append(float(1 - q**2))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


def leaky_kernel(cosine, slope):
    """E φ(z)φ(z') by quadrature over the angle of the pair, piece by piece between the kinks."""
    theta = mp.acos(cosine)
    phi = lambda x: x if x > 0 else slope * x  # noqa: E731
    product = lambda t: phi(mp.cos(t)) * phi(mp.cos(t - theta))  # noqa: E731
    kinks = [-mp.pi, -mp.pi / 2, theta - mp.pi / 2, mp.pi / 2, theta + mp.pi / 2, mp.pi]
    ends = sorted({((k + mp.pi) % (2 * mp.pi)) - mp.pi for k in kinks[1:-1]} | {-mp.pi, mp.pi})
    # E r² = 2 and the angle is uniform.
    return sum(mp.quad(product, [a, b]) for a, b in pairwise(ends)) / mp.pi


@pytest.mark.parametrize("rate", [1.5e-36, 1e-30, 1e-20, 1e-12, 1e-9, 1e-6, 1e-4, 1e-3, 0.02, 0.1, 0.3, 0.5])
def test_ratio_and_gradient_in_float32(rate):
    """A few units of rounding at every rate, although A′ is what is left of two slopes of order 1/p."""
    rate = np.float32(rate)
    with mp.workdps(60):
        root = mp.sqrt(mp.mpf(float(rate)))
        slope = mp.diff(textbook_ratio, root, h=root * mp.mpf(10) ** -20, direction=-1)
        value, slope = float(textbook_ratio(root)), float(slope / (2 * root))
    found, gradient = jax.jit(jax.value_and_grad(theory.transverse_ratio))(jnp.asarray(rate))
    assert found.dtype == gradient.dtype == jnp.float32
    unit = float(jnp.finfo(jnp.float32).eps)
    assert float(found) == pytest.approx(value, rel=4 * unit)
    assert float(gradient) == pytest.approx(slope, rel=20 * unit)


@pytest.mark.parametrize("rate", [1e-300, 1e-12, 1e-5, 0.03, 0.5])
def test_gradient_in_float64(rate):
    with mp.workdps(700 if rate < 1e-100 else 60), jax.enable_x64(True):
        root = mp.sqrt(mp.mpf(rate))
        slope = mp.diff(textbook_ratio, root, h=root * mp.mpf(10) ** -20, direction=-1) / (2 * root)
        found = jax.jit(jax.grad(theory.transverse_ratio))(rate)
        assert float(found) == pytest.approx(float(slope), rel=1e-14)


@pytest.mark.parametrize("rate", [1e-60, 1e-200, 1e-300, 1e-307, 1e-310, SMALLEST])
def test_ratios_at_the_smallest_rates_are_their_limits(rate):
    limit = math.pi / (math.pi - 2)
    assert theory.transverse_ratio(rate) == pytest.approx(limit, rel=4e-16)
    assert theory.depth_ratios(rate, 3) == pytest.approx([limit] * 3, rel=1e-13)
    assert theory.finite_rows_ratio(rate, 1e6) == pytest.approx(limit, rel=1e-5)
    nearby = 1e-28
    for law in (
        lambda p: theory.depth_ratios(p, 3, residual=True),
        lambda p: theory.chain_ratios(p, 3, "renormalised"),
        lambda p: theory.depth_ratios(p, 2, activation="silu"),
        lambda p: theory.finite_width_ratio(p, 64),
        lambda p: theory.finite_width_depth_ratios(p, 3, 64),
        lambda p: theory.profile_width_ratio(p, np.arange(1.0, 9.0)),
    ):
        np.testing.assert_allclose(law(rate), law(nearby), rtol=1e-11)


@pytest.mark.parametrize("apart", [1e-30, 1e-16, 1e-8, 1e-4, 0.1, 0.6])
@pytest.mark.parametrize("rows", [8, 2048])
def test_realised_cosine_keeps_its_digits(apart, rows):
    with mp.workdps(100):
        kernel = lambda t: (mp.sin(t) + (mp.pi - t) * mp.cos(t)) / mp.pi  # noqa: E731
        j = 1 - mp.mpf(apart)
        theta = mp.findroot(lambda t: kernel(t) - j, mp.sqrt(2 * mp.mpf(apart)))
        sine, cosine, left = mp.sin(theta), mp.cos(theta), mp.pi - theta
        k22 = (3 * sine * cosine + left * (1 + 2 * cosine**2)) / (2 * mp.pi)
        k31 = (3 * sine - sine**3 + 3 * left * cosine) / (2 * mp.pi)
        square = 1 - j**2 - (4 * k22 * (1 + j**2) + 12 * j**2 - 16 * j * k31) / rows
        expected = float(square / (1 + mp.sqrt(1 - square)))
    assert realised(apart, rows) == pytest.approx(expected, rel=1e-12)
