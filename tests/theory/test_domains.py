"""Tiny and huge arguments: the textbook forms at hundreds of digits, where float64 once lost some or all."""

import jax
import mpmath as mp
import numpy as np
import pytest
import quick

from signmag_jax import theory
from signmag_jax.evidence import Incomplete, InvalidInput
from signmag_jax.perturb import MagnitudeNoise, MagnitudeShift, Prune, Scale, SignFlip

DIGITS = 700


def kernel(c, v):
    """E relu(z)relu(z'): the degree-1 arc-cosine kernel."""
    theta = mp.acos(c / mp.sqrt(v))
    return mp.sqrt(v) * (mp.sin(theta) + (mp.pi - theta) * mp.cos(theta)) / (2 * mp.pi)


def flips(p):
    return 1 - 2 * p, mp.mpf(1)


def shift(size):
    b = mp.sqrt(2 / mp.pi)
    return 1 + b * size, 1 + 2 * b * size + size**2


def radial(own, other, cross):
    return (cross - own) ** 2 / (own * (own + other - 2 * cross))


def gelu_kernel(first, second, both):
    """E zΦ(z)z'Φ(z') by Stein's lemma."""
    a, b = 1 + first, 1 + second
    root = mp.sqrt(a * b - both**2)
    gates, densities = mp.mpf(1) / 4 + mp.atan(both / root) / (2 * mp.pi), 1 / (2 * mp.pi * root)
    return first * (second - both**2 / a) * densities + both * (gates + both / b * densities)


def erf_kernel(first, second, both):
    return 2 / mp.pi * mp.asin(2 * both / mp.sqrt((1 + 2 * first) * (1 + 2 * second)))


@pytest.mark.parametrize("scale", [1e-90, 1e-3, 1e3])
@pytest.mark.parametrize("perturbation", [SignFlip(1e-30), MagnitudeShift(1e-20)])
@pytest.mark.parametrize(("name", "closed"), [("gelu", gelu_kernel), ("erf", erf_kernel)])
def test_gelu_and_erf_at_every_scale(name, closed, perturbation, scale):
    with mp.workdps(DIGITS):
        tiny = isinstance(perturbation, SignFlip)
        c, v = flips(mp.mpf(perturbation.rate)) if tiny else shift(mp.mpf(perturbation.size))
        square = mp.mpf(scale) ** 2
        parts = [closed(*(square * m for m in pair)) for pair in ((1, 1, 1), (v, v, v), (1, v, c))]
        expected = float(radial(*parts))
    assert theory.radial_fraction(perturbation, name, scale) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["silu", "tanh", "gelu", "erf"])
def test_smooth_activations_at_the_smallest_rates(name):
    """R of flips is p·E φ'²/E φ² as p → 0, by Stein's identity; the next order is p itself."""
    functions = {
        "silu": lambda z: z / (1 + mp.exp(-z)),
        "tanh": mp.tanh,
        "gelu": lambda z: z * mp.ncdf(z),
        "erf": mp.erf,
    }
    phi = functions[name]
    with mp.workdps(20):
        mean = lambda f: mp.quad(lambda z: mp.npdf(z) * f(z), np.arange(-9, 10, 2).tolist())  # noqa: E731
        slope = float(mean(lambda z: mp.diff(phi, z) ** 2) / mean(lambda z: phi(z) ** 2))
    for rate in (1e-14, 1e-30, 1e-200):
        assert theory.radial_fraction(SignFlip(rate), name) == pytest.approx(rate * slope, rel=1e-12)


@pytest.mark.parametrize("size", [1e-9, 1e-160, 1e-300, -1e-300])
@pytest.mark.parametrize("slope", [0.0, 0.01, -0.5])
def test_coherent_errors_of_any_size(size, slope):
    with mp.workdps(DIGITS):
        c, v = shift(mp.mpf(size))
        s = mp.mpf(slope)
        cross = (1 + s**2) * kernel(c, v) - 2 * s * kernel(-c, v)
        expected = float(radial((1 + s**2) / 2, (1 + s**2) / 2 * v, cross))
    found = theory.radial_fraction(MagnitudeShift(size), theory.leaky_relu(slope))
    assert found == pytest.approx(expected, rel=1e-12)


def cost(share):
    """1 − J(1 − 2·share)."""
    return 1 - 2 * kernel(1 - 2 * share, mp.mpf(1))


