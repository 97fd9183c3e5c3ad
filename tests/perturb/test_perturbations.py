"""Each perturbation is drawn, and its closed-form moments are compared with the draws."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signmag_jax.evidence import InvalidInput
from signmag_jax.perturb import (
    MagnitudeNoise,
    MagnitudeShift,
    Perturbation,
    SignFlip,
    SignQuantize,
    Ternarize,
)

TENSORS, ENTRIES = 64, 65536
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
}


def realised(perturbation: Perturbation, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(c, v) of each of TENSORS tensors, computed from the draws alone."""

    def one(key: jax.Array) -> jax.Array:
        weights, noise = jax.random.split(key)
        w = 0.02 * jax.random.normal(weights, (256, ENTRIES // 256), dtype=jnp.float32)
        changed = perturbation.apply(noise, w)
        return jnp.stack([jnp.mean(w * changed), jnp.mean(changed**2)]) / jnp.mean(w**2)

    pairs = np.asarray(
        jax.jit(lambda keys: jax.lax.map(one, keys))(jax.random.split(jax.random.key(seed), TENSORS))
    )
    return pairs[:, 0].astype(np.float64), pairs[:, 1].astype(np.float64)


def mean_and_error(samples: np.ndarray) -> tuple[float, float]:
    # Rounding of float32 sums sets a floor where the moment does not fluctuate at all.
    return samples.mean(), max(samples.std(ddof=1) / math.sqrt(len(samples)), 1e-6)


@pytest.mark.parametrize("name", CASES)
def test_moments_match_draws_and_wrong_ones_do_not(name):
    perturbation, wrong = CASES[name]
    c, v = map(mean_and_error, realised(perturbation, seed=17))
    moments = perturbation.moments()
    assert abs(c[0] - moments.c) < 4 * c[1]
    assert abs(v[0] - moments.v) < 4 * v[1]
    assert abs(c[0] - wrong[0]) > 8 * c[1] or abs(v[0] - wrong[1]) > 8 * v[1]


@given(rate=st.floats(1e-12, 1.0))
def test_stable_moments_agree_with_definitions(rate):
    for perturbation in (
        SignFlip(rate),
        MagnitudeShift(rate),
        MagnitudeNoise(rate),
        Ternarize(rate, 0.5 + rate),
    ):
        m = perturbation.moments()
        assert all(type(x) is np.float64 for x in m)
        assert m.drift == pytest.approx(m.c - 1, abs=1e-15)
        assert m.noise == pytest.approx(m.v - m.c**2, abs=2e-15 * max(1, m.v))
        assert m.noise >= 0  # Cauchy–Schwarz
        assert m.energy == pytest.approx(m.v + 1 - 2 * m.c, abs=2e-15 * max(1, m.v))


def test_small_errors_keep_their_digits():
    m = SignFlip(1e-12).moments()
    assert m.drift == -2e-12
    assert m.noise == pytest.approx(4e-12 * (1 - 1e-12), rel=1e-15)
    assert MagnitudeShift(1e-9).moments().noise == pytest.approx(1e-18 * (1 - 2 / math.pi), rel=1e-14)


@given(rate=st.floats(1e-10, 0.5))
def test_matching_gives_equal_frobenius_energy(rate):
    flip = SignFlip(rate)
    shift, noise = MagnitudeShift.matching(flip), MagnitudeNoise.matching(flip)
    assert shift.size == pytest.approx(2 * math.sqrt(rate), rel=1e-14)
    assert shift.moments().energy == pytest.approx(flip.moments().energy, rel=1e-13)
    assert noise.moments().energy == pytest.approx(flip.moments().energy, rel=1e-13)


def test_least_squares_scale_is_least():
    for threshold in (0.0, 0.4, 1.5):
        best = Ternarize(threshold).moments()
        assert best.c == pytest.approx(best.v, rel=1e-14)  # error orthogonal to w'
        for scale in np.linspace(0.3, 3.0, 28):
            assert Ternarize(threshold, scale).moments().energy >= best.energy
    assert Ternarize(0.0).moments().c == pytest.approx(SignQuantize().moments().c, rel=1e-15)


def test_best_threshold_reaches_reference():
    cosines = Ternarize(np.linspace(0.55, 0.68, 1301)).moments().c
    assert np.linspace(0.55, 0.68, 1301)[np.argmax(cosines)] == pytest.approx(0.612003180962481, abs=1e-4)
    assert cosines.max() == pytest.approx(0.809825960752099, rel=1e-8)
    assert Ternarize().moments().c == pytest.approx(0.786957665452318, rel=1e-14)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SignFlip(-0.1),
        lambda: SignFlip(1.0001),
        lambda: SignFlip(float("nan")),
        lambda: SignFlip(np.array([0.1, 1.1])),
        lambda: MagnitudeShift(float("inf")),
        lambda: MagnitudeNoise(-1e-3),
        lambda: Ternarize(-0.5),
        lambda: Ternarize(0.5, 0.0),
        lambda: Ternarize("median"),
        lambda: Ternarize(scale="rms"),
    ],
)
def test_bad_values_are_refused_with_invariant_and_remedy(make):
    with pytest.raises(InvalidInput, match=r"^`.*` is required, received .*: pass"):
        make()


def test_traced_bad_rate_gives_nan():
    c = jax.vmap(lambda rate: SignFlip(rate).moments().c)(jnp.array([-0.1, 0.1, 1.2]))
    assert np.isnan(np.asarray(c)).tolist() == [True, False, True]


@pytest.mark.parametrize("perturbation", [case[0] for case in CASES.values()], ids=CASES)
def test_is_a_tree_that_jits_and_vmaps(perturbation):
    assert jax.tree.map(lambda _: None, perturbation) is not None
    assert jax.tree.structure(perturbation) == jax.tree.structure(jax.tree.map(lambda x: x + 1, perturbation))
    w = jax.random.normal(jax.random.key(0), (4, 5), dtype=jnp.float32)
    drawn = jax.jit(lambda p, key: p.apply(key, w))(perturbation, jax.random.key(1))
    np.testing.assert_allclose(drawn, perturbation.apply(jax.random.key(1), w), rtol=2e-6)
    inside = jax.jit(lambda p: p.moments())(perturbation)
    np.testing.assert_allclose(np.asarray(inside), np.asarray(perturbation.moments()), rtol=1e-6)
    assert isinstance(perturbation, Perturbation)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("perturbation", [case[0] for case in CASES.values()], ids=CASES)
def test_apply_keeps_dtype_and_counts_zero_as_positive(perturbation, dtype):
    w = jnp.array([0.5, -1.5, 0.0, 2.0, -0.25], dtype=dtype)
    assert perturbation.apply(jax.random.key(0), w).dtype == dtype
    assert SignQuantize().apply(jax.random.key(0), w)[2] > 0
    assert MagnitudeShift(0.1).apply(jax.random.key(0), w)[2] > 0


def test_rare_flips_are_as_rare_as_asked():
    # 23 random bits would flip 2^-23 of the entries, six here, where 0.05 are expected.
    w = jnp.ones(2**24, dtype=jnp.float32)
    rare = [int(jnp.sum(SignFlip(1e-9).apply(jax.random.key(seed), w) < 0)) for seed in range(3)]
    assert sum(rare) <= 1
    few = int(jnp.sum(SignFlip(1e-5).apply(jax.random.key(3), w) < 0))
    assert abs(few - 167.8) < 4 * math.sqrt(167.8)
    assert not np.any(SignFlip(0.0).apply(jax.random.key(0), w[:4096]) < 0)
    assert np.all(SignFlip(1.0).apply(jax.random.key(0), w[:4096]) < 0)
