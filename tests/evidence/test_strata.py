"""Sums of independent means: Student's intervals at few draws, and what percentiles make of them."""

import numpy as np
import pytest
from scipy import stats

from signmag_jax.evidence import InvalidInput, bootstrap, ratio_of_means, strata
from signmag_jax.evidence.strata import Sum

EXPERIMENTS = 1500
SE = np.sqrt(0.95 * 0.05 / EXPERIMENTS)


def covered(intervals, truth):
    return np.mean([low <= truth <= high for low, high in intervals])


def few_draws(rng, mean):
    """Four draws by eight windows, the draws scattering most."""
    return mean + rng.normal(0, 0.2 * mean, (4, 1)) + rng.normal(0, 0.05 * mean, (4, 8))


def percentile_ratio(rng, top, bottom):
    """The crossed bootstrap of a ratio: draws of both arms and their common windows, percentiles."""
    windows = bootstrap.resample(rng, top.shape[1], 400)
    found = [
        bootstrap.weighted(table, bootstrap.resample(rng, len(table), 400), windows)
        for table in (top, bottom)
    ]
    return np.quantile(found[0] / found[1], (0.025, 0.975))


@pytest.mark.slow
def test_fieller_covers_at_four_draws_and_percentiles_do_not():
    rng = np.random.default_rng(1)
    tables = [(few_draws(rng, 6.0), few_draws(rng, 2.0)) for _ in range(EXPERIMENTS)]
    found = [ratio_of_means(*pair) for pair in tables]
    resolved = [(each.interval.low, each.interval.high) for each in found if each.interval]
    assert len(resolved) > 0.9 * EXPERIMENTS
    assert 0.92 < covered(resolved, 3.0) < 0.98
    assert covered([percentile_ratio(rng, *pair) for pair in tables], 3.0) < 0.95 - 5 * SE


def test_fieller_is_the_closed_form_where_windows_do_not_scatter():
    rng = np.random.default_rng(2)
    top, bottom = (np.repeat(rng.normal(mean, 0.3, (n, 1)), 8, axis=1) for mean, n in ((5, 7), (2, 7)))
    found = ratio_of_means(top, bottom).interval
    for edge in (found.low, found.high):
        gap = Sum.of(top).minus(edge, Sum.of(bottom))
        variances = [top.var(ddof=1, axis=0)[0] / 7, edge**2 * bottom.var(ddof=1, axis=0)[0] / 7]
        freedom = sum(variances) ** 2 / sum(v**2 / 6 for v in variances)
        reach = stats.t.isf(0.025, freedom) * np.sqrt(sum(variances))
        assert abs(gap.value) == pytest.approx(reach, rel=1e-6)


def test_a_sum_of_parts_is_covered_and_parts_that_are_left_out_are_not():
    """A part known on each window, one of draws, and a small one of a single draw."""
    rng, intervals, without = np.random.default_rng(3), [], []
    for _ in range(EXPERIMENTS):
        windows = rng.normal(0, 0.3, (1, 12))
        parts = (2 + windows + rng.normal(0, 0.5, (6, 12)) + rng.normal(0, 0.4, (6, 1)), 1 + 2 * windows)
        small = np.repeat(rng.normal(0, 0.3, (1, 1)), 12, axis=1)
        found = strata.mean(Sum(parts, (small,)))
        alone = strata.mean(Sum((parts[0] + parts[1] + small,)))
        intervals.append((found.low, found.high))
        without.append((alone.low, alone.high))
    assert 0.92 < covered(intervals, 3.0) < 0.98
    assert covered(without, 3.0) < 0.92


def test_three_draws_are_too_few_and_rare_ones_count_less():
    rng = np.random.default_rng(4)
    good = rng.normal(5, 0.1, (11, 8))
    assert ratio_of_means(good, good).resolved
    assert "3 draws of the numerator" in ratio_of_means(good[:3], good).reason
    assert "3 draws of the denominator" in ratio_of_means(good, good[:3]).reason
    heavy = good.copy()
    heavy[4] += 60
    assert Sum.of(heavy).effective_draws == pytest.approx(
        heavy.mean(axis=1).sum() ** 2 / np.sum(heavy.mean(axis=1) ** 2)
    )
    assert "count as" in ratio_of_means(heavy, good).reason


def test_what_may_hide_is_unresolved_where_the_error_does_not_know_of_it():
    rng = np.random.default_rng(5)
    good = rng.normal(5, 0.5, (9, 8))
    error = strata.mean(good).estimate.standard_error
    assert ratio_of_means(good, good, unseen=(1.9 * error, 0.0)).resolved
    assert "numerator hardly ever hit" in ratio_of_means(good, good, unseen=(2.1 * error, 0.0)).reason
    assert "denominator hardly ever hit" in ratio_of_means(good, good, unseen=(0.0, 2.1 * error)).reason


def test_tables_of_other_windows_are_refused():
    with pytest.raises(InvalidInput, match="same windows"):
        strata.mean(Sum((np.ones((3, 8)), np.ones((1, 7)))))
    with pytest.raises(InvalidInput, match="same windows"):
        ratio_of_means(Sum((np.ones((3, 8)),)), np.ones((3, 7)))
