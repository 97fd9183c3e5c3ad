"""The factor (d − 1)/m of a Gaussian second layer, and its radial fraction, on sampled matrices."""

import math

import numpy as np
import pytest


@pytest.mark.parametrize(("d", "m"), [(1, 4), (2, 9), (12, 5)])
def test_outputs_of_sampled_matrices(d, m):
    rng = np.random.default_rng(4)
    h, delta = rng.uniform(0, 1, m), rng.uniform(-1, 2, m)
    along = np.dot(h, delta) / np.dot(h, h)
    across = np.sum((delta - along * h) ** 2)
    share = along**2 * np.dot(h, h) / np.sum(delta**2)
    w = rng.standard_normal((200_000, d, m)) / math.sqrt(m)
    y, dy = w @ h, w @ delta
    radial = np.sum(y * dy, axis=1) ** 2 / np.sum(y**2, axis=1)
    total = np.sum(dy**2, axis=1)
    left = total - radial
    error = left.std(ddof=1) / math.sqrt(left.size)
    expected = (d - 1) / m * across
    # The nearest wrong factor, d/m, lies far outside.
    assert abs(left.mean() - expected) < 4 * error + 1e-12
    assert abs(left.mean() - d / m * across) > 10 * error
    fraction = radial.mean() / total.mean()
    spread = (radial - fraction * total).std(ddof=1) / total.mean() / math.sqrt(total.size)
    assert abs(fraction - (share + (1 - share) / d)) < 4 * spread + 1e-12
    assert abs(fraction - share) > 10 * spread
