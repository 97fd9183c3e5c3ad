"""The crossed bootstrap against a two-way random-effects model whose truth is known."""

import json

import numpy as np
import pytest

from signmag_jax.evidence import InvalidInput, bootstrap, ratio_of_means


def two_way(rng, draws, windows, mean, draw_sd, window_sd, cell_sd):
    rows = rng.normal(0, draw_sd, (draws, 1))
    columns = rng.normal(0, window_sd, (1, windows))
    return mean + rows + columns + rng.normal(0, cell_sd, (draws, windows))


def coverage(make_interval, truth, experiments, rng):
    hits = 0
    for _ in range(experiments):
        low, high = make_interval(rng)
        hits += low <= truth <= high
    return hits / experiments


EXPERIMENTS = 500
BINOMIAL_SE = np.sqrt(0.95 * 0.05 / EXPERIMENTS)


def mean_interval(reshape):
    def once(rng):
        table = two_way(rng, 10, 8, 3.0, 1.0, 1.0, 0.5)
        found = bootstrap.mean(reshape(table), replicates=800, seed=int(rng.integers(2**31)))
        return found.low, found.high

    return once


def test_mean_interval_covers_its_level():
    found = coverage(mean_interval(lambda table: table), 3.0, EXPERIMENTS, np.random.default_rng(1))
    assert abs(found - 0.95) <= 3.5 * BINOMIAL_SE


@pytest.mark.parametrize(
    "reshape",
    [lambda table: table.reshape(-1, 1), lambda table: table.mean(axis=1, keepdims=True)],
    ids=["cells as if independent", "draws only"],
)
def test_one_way_bootstrap_undercovers(reshape):
    found = coverage(mean_interval(reshape), 3.0, EXPERIMENTS, np.random.default_rng(1))
    assert found < 0.95 - 10 * BINOMIAL_SE


@pytest.mark.slow
def test_ratio_interval_covers_its_level():
    def once(rng):
        windows = rng.normal(0, 0.15, (1, 8))
        top = two_way(rng, 12, 8, 10.0, 1.5, 0.0, 0.5) * (1 + windows)
        bottom = two_way(rng, 9, 8, 2.0, 0.4, 0.0, 0.1) * (1 + windows)
        found = ratio_of_means(top, bottom)
        return found.interval.low, found.interval.high

    found = coverage(once, 5.0, EXPERIMENTS, np.random.default_rng(2))
    assert abs(found - 0.95) <= 3.5 * BINOMIAL_SE


@pytest.mark.parametrize(("draw_sd", "window_sd"), [(1.0, 0.0), (0.0, 1.0), (1.0, 2.0)])
def test_standard_error_is_unbiased_for_main_effects(draw_sd, window_sd):
    draws, windows, rng = 6, 9, np.random.default_rng(3)
    truth = draw_sd**2 / draws + window_sd**2 / windows
    variances = [
        bootstrap.mean(
            two_way(rng, draws, windows, 0.0, draw_sd, window_sd, 0.0), replicates=400, seed=i
        ).estimate.standard_error
        ** 2
        for i in range(400)
    ]
    error = np.std(variances, ddof=1) / np.sqrt(len(variances))
    assert error < 0.1 * truth  # n instead of n−1 draws would be off by 1/6 or 1/9
    assert abs(np.mean(variances) - truth) < 4 * error


@pytest.mark.parametrize("cells", ["mean", "ratio"])
def test_pure_interaction_is_counted_once(cells):
    """Unscaled, two resampled axes count it three times: √3 in the error, here 1.6 to 1.7."""
    rng, errors = np.random.default_rng(4), []
    for i in range(200):
        table, other = 3 + rng.normal(0, 1, (8, 8)), 3 + rng.normal(0, 1e-6, (8, 8))
        if cells == "mean":
            errors.append(bootstrap.mean(table, replicates=400, seed=i).estimate.standard_error)
        else:
            errors.append(3 * ratio_of_means(table, other).interval.estimate.standard_error)
    # components below zero are set to zero, which leaves a little too much
    assert 1.0 < np.sqrt(np.mean(np.square(errors))) * 8 < 1.35


