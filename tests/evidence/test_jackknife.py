"""The jackknife's error of a ratio of means is that of repeated samples, and of a mean the usual one."""

import numpy as np
import pytest

from signmag_jax.evidence.jackknife import jackknife


def test_of_a_mean_it_is_the_usual_error():
    values = np.random.default_rng(0).normal(size=20)
    found = jackknife(lambda windows: values[windows].mean(), 20, "mean")
    assert found.estimate.standard_error == pytest.approx(values.std(ddof=1) / np.sqrt(20))


def test_a_ratio_s_interval_covers():
    """1,000 samples of 12 windows: 95% within 2.1%, three standard errors; one too narrow does not."""
    rng = np.random.default_rng(1)
    inside, narrow = 0, 0
    for _ in range(1000):
        top, bottom = rng.normal(2, 0.5, 12), rng.normal(1, 0.2, 12)
        found = jackknife(lambda windows: top[windows].mean() / bottom[windows].mean(), 12, "ratio")  # noqa: B023
        off = abs(found.estimate.value - 2)
        inside += off < found.high - found.estimate.value
        narrow += off < (found.high - found.estimate.value) / 1.5
    assert abs(inside / 1000 - 0.95) < 0.021
    assert abs(narrow / 1000 - 0.95) > 0.021


def test_what_is_not_finite_has_no_interval():
    assert jackknife(lambda windows: np.nan if 0 in windows else 1.0, 5, "holes") is None
