"""Activations and perturbations of one's own: closed forms, mpmath, what is no activation, balls."""

import math
from itertools import pairwise

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from signmag_jax import theory
from signmag_jax.evidence import InvalidInput
from signmag_jax.perturb import MagnitudeNoise, MagnitudeShift, Moments, Scale, SignFlip, Ternarize


class Given:
    """A perturbation that is its moments."""

    def __init__(self, moments):
        self._moments = moments

    def moments(self):
        return self._moments


SLOW = {"marks": pytest.mark.slow}


@pytest.mark.parametrize("scale", [1.0, *(pytest.param(scale, **SLOW) for scale in (1e-6, 5.0, 40.0))])
def test_a_sine_has_a_closed_form(scale):
    """E sin z sin z' = e^(−(s² + s'²)/2) sinh(E zz')."""
    sine = theory.smooth("sin", jnp.sin)
    with mp.workdps(60):
        rate, square = mp.mpf(0.1), mp.mpf(scale) ** 2
        own, cross = (mp.exp(-square) * mp.sinh(m) for m in (square, (1 - 2 * rate) * square))
        expected = float((cross - own) ** 2 / (own * (2 * own - 2 * cross)))
    assert theory.radial_fraction(SignFlip(0.1), sine, scale) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (jax.nn.relu, {"analytic": 3.0}),
        (jnp.tanh, {"derivative": lambda z: 1 - jnp.tanh(z)}),
        (jnp.sign, {}),
        pytest.param(jax.nn.elu, {}, **SLOW),
        pytest.param(lambda z: jnp.abs(z) ** 3, {}, **SLOW),
        pytest.param(lambda z: jnp.exp(z**2), {}, **SLOW),
        pytest.param(lambda z: jnp.tanh(1000 * (z - 0.3)), {}, **SLOW),
    ],
    ids=["relu", "not its derivative", "sign", "elu", "cube", "no second moment", "fine detail"],
)
def test_what_is_not_smooth_is_refused(function, options):
    with pytest.raises(InvalidInput, match="two quadratures of mine agree"):
        theory.radial_fraction(SignFlip(0.1), theory.smooth("mine", function, **options))


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (3, {}, "an activation maps arrays to arrays"),
        (jnp.sum, {}, "arrays of their shape"),
        (lambda z: z.astype(int), {}, "arrays of their shape"),
        (math.sin, {}, "an activation maps arrays to arrays"),
        (jnp.sin, {"analytic": math.nan}, "analytic > 0"),
        (lambda z: jnp.clip(z, -1, 1), {"kinks": (-1,)}, "linear between kinks"),
        (lambda z: jnp.clip(z, -1, 100), {"kinks": (-1,)}, "linear between kinks"),
        (jax.nn.elu, {"kinks": (0,)}, "linear between kinks"),
        (lambda z: jnp.where(z > 0, z + 1, z), {"kinks": (0,)}, "linear between kinks"),
        (jnp.sign, {"kinks": (0,)}, "linear between kinks"),
        (jax.nn.relu6, {"kinks": (6, 0)}, "kinks are finite and increasing"),
        (jax.nn.relu, {"kinks": 0.0}, "kinks are finite and increasing"),
        (jax.nn.relu, {"kinks": "0"}, "kinks are finite and increasing"),
    ],
)
def test_what_is_no_activation_is_refused(function, options, message):
    with pytest.raises(InvalidInput, match=message):
        theory.smooth("mine", function, **options)


def test_a_kink_at_zero_is_a_leaky_relu():
    mine = theory.smooth("mine", lambda z: jnp.where(z > 0, z, -0.3 * z), kinks=(0,))
    for perturbation in (
        SignFlip(1e-20),
        SignFlip(0.3),
        MagnitudeShift(3.0),
        MagnitudeNoise(5.0),
        Scale(-2.0),
    ):
        for scale in (1e-10, 1.0, 1e8):
            found, known = (theory.block(perturbation, a, scale) for a in (mine, theory.leaky_relu(-0.3)))
            size = np.array([known.energy, known.energy, known.energy, 1, 1, 1, known.signal])
            assert np.all(np.abs(np.subtract(found[:7], known[:7])) <= 1e-12 * size)


KINKED = {
    "hard tanh": (lambda z: jnp.clip(z, -1, 1), (-1, 1), (0, 1, 0), -1),
    "saw": (
        lambda z: jnp.where(z < -2, 3 * z + 6, jnp.where(z < 0.5, -0.5 * (z + 2), 2 * (z - 0.5) - 1.25)),
        (-2, 0.5),
        (3, -0.5, 2),
        0,
    ),
}