def test_windows_are_resampled_together_in_a_ratio():
    """A common factor per window cancels in the ratio, and its standard error must know."""
    rng = np.random.default_rng(5)
    windows = rng.uniform(0.2, 3.0, (1, 12))
    top, bottom = np.repeat(6 * windows, 5, axis=0), np.repeat(2 * windows, 5, axis=0)
    found = ratio_of_means(top, bottom)
    assert found.interval.estimate.value == pytest.approx(3)
    assert found.interval.estimate.standard_error < 1e-12
    shuffled = ratio_of_means(top, np.roll(bottom, 5, axis=1))
    assert shuffled.interval.estimate.standard_error > 0.1


def test_paired_draws_cancel_and_unpaired_do_not():
    rng = np.random.default_rng(6)
    draws = rng.uniform(1, 3, (10, 1)) * np.ones((1, 8))
    paired = ratio_of_means(4 * draws, draws, paired=True)
    unpaired = ratio_of_means(4 * draws, draws)
    assert paired.interval.estimate.standard_error < 1e-12
    assert unpaired.interval.estimate.standard_error > 0.1


def test_a_single_row_resamples_windows_only():
    windows = np.random.default_rng(7).normal(5, 1, (1, 400))
    found = bootstrap.mean(windows, unit="nat/token")
    assert found.estimate.n == 400
    assert found.estimate.standard_error == pytest.approx(windows.std(ddof=1) / 20, rel=0.05)


def test_denominator_not_separated_from_zero_is_unresolved():
    rng = np.random.default_rng(8)
    found = ratio_of_means(rng.normal(5, 1, (8, 8)), rng.normal(0.1, 1, (8, 8)))
    assert not found.resolved
    assert "not separated from zero by 3 standard errors" in found.reason
    assert found.to_json()["interval"] is None


def test_zero_damage_is_unresolved_and_not_infinite():
    found = ratio_of_means(np.ones((4, 8)), np.zeros((4, 8)))
    assert not found.resolved
    assert "not separated from zero" in found.reason


def test_noise_floor_counts_against_the_denominator():
    rng = np.random.default_rng(9)
    top, bottom = rng.normal(5, 0.1, (6, 8)), rng.normal(1e-5, 1e-7, (6, 8))
    assert ratio_of_means(top, bottom).resolved
    assert not ratio_of_means(top, bottom, floor=1e-5).resolved


@pytest.mark.parametrize("side", ["numerator", "denominator"])
def test_one_dominant_draw_is_unresolved(side):
    rng = np.random.default_rng(10)
    tables = {"numerator": rng.normal(5, 0.1, (12, 8)), "denominator": rng.normal(5, 0.1, (12, 8))}
    assert ratio_of_means(**tables).resolved
    tables[side][3] += 70.0
    found = ratio_of_means(**tables, separation=0.5)
    assert found.reason.startswith(f"12 draws of the {side} count as")
    assert side in found.reason


def test_draws_that_cancel_are_unresolved():
    top = np.repeat([[5.0], [-5.0], [4.0], [-3.9]], 8, axis=1)
    assert "4 draws of the numerator count as" in ratio_of_means(top, np.ones((4, 8))).reason


def test_same_seed_same_bits_and_strict_json():
    table = np.random.default_rng(11).normal(1, 1, (5, 8))
    first, second = bootstrap.mean(table, seed=3), bootstrap.mean(table, seed=3)
    assert json.dumps(first.to_json(), allow_nan=False) == json.dumps(second.to_json(), allow_nan=False)
    assert first.low < first.estimate.value < first.high


@pytest.mark.parametrize("bad", [np.array([[1.0, np.nan]]), np.array([[np.inf, 1.0]])])
def test_non_finite_samples_are_refused(bad):
    with pytest.raises(InvalidInput, match="`finite samples` is required"):
        bootstrap.mean(bad)


def test_one_cell_and_mismatched_windows_are_refused():
    with pytest.raises(InvalidInput, match="at least 2 cells"):
        bootstrap.mean(np.ones((1, 1)))
    with pytest.raises(InvalidInput, match="same windows"):
        ratio_of_means(np.ones((3, 8)), np.ones((3, 7)))
    with pytest.raises(InvalidInput, match="same windows and draws"):
        ratio_of_means(np.ones((3, 8)), np.ones((4, 8)), paired=True)
