"""Each perturbation is drawn, and its closed-form moments are compared with the draws."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from signmag_jax.perturb import (
    Compose,
    LloydMax,
    MagnitudeNoise,
    MagnitudeShift,
    Perturbation,
    Prune,
    Scale,
    SignFlip,
    SignQuantize,
    Ternarize,
    UniformQuantize,
)

TENSORS, ENTRIES = 64, 32768
B = math.sqrt(2 / math.pi)

# (perturbation, the nearest wrong (c, v) that someone could write down)
CASES = {
    "flip": (SignFlip(0.03), (1 - 0.03, 1.0)),
    "flip, common": (SignFlip(0.4), (1 - 0.4, 1.0)),
    "shift": (MagnitudeShift(0.2), (1 + 0.2 * 2 / math.pi, 1 + 0.4 * 2 / math.pi + 0.04)),
    "shrink": (MagnitudeShift(-0.3), (1.0, 1.09)),
    "noise": (MagnitudeNoise(0.25), (1.0, 1 + 2 * 0.25 * B + 0.25**2)),
    "sign": (SignQuantize(), (B, B)),
    "ternary": (Ternarize(), (0.787, 0.619)),
    "BitNet": (Ternarize(scale="mean_abs"), (0.588, 0.588)),
    "ternary by numbers": (Ternarize(0.7, 1.3), (2 * 1.3 * 0.3123, 1.3**2 * 0.242)),
    "ternary, given threshold": (Ternarize(threshold=0.6), (0.8, 0.8)),
    "prune": (Prune(0.5), (0.8, 0.8)),
    "scale": (Scale(-0.7), (0.7, 0.49)),
    "absmax": (UniformQuantize(4, entries=ENTRIES), (0.98, 0.98)),
    "mean_abs": (UniformQuantize(3, "mean_abs"), (0.97, 0.97)),
    "given step": (UniformQuantize(3, 0.6), (0.98, 0.98)),
    "Lloyd–Max": (LloydMax(2), (2 / math.pi, 2 / math.pi)),
    "TWN": (Ternarize.twn(), (0.787, 0.787)),
    "optimal": (Ternarize.optimal(), (0.787, 0.787)),
    "flips, then ternary": (Compose(SignFlip(0.1), Ternarize()), (0.787, 0.787)),
    "noise, then ternary": (Compose(MagnitudeNoise(0.8), Ternarize()), (0.787, 0.787)),
    "ternary, then noise": (Compose(Ternarize(), MagnitudeNoise(0.5)), (0.787, 0.787 + 0.25)),
    "prune, then ternary": (Compose(Prune(0.5), Ternarize(0.7, "mean_abs")), (0.562, 0.562)),
    "shift, then shift": (Compose(MagnitudeShift(0.5), MagnitudeShift(0.5)), (1 + 0.798, 1 + 2 * 0.798 + 1)),
    "three": (Compose(Compose(Scale(2.0), LloydMax(1)), SignFlip(0.2)), (2 * 2 / math.pi, 8 / math.pi)),
}


@pytest.fixture(scope="module", autouse=True)
def unoptimised():
    """Not here: what is drawn runs for longer than it compiles."""


@pytest.fixture(scope="module")
def drawn():
    """(c, v) of TENSORS tensors under each perturbation, computed from the draws alone, by its name."""

    def one(key):
        weights, noise = jax.random.split(key)
        w = 0.02 * jax.random.normal(weights, (128, ENTRIES // 128), dtype=jnp.float32)
        changed = [perturbation.apply(noise, w) for perturbation, _ in CASES.values()]
        return [jnp.stack([jnp.mean(w * c), jnp.mean(c**2)]) / jnp.mean(w**2) for c in changed]

    pairs = jax.jit(lambda keys: jax.lax.map(one, keys))(jax.random.split(jax.random.key(17), TENSORS))
    return dict(zip(CASES, (np.asarray(each, dtype=np.float64) for each in pairs), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_moments_match_draws_and_wrong_ones_do_not(drawn, name):
    perturbation, wrong = CASES[name]
    moments = perturbation.moments()
    mean = drawn[name].mean(axis=0)
    # Rounding of float32 sums sets a floor where the moment does not fluctuate at all.
    error = np.maximum(drawn[name].std(axis=0, ddof=1) / math.sqrt(TENSORS), 1e-6)
    assert np.all(np.abs(mean - [moments.c, moments.v]) < 4 * error)
    assert np.any(np.abs(mean - wrong) > 8 * error)
    assert moments.noise == pytest.approx(moments.v - moments.c**2, abs=4e-15 * max(1, moments.v))
    assert moments.drift == pytest.approx(moments.c - 1, abs=2e-15)
    assert moments.noise >= -1e-16  # Cauchy–Schwarz


@pytest.mark.parametrize("perturbation", [case[0] for case in CASES.values()], ids=CASES)
def test_is_a_tree_that_jits_and_keeps_the_dtype(perturbation):
    assert isinstance(perturbation, Perturbation)
    assert jax.tree.map(lambda _: None, perturbation) is not None
    assert jax.tree.structure(perturbation) == jax.tree.structure(jax.tree.map(lambda x: x + 1, perturbation))
    key = jax.random.key(1)
    w = jax.random.normal(jax.random.key(0), (4, 5), dtype=jnp.float32)
    found, moments = quick.jit(lambda p, key: (p.apply(key, w), p.moments()))(perturbation, key)
    np.testing.assert_allclose(found, perturbation.apply(key, w), rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(np.asarray(moments), np.asarray(perturbation.moments()), rtol=1e-6, atol=1e-6)
    assert jax.eval_shape(perturbation.apply, key, w.astype(jnp.bfloat16)).dtype == jnp.bfloat16


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_zero_counts_as_positive(dtype):
    w = jnp.array([0.5, -1.5, 0.0, 2.0, -0.25], dtype=dtype)
    for perturbation in (SignQuantize(), MagnitudeShift(0.1)):
        assert perturbation.apply(jax.random.key(0), w)[2] > 0