def line_integrals(kinks, slopes, value, c, noise, scale):
    """E f², E f'² and E ff' over z alone: given z, the mean of f(z') is a sum over its kinks."""
    jumps = [b - a for a, b in pairwise(slopes)]
    rest, spread, v = scale * mp.sqrt(noise), mp.sqrt(noise), mp.sqrt(c**2 + noise)

    def function(z):
        return (
            value
            + slopes[0] * (z - kinks[0])
            + sum(j * max(z - k, 0) for j, k in zip(jumps, kinks, strict=True))
        )

    def mean(z):
        parts = zip(jumps, kinks, strict=True)
        above = [j * ((z - k) * mp.ncdf((z - k) / rest) + rest * mp.npdf((z - k) / rest)) for j, k in parts]
        return value + slopes[0] * (z - kinks[0]) + sum(above)

    centres = [k / scale for k in kinks] + [k / scale / c for k in kinks]
    steps = [sign * t * spread / abs(c) for t in (0, 1, 3, 6, 12) for sign in (1, -1)]
    # Panels that end at kinks, and that are as narrow as z' is spread about them.
    cuts = sorted({mp.mpf(x) for x in range(-14, 15, 2)} | {a + b for a in centres for b in steps})
    cuts = [x for x in cuts if -14 <= x <= 14]
    over = lambda f: mp.quad(lambda x: mp.npdf(x) * f(x), cuts)  # noqa: E731
    ends = sorted({mp.mpf(x) for x in range(-14, 15, 2)} | {k / scale / v for k in kinks})
    ends = [x for x in ends if -14 <= x <= 14]
    other = mp.quad(lambda x: mp.npdf(x) * function(scale * v * x) ** 2, ends)
    return (
        over(lambda x: function(scale * x) ** 2),
        other,
        over(lambda x: function(scale * x) * mean(scale * c * x)),
    )


@pytest.mark.parametrize("name", ["saw", pytest.param("hard tanh", **SLOW)])
@pytest.mark.parametrize(
    ("drift", "noise"),
    [(-0.4, 0.3), (-1e-7, 1e-6), pytest.param(0.7, 1.0, **SLOW), (-2.5, 0.04)],
    ids=["far", "near", "grown", "back"],
)
def test_kinked_activations_in_one_dimension(name, drift, noise):
    function, kinks, slopes, value = KINKED[name]
    scale = 1.5
    found = theory.block(
        Given(Moments(1 + drift, (1 + drift) ** 2 + noise, drift, noise)),
        theory.smooth(name, function, kinks=kinks),
        scale,
    )
    with mp.workdps(28):
        own, other, cross = line_integrals(
            kinks, slopes, value, 1 + mp.mpf(drift), mp.mpf(noise), mp.mpf(scale)
        )
        energy, alignment, across = own + other - 2 * cross, cross - own, other - cross**2 / own
        expected = [float(part) for part in (energy, alignment, across, alignment**2 / own / energy)]
    mine = (found.energy, found.alignment, found.transverse, found.radial_fraction)
    np.testing.assert_allclose(mine, expected, rtol=1e-12)


def test_balls_of_ones_own_moments():
    """Binary numbers that stand for themselves: the ball is around what the law computes with."""
    for c, v in ((0.3, 0.7), (-1.25, 2.0), (1.0, 1.0 + 2.0**-40)):
        mine = Given(Moments.of(c, v))
        ball = theory.enclose("radial_fraction", perturbation=mine)
        noise = mine.moments().noise
        with mp.workdps(60):
            v = mp.mpf(c) ** 2 + noise
            theta = mp.acos(mp.mpf(c) / mp.sqrt(v))
            kappa = mp.sqrt(v) / (2 * mp.pi) * (mp.sin(theta) + (mp.pi - theta) * mp.cos(theta))
            expected = 2 * (kappa - 0.5) ** 2 / (v / 2 + mp.mpf(0.5) - 2 * kappa)
            assert abs(mp.mpf(ball.midpoint) - expected) <= mp.mpf(ball.radius)
        assert theory.radial_fraction(mine) == pytest.approx(float(ball), rel=1e-12)
    weights = theory.enclose("cosine_squared", perturbation=Given(Ternarize().moments()))
    assert float(weights) == pytest.approx(theory.cosine_squared(Ternarize()), rel=1e-14)
    estimate = theory.estimate("radial_fraction", perturbation=Given(Moments.of(0.3, 0.7)))
    assert estimate.enclosure is not None
    with pytest.raises(InvalidInput, match="one pair of moments"):
        theory.enclose("radial_fraction", perturbation=Given(SignFlip(np.array([0.1, 0.2])).moments()))
