"""95% intervals cover their targets, 400 times over: exact ratios of means, and the controlled ratio."""

import itertools

import jax
import numpy as np
import pytest

from signmag_jax import simulate
from signmag_jax.evidence import keys
from signmag_jax.perturb import MagnitudeShift, SignFlip
from signmag_jax.simulate.tally import Tally

REPETITIONS, NETWORKS = 400, 32
RATE, WIDTH, ROWS = 0.2, 16, 12


def exact_radial_fraction_of_flips(p, n, m):
    """Ratio of means of Proposition 1's flips, at every width.

    Given masks and input δ_i = −2q_i z_i + noise of variance 4q_i(1−q_i), and for Gaussian rows
    E z_i⁴/Σz² = 3/(m+2), E z_i²z_j²/Σz² = 1/(m+2); E q_i² = p² + 3p(1−p)/(n+2), E q_i q_j = p².
    """
    square = p**2 + 3 * p * (1 - p) / (n + 2)
    along = square * (3 * m / (m + 2) - 1) + m * (m - 1) * p**2 / (m + 2) + p
    return along / (m * p)


def tallied(experiment, counts, seed):
    """Tallies of so many independent networks each, all networks from one program."""
    with jax.default_matmul_precision("highest"), jax.enable_x64(True):
        root = jax.random.split(keys.root(seed), sum(counts))
        program = jax.jit(
            lambda every: jax.lax.map(lambda k: experiment.sample(experiment.parameters, k), every)
        )
        rows = {name: np.asarray(leaf) for name, leaf in program(root).items()}
    networks, tallies = iter(range(sum(counts))), []
    for count in counts:
        tallies.append(Tally())
        for network in itertools.islice(networks, count):
            tallies[-1].add(network, {name: leaf[network] for name, leaf in rows.items()})
    return tallies


@pytest.fixture(scope="module")
def repetitions():
    experiment, _ = simulate.experiment("proposition_1").plan(width=WIDTH, rate=RATE, rows=ROWS, inputs=16)
    return tallied(experiment, [NETWORKS] * REPETITIONS, 7)


FLIPS = exact_radial_fraction_of_flips(RATE, WIDTH, ROWS)
TARGETS = {
    "flip_radial_fraction": ("first_radial", "first_energy", FLIPS),
    "noise_radial_fraction": ("second_radial", "second_energy", 1 / ROWS),
    "transverse_ratio": ("second_transverse", "first_transverse", (1 - 1 / ROWS) / (1 - FLIPS)),
}


def covered(tallies, target, k=1.96):
    top, bottom, value = TARGETS[target]
    found = [tally.ratio(top, bottom) for tally in tallies]
    return np.mean([abs(one - value) <= k * error for (one,), (error,) in found])


@pytest.mark.parametrize("target", TARGETS)
def test_ratios_of_means_of_proposition_1(repetitions, target):
    assert 0.92 <= covered(repetitions, target) <= 0.98
    # Control: an error a quarter too small or 60% too large would leave the band.
    assert covered(repetitions, target, 0.75 * 1.96) < 0.92
    assert covered(repetitions, target, 1.6 * 1.96) > 0.98


def test_the_exact_target_is_not_the_limit(repetitions):
    """Over all repetitions p + (1−p)/m, without the spread of flips per row, is told apart."""
    values = np.array([tally.ratio("first_radial", "first_energy")[0][0] for tally in repetitions])
    error = values.std(ddof=1) / np.sqrt(REPETITIONS)
    assert abs(values.mean() - FLIPS) < 5 * error
    assert abs(values.mean() - (RATE + (1 - RATE) / ROWS)) > 8 * error


def test_the_controlled_interval():
    """Against a long run, for a pair whose error the controls explain, at 40 networks."""
    pair = (SignFlip(0.2), MagnitudeShift(0.5))
    experiment, _ = simulate.experiment("block").plan(
        width=24, rate=None, perturbations=pair, inputs=32, controlled=True
    )
    long, *short = tallied(experiment, [20_000] + [40] * REPETITIONS, 5)
    (target,), (target_error,) = experiment.target(long)
    found = [experiment.target(tally) for tally in short]
    assert target_error < 0.1 * found[0][1][0]
    covered = np.mean([abs(value - target) <= 1.96 * error for (value,), (error,) in found])
    assert 0.91 <= covered <= 0.98
