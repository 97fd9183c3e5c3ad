"""Subsets without replacement: exactly k, distinct, and all equally likely."""

import functools
from fractions import Fraction
from itertools import combinations

import jax
import numpy as np
import pytest
import quick
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from signmag_jax.evidence import InvalidInput
from signmag_jax.measure.draw import EMPTY, apportion, subset


@functools.partial(quick.jit, static_argnums=3)
def many(keys, population, count, capacity):
    return jax.lax.map(lambda key: subset(key, population, count, capacity), keys)


@pytest.fixture(scope="module")
def large():
    """400 draws of 1,000 from 5,000."""
    return np.asarray(many(jax.random.split(jax.random.key(2), 400), 5_000, 1_000, 1_000))


@pytest.mark.parametrize(
    ("population", "count", "capacity"),
    [(1, 1, 1), (7, 0, 7), (7, 7, 7), (7, 4, 7), (50, 49, 60), (44_544, 2_228, 2_300)],
)
def test_exactly_count_distinct_indices(population, count, capacity):
    check_exact(many(jax.random.split(jax.random.key(0), 50), population, count, capacity), population, count)


def check_exact(found, population, count):
    for one in np.asarray(found):
        kept = one[one != EMPTY]
        assert len(kept) == len(np.unique(kept)) == count
        assert count == 0 or (kept.min() >= 0 and kept.max() < population)
        assert (one[count:] == EMPTY).all()


def with_replacement(rng, population, count, repeats):
    """The nearest wrong draw: duplicates silently merge, so fewer than k remain."""
    return [np.unique(rng.integers(0, population, count)) for _ in range(repeats)]


def test_negative_control_draws_with_replacement_run_short():
    sizes = [len(one) for one in with_replacement(np.random.default_rng(0), 44_544, 2_228, 50)]
    assert max(sizes) < 2_228


def test_every_subset_is_equally_likely():
    repeats = 20_000
    found = np.asarray(many(jax.random.split(jax.random.key(1), repeats), 6, 3, 3))
    index = {pair: i for i, pair in enumerate(combinations(range(6), 3))}
    counts = np.bincount([index[tuple(one)] for one in found.tolist()], minlength=len(index))
    assert stats.chisquare(counts).pvalue > 1e-4
    biased = counts.copy()
    biased[0] += repeats // 40  # the same test sees half a cell more
    biased[1:] -= repeats // 40 // 19
    assert stats.chisquare(biased * counts.sum() / biased.sum()).pvalue < 1e-4


def test_inclusion_is_uniform_in_a_large_population(large):
    check_exact(large, 5_000, 1_000)
    counts = np.bincount(large.ravel(), minlength=5_000)
    # without replacement the counts are hypergeometric: variance (1 − k/N) times the multinomial one
    statistic = ((counts - counts.mean()) ** 2).sum() / (counts.mean() * (1 - 1_000 / 5_000))
    assert 1e-3 < stats.chi2.sf(statistic, 4_999) < 1 - 1e-3
    assert stats.chi2.sf(statistic * (1 - 1_000 / 5_000), 4_999) > 1 - 1e-3  # with replacement: rejected


def test_different_keys_are_independent_and_the_same_key_repeats(large):
    again = many(jax.random.split(jax.random.key(2), 400)[::-1], 5_000, 1_000, 1_000)
    np.testing.assert_array_equal(np.asarray(again)[::-1], large)
    overlap = len(np.intersect1d(*large[:2]))
    assert stats.hypergeom.sf(overlap - 1, 5_000, 1_000, 1_000) > 1e-4
    assert stats.hypergeom.cdf(overlap, 5_000, 1_000, 1_000) > 1e-4


def test_count_and_population_do_not_recompile():
    keys = jax.random.split(jax.random.key(0), 50)
    many(keys, 50, 49, 60)
    jax.config.update("jax_no_tracing", True)  # from here on whatever would be compiled is an error
    try:
        for population, count in ((100, 5), (200, 50), (60, 17)):
            many(keys, population, count, 60)
        with pytest.raises(RuntimeError, match="re-tracing"):
            many(keys, 60, 17, 61)
    finally:
        jax.config.update("jax_no_tracing", False)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=30), st.data())
def test_apportion_is_a_quota_method(sizes, data):
    total = data.draw(st.integers(0, sum(sizes)))
    counts = apportion(total, sizes)
    assert sum(counts) == total
    for count, size in zip(counts, sizes, strict=True):
        assert 0 <= count <= size
        if total:
            assert abs(count - Fraction(total * size, sum(sizes))) < 1


def test_apportion_breaks_ties_as_told():
    assert apportion(2, [10, 10, 10]) == [1, 1, 0]
    assert apportion(2, [10, 10, 10], [2, 0, 1]) == [0, 1, 1]
    assert apportion(5, [60, 30, 10]) == [3, 2, 0]  # remainders 0, ½, ½
    assert apportion(5, [60, 30, 10], [0, 2, 1]) == [3, 1, 1]
    assert apportion(7, [60, 30, 10]) == [4, 2, 1]


@pytest.mark.parametrize("total", [-1, 31])
def test_apportion_refuses_more_than_there_is(total):
    with pytest.raises(InvalidInput, match="<= 30"):
        apportion(total, [10, 10, 10])
