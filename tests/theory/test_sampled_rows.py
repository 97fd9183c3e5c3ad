"""One layer of finite width by its rows alone, for weights of any law, at every width and rate.

Over Gaussian inputs, or those on the sphere, a row w and its perturbed w' leave (z, z') exactly Gaussian,
with the row's own ‖w‖², w·w' and ‖w'‖²: the kernel is the textbook one in the mean over rows.
"""

import math

import numpy as np
import pytest

from signmag_jax import theory
from signmag_jax.evidence import InvalidInput
from signmag_jax.perturb import find_weights

BATCH = 5000
DRAWS = {
    "laplace": lambda rng, shape: rng.laplace(size=shape) / math.sqrt(2),
    "uniform": lambda rng, shape: rng.uniform(-math.sqrt(3), math.sqrt(3), shape),
    "student_t:5": lambda rng, shape: rng.standard_t(5, shape) * math.sqrt(3 / 5),
}


def kernel(one, cross, other):
    """E relu(z) relu(z') of these second moments."""
    size = np.sqrt(one * other)
    theta = np.arccos(np.clip(cross / size, -1, 1))
    return size * (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / (2 * np.pi)


def mean_of(samples, controls):
    """Mean and samples of the noise about it; the controls have the mean 0."""
    table = np.c_[controls, np.ones(len(controls))]
    slopes = np.linalg.lstsq(table, samples, rcond=None)[0][:-1]
    left = samples - controls @ slopes
    return left.mean(), left - left.mean()


def ratio_of_rows(weights, rate, n, count):
    """T(flips)/T(shift) of n inputs and infinitely many rows, with its standard error."""
    rng, size = np.random.default_rng([n, len(weights)]), 2 * math.sqrt(rate)
    b = find_weights(weights).mean_magnitude
    rows = []
    for _ in range(count // BATCH):
        w = DRAWS[weights](rng, (BATCH, n))
        flipped = np.mean(w**2 * (rng.random(w.shape) < rate), axis=1)
        rows.append([np.mean(w**2, axis=1), np.mean(np.abs(w), axis=1), flipped])
    square, mean, flipped = np.concatenate(rows, axis=1)
    controls = np.stack([square - 1, mean - b, flipped - rate], axis=1)
    other = square + 2 * size * mean + size**2
    energies = []
    for kappa, v in (
        (kernel(square, square - 2 * flipped, square), 1.0),
        (kernel(square, square + size * mean, other), 1 + 2 * size * b + size**2),
    ):
        value, noise = mean_of(kappa, controls)
        energies.append((v / 2 - 2 * value**2, -4 * value * noise))
    (flips, flips_noise), (shift, shift_noise) = energies
    noise = flips_noise / flips - shift_noise / shift
    return flips / shift, flips / shift * noise.std() / math.sqrt(len(noise))


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["laplace", "uniform"])
def test_the_first_order_is_that_of_the_weights(weights):
    rate, n = 0.1, 1024
    found, error = ratio_of_rows(weights, rate, n, 20_000)
    limit = theory.transverse_ratio(rate, weights)
    assert abs(found - theory.finite_width_ratio(rate, n, weights)) < 4 * error
    # With the fourth cumulants of Gaussian weights, and without any.
    for rival in (limit * (1 + theory.finite_width_slope(rate) / n), limit):
        assert abs(found - rival) > 8 * error


@pytest.mark.slow
def test_without_a_sixth_moment_the_first_order_stands_and_needs_more_flips():
    """What it leaves out falls faster than 1/n, and slower than 1/n²; with few flips it is most of it."""
    weights, left = "student_t:5", []
    for n in (128, 512):
        found, error = ratio_of_rows(weights, 0.1, n, 40_000)
        left.append(found / theory.finite_width_ratio(0.1, n, weights) - 1)
        assert left[-1] > 5 * error / found
    assert 1 < math.log(left[0] / left[1]) / math.log(4) < 2
    rate, n = 0.01, 512
    found, error = ratio_of_rows(weights, rate, n, 100_000)
    limit = theory.transverse_ratio(rate, weights)
    first = limit * (1 + theory.finite_width_slope(rate, weights) / n)
    print(f"p = {rate}: {found:.4f} ± {error:.4f}; limit {limit:.4f}, first order {first:.4f}")
    assert limit - found > 10 * error
    assert found - first > 10 * error
    assert found - first > (limit - first) / 4
    with pytest.raises(InvalidInput, match="raise the rate or the width"):
        theory.finite_width_ratio(rate, n, weights)
