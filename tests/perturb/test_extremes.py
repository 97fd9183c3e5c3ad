"""Thresholds and steps from nothing to everything lost, weights that are NaN, lists and integers."""

import math

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import quick

from signmag_jax import theory
from signmag_jax.evidence import InvalidInput
from signmag_jax.perturb import (
    Compose,
    LloydMax,
    MagnitudeNoise,
    MagnitudeShift,
    OnWeights,
    Prune,
    Scale,
    SignFlip,
    SignQuantize,
    Ternarize,
    UniformQuantize,
    empirical_moments,
)

EVERY = {
    "flip": SignFlip(0.3),
    "shift": MagnitudeShift(0.2),
    "noise": MagnitudeNoise(0.2),
    "sign": SignQuantize(),
    "ternary": Ternarize(),
    "ternary by numbers": Ternarize(0.5, 1.0),
    "ternary at threshold 0": Ternarize(0.0),
    "BitNet": Ternarize.bitnet(),
    "prune": Prune(0.5),
    "scale": Scale(2.0),
    "absmax": UniformQuantize(4),
    "mean_abs": UniformQuantize(4, "mean_abs"),
    "given step": UniformQuantize(4, 0.3),
    "Lloyd–Max": LloydMax(2),
    "composed": Compose(SignFlip(0.1), Ternarize()),
    "on weights": OnWeights(Ternarize(), np.arange(1.0, 4.0)),
}
KEY = jax.random.key(0)
THRESHOLDS = [0.0, 1e-300, 1e-8, 0.5, 3.0, 8.0, 20.0, 30.0, 37.0, 37.6, 38.0, 38.6, 50.0, 1e6, 1e300]


def density_and_tail(t):
    t = min(mp.mpf(t), mp.mpf(1000))
    return mp.npdf(t), mp.erfc(t / mp.sqrt(2)) / 2


def agree(found, exact, scale=1.0):
    """To 1e-12 where the exact moment is a normal number; 0, its limit, or as small below."""
    for value, expected in zip(found, exact, strict=True):
        small = 1e-303 * scale
        assert float(value) == pytest.approx(float(expected), rel=1e-12, abs=small)


def consistent(m):
    assert all(np.isfinite(m))
    assert m.noise >= 0
    assert m.c**2 <= m.v * (1 + 1e-15)  # Cauchy–Schwarz
    assert m.drift == pytest.approx(m.c - 1, abs=1e-15)
    assert m.noise == pytest.approx(m.v - m.c**2, rel=1e-9, abs=1e-15 * m.v)


@pytest.mark.parametrize("t", THRESHOLDS)
def test_ternary_moments_at_every_threshold(t):
    with mp.workdps(60):
        f, q = density_and_tail(t)
        c = 2 * f * f / q
        best = Ternarize(t).moments()
        agree((best.c, best.v, best.noise), (c, c, c * (1 - c)))
        consistent(best)
        for scale in (1e-3, 1.0, 1e3):
            given = Ternarize(t, scale).moments()
            exact = (2 * scale * f, 2 * scale**2 * q, 2 * scale**2 * (q - 2 * f**2))
            agree((given.c, given.v, given.noise), exact, scale=max(scale, scale**2))
            consistent(given)


@pytest.mark.parametrize("t", THRESHOLDS)
def test_pruning_moments_at_every_threshold(t):
    with mp.workdps(60):
        f, q = density_and_tail(t)
        kept = 2 * (min(mp.mpf(t), mp.mpf(1000)) * f + q)
        found = Prune(t).moments()
        agree((found.c, found.v, found.noise), (kept, kept, kept * (1 - kept)))
        agree((-found.drift,), (mp.gammainc(1.5, 0, mp.mpf(t) ** 2 / 2, regularized=True) if t < 40 else 1,))
    consistent(found)


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("step", [1e-300, 1e-100, 1e-8, 0.01, 5.0, 30.0, 60.0, 80.0, 1e6, 1e300])
def test_uniform_moments_at_every_step(bits, step):
    with mp.workdps(60):
        s, most = mp.mpf(step), 2 ** (bits - 1) - 1
        c = v = mp.mpf(0)
        for i in range(1, most + 1):
            low, high = density_and_tail(s * (i - 0.5)), density_and_tail(s * (i + 0.5))
            f, q = (low[k] - (high[k] if i < most else 0) for k in (0, 1))
            c, v = c + 2 * i * s * f, v + 2 * (i * s) ** 2 * q
        found = UniformQuantize(bits, step).moments()
        agree((found.c, found.v, found.noise), (c, v, v - c**2))
    consistent(found)