@pytest.mark.parametrize("rate", [1e-300, 1e-100, 1e-20, 1e-8, 0.5])
def test_laws_of_the_rate(rate):
    with mp.workdps(DIGITS):
        p = mp.mpf(rate)
        pairs = flips(p), shift(2 * mp.sqrt(p))
        across = [v / 2 - 2 * kernel(c, v) ** 2 for c, v in pairs]
        paper = mp.pi / (mp.pi - 2) * (1 - p) * (1 - 4 * mp.sqrt(p) / (3 * mp.pi))
        lost = [v * (1 - 2 * kernel(c, v) / mp.sqrt(v)) for c, v in pairs]
        fraction, share = mp.mpf(0.05), mp.mpf(0.3)
        column = (1 - fraction) / fraction * cost(p * share) / cost(p * (1 - share))
        expected = [float(x) for x in (paper - across[0] / across[1], lost[0] / lost[1], column)]
    found = (
        theory.paper_transverse_ratio_error(rate),
        theory.residual_limit(rate),
        theory.column_ratio(rate, 0.3, 0.05),
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def deep_ratio(root, depth):
    """C_L of the plain chain as a function of √p."""
    parted = []
    for c, v in (flips(root**2), shift(2 * root)):
        q = mp.mpf(1)
        for _ in range(depth):
            q = 2 * kernel(c * q, v) / mp.sqrt(v)
        parted.append(1 - q**2)
    return parted[0] / parted[1]


def limit(root):
    (c, v), (c_shift, v_shift) = flips(root**2), shift(2 * root)
    return (1 - 2 * kernel(c, v)) / (v_shift - 2 * mp.sqrt(v_shift) * kernel(c_shift, v_shift))


@pytest.mark.parametrize("rate", [1e-60, 1e-24, 1e-6, 0.3])
def test_gradients_of_limits_and_deep_chains(rate):
    cases = (
        (lambda p: theory.residual_limit(p), limit),
        (lambda p: theory.depth_ratios(p, 12)[11], lambda root: deep_ratio(root, 12)),
    )
    for law, textbook in cases:
        with mp.workdps(200), jax.enable_x64(True):
            root = mp.sqrt(mp.mpf(rate))
            slope = mp.diff(textbook, root, h=root * mp.mpf(10) ** -40, direction=-1) / (2 * root)
            found = quick.jit(jax.grad(law))(rate)
        assert float(found) == pytest.approx(float(slope), rel=1e-11)


def test_the_floor_is_a_limit_and_no_bound():
    assert theory.depth_ratios(1e-8, 20_000)[-1] < theory.depth_floor()
    assert theory.depth_ratios(1e-14, 20_000)[-1] > theory.depth_floor()


@pytest.mark.parametrize(
    "call",
    [
        lambda: theory.flip_amplification(1e-200, 8),
        lambda: theory.radial_fraction(MagnitudeNoise(1e-80)),
        lambda: theory.chain(SignFlip(1e-300), 2, "residual", scale=1e-20),
    ],
    ids=["amplification", "noise", "stream"],
)
def test_what_float64_does_not_hold_is_refused(call):
    with pytest.raises(Incomplete, match="float64 does not resolve it at these arguments, or hold it"):
        call()


def test_moments_that_have_underflown_are_refused():
    for bad in (Scale(1e-200), Scale(-1e-170)):
        with pytest.raises(InvalidInput, match="the moments of smaller ones underflow"):
            theory.block(bad)
    for kind in (Scale, Prune):
        with pytest.raises(InvalidInput, match=r"0 or at least 2.3e-308 in size.*received 5e-324"):
            kind(5e-324)


@pytest.mark.parametrize("name", ["silu", "tanh"])
def test_scales_that_no_grid_resolves_are_refused(name):
    for scale in (1e-200, 1e30):
        with pytest.raises(InvalidInput, match=f"<= scale and scale·√v <= .* for {name}"):
            theory.radial_fraction(SignFlip(0.1), name, scale)


def test_gradients_outside_a_domain_are_no_numbers():
    x, pool = np.array([1.0, -0.5, 2.0, 0.25]), np.array([True, False, False, True])
    laws = (
        theory.transverse_ratio,
        theory.flip_to_shift_ratio,
        lambda p: theory.profile_pool_leverage(p, x, pool),
        lambda p: theory.depth_ratios(p, 2)[1],
        lambda p: theory.radial_fraction(SignFlip(p)),
        lambda p: theory.cosine_squared(SignFlip(p)),
        lambda p: theory.pool_leverage(x**2, 1.0, pool, SignFlip(p)),
        lambda s: theory.radial_fraction(SignFlip(0.1), "relu_squared", -s),
    )
    for law in laws:
        slope = quick.jit(jax.value_and_grad(law))
        for outside in (1.5, np.inf, np.nan):
            assert np.all(np.isnan(slope(outside)))
