"""Closed-form moments: stable forms against definitions, equal norms, the best scale, bad input."""

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
    SignFlip,
    SignQuantize,
    Ternarize,
)


@pytest.fixture(scope="module", autouse=True)
def unoptimised():
    """Not here: what is drawn runs for longer than it compiles."""


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


def test_rare_flips_are_as_rare_as_asked():
    count = jax.jit(lambda key, rate: jnp.sum(SignFlip(rate).apply(key, jnp.ones(2**24, jnp.float32)) < 0))
    # 23 random bits would flip 2^-23 of the entries, six here, where 0.05 are expected.
    assert sum(int(count(jax.random.key(seed), 1e-9)) for seed in range(3)) <= 1
    assert abs(int(count(jax.random.key(3), 1e-5)) - 167.8) < 4 * math.sqrt(167.8)
    w = jnp.ones(4096, dtype=jnp.float32)
    assert not np.any(SignFlip(0.0).apply(jax.random.key(0), w) < 0)
    assert np.all(SignFlip(1.0).apply(jax.random.key(0), w) < 0)