def test_everything_pruned_is_a_block_without_output():
    for gone in (Ternarize(50.0), Ternarize(50.0, 2.0), Prune(50.0), UniformQuantize(2, 1e200), Scale(0.0)):
        block = theory.block(gone)
        assert (block.energy, block.transverse, block.radial_fraction) == (0.5, 0.0, 1.0)
        assert theory.cosine_squared(gone) == 0
    slope = jax.grad(lambda t: Ternarize(t).moments().c)(50.0)
    assert float(slope) == 0


def test_cosine_keeps_its_digits_where_squares_underflow():
    assert theory.cosine_squared(Scale(1e-200)) == 1
    with mp.workdps(60):
        f, q = density_and_tail(30)
        assert theory.cosine_squared(Ternarize(30.0)) == pytest.approx(float(2 * f * f / q), rel=1e-12)


@pytest.mark.parametrize("name", EVERY)
def test_weights_that_are_no_numbers_stay_visible(name):
    for apply in (EVERY[name].apply, quick.jit(lambda key, w: EVERY[name].apply(key, w))):
        for bad in (np.nan, np.inf, -np.inf):
            w = jnp.array([1.0, bad, -0.1, 0.2], dtype=jnp.float32)
            assert not np.isfinite(np.asarray(apply(KEY, w)))[1], bad


@pytest.mark.parametrize("name", EVERY)
def test_lists_and_integers_take_the_default_precision(name):
    one = EVERY[name]
    expected = one.apply(KEY, jnp.array([[1.0, 2.0], [-1.0, 3.0]]))
    for w in (
        [[1.0, 2.0], [-1.0, 3.0]],
        [[1, 2], [-1, 3]],
        np.array([[1, 2], [-1, 3]]),
        np.array([[1.0, 2.0], [-1.0, 3.0]]),
        jnp.array([[1, 2], [-1, 3]]),
    ):
        found = one.apply(KEY, w)
        assert found.dtype == jnp.result_type(float)
        np.testing.assert_array_equal(found, expected)
    assert one.apply(KEY, np.ones(3, dtype=np.float32)).dtype == jnp.float32
    assert one.apply(KEY, []).shape == (0,)


@pytest.mark.parametrize("w", [["a"], [[1, 2], [3]], [1j], [True], None])
@pytest.mark.parametrize("name", EVERY)
def test_other_weights_are_refused(name, w):
    with pytest.raises(
        InvalidInput, match=r"^`w is an array of real numbers` is required, received .*: pass"
    ):
        EVERY[name].apply(KEY, w)


def test_empirical_moments_of_lists_and_bad_weights():
    weights = [1, -2, 3, 5]
    assert empirical_moments(SignQuantize(), weights) == empirical_moments(
        SignQuantize(), np.array(weights) * 1.0
    )
    for bad in (["a"], [[1], [2, 3]]):
        with pytest.raises(InvalidInput, match="weights is an array of real numbers"):
            empirical_moments(SignQuantize(), bad)
    with pytest.raises(InvalidInput, match="weights are finite"):
        empirical_moments(SignQuantize(), [1.0, math.nan])
    with pytest.raises(InvalidInput, match="entries is an integer from 2"):
        UniformQuantize(4, entries=10**400)
