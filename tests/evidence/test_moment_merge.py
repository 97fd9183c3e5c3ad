"""Merged moments against NumPy, and against the formula that cancels."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signmag_jax.evidence import SampleMoments


def merged(pieces):
    """The moments of the pieces, merged in order."""
    return functools.reduce(SampleMoments.merge, map(SampleMoments.of, pieces))


@given(st.lists(st.integers(1, 9), min_size=2, max_size=7), st.integers(0, 2**32 - 1))
def test_merge_equals_moments_of_the_whole(sizes, seed):
    samples = np.random.default_rng(seed).normal(size=(sum(sizes), 3)) * [1, 10, 0.1] + [5, -3, 0]
    found = merged(np.split(samples, np.cumsum(sizes)[:-1]))
    assert found.count == len(samples)
    np.testing.assert_allclose(found.mean, samples.mean(0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(samples.T), rtol=1e-10, atol=1e-12)


def test_a_large_mean_does_not_cancel():
    samples = np.random.default_rng(0).normal(0, 1, (4000, 1)) + 1e9
    parts = merged(np.split(samples, 40))
    truth = float(np.var(samples - 1e9, ddof=1))
    assert parts.covariance[0, 0] == pytest.approx(truth, rel=1e-6)
    raw = float((samples**2).mean() - samples.mean() ** 2)  # E[x²] − E[x]²
    assert abs(raw - truth) > 0.1 * truth


@given(st.integers(1, 9), st.integers(0, 9), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_samples_one_after_another_or_many_at_once_have_the_same_bits(before, count, size, seed):
    samples = np.random.default_rng(seed).lognormal(0, 4, size=(before + count, size))
    start = SampleMoments.of(samples[:before])
    found, right = start.extended(samples[before:]), merged([samples[:before], *samples[before:, None]])
    assert found.count == right.count
    assert (found.mean.tobytes(), found.comoment.tobytes()) == (
        right.mean.tobytes(),
        right.comoment.tobytes(),
    )


def test_merge_in_order_is_reproducible_bit_by_bit():
    pieces = np.split(np.random.default_rng(1).normal(size=(60, 2)), 6)
    first, second = merged(pieces), merged(pieces)
    assert first.comoment.tobytes() == second.comoment.tobytes()


def test_single_sample_merges():
    both = merged([np.array([[1.0]]), np.array([[3.0]])])
    assert both.covariance[0, 0] == 2
    assert both.standard_error[0] == pytest.approx(1)
