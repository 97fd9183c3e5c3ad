"""95% intervals cover their targets, 400 times over: exact ratios of means, cosines, the controlled ratio."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement_matrices import flips_radial

from signmag_jax import simulate
from signmag_jax.evidence import keys
from signmag_jax.perturb import MagnitudeShift, SignFlip
from signmag_jax.simulate.tally import Tally

# As many networks as a run has by default.
REPETITIONS, NETWORKS = 400, 64
RATE, WIDTH, ROWS = 0.2, 16, 12


def tallied(experiment, counts, seed):
    """Tallies of so many independent networks each, all networks from one program."""
    with jax.default_matmul_precision("highest"), jax.enable_x64(True):
        root = jax.random.split(keys.root(seed), sum(counts))
        parameters = jax.tree.map(jnp.asarray, experiment.parameters)
        program = jax.jit(lambda every: jax.lax.map(lambda k: experiment.sample(parameters, k), every))
        rows = {name: np.asarray(leaf) for name, leaf in program(root).items()}
    tallies, first = [], 0
    for count in counts:
        tallies.append(Tally())
        tallies[-1].add(first, {name: leaf[first : first + count] for name, leaf in rows.items()})
        first += count
    return tallies


@pytest.fixture(scope="module")
def repetitions():
    experiment, _ = simulate.experiment("proposition_1").prepared(
        width=WIDTH, rate=RATE, rows=ROWS, inputs=16
    )
    return tallied(experiment, [NETWORKS] * REPETITIONS, 7)


FLIPS = flips_radial(RATE, WIDTH, ROWS)
TARGETS = {
    "flip_radial_fraction": ("first_radial", "first_energy", FLIPS),
    "noise_radial_fraction": ("second_radial", "second_energy", 1 / ROWS),
    "transverse_ratio": ("second_transverse", "first_transverse", (1 - 1 / ROWS) / (1 - FLIPS)),
    "energy_ratio": ("first_energy", "second_energy", 1.0),
}


def check_coverage(pairs, value):
    """95% intervals cover between 92% and 98% of the time, and would not with a wrong error."""
    values, errors = (np.array([np.ravel(pair[part])[0] for pair in pairs]) for part in (0, 1))

    def covered(factor=1.0):
        return np.mean(np.abs(values - value) <= 1.96 * factor * errors)

    assert 0.92 <= covered() <= 0.98
    # Control: an error 30% too small or 60% too large would leave the band.
    assert covered(0.7) < 0.92
    assert covered(1.6) > 0.98


@pytest.mark.parametrize("target", TARGETS)
def test_ratios_of_means_of_proposition_1(repetitions, target):
    top, bottom, value = TARGETS[target]
    check_coverage([tally.ratio(top, bottom) for tally in repetitions], value)


def test_row_cosines_of_theorem_4():
    """Norm and direction of a Gaussian row are independent: E cos² = 2/π + (1 − 2/π)/n, exactly."""
    experiment, _ = simulate.experiment("quantizer").prepared(width=WIDTH, rows=12, inputs=2)
    pairs = [tally.mean("row_cosine") for tally in tallied(experiment, [NETWORKS] * REPETITIONS, 3)]
    check_coverage(pairs, 2 / np.pi + (1 - 2 / np.pi) / WIDTH)
    # The limit is another target, which the mean over all repetitions tells apart.
    values = np.array([value for value, _ in pairs])
    assert abs(values.mean() - 2 / np.pi) > 8 * values.std(ddof=1) / np.sqrt(REPETITIONS)


@pytest.fixture(scope="module")
def merged(repetitions):
    """Moments of all networks at once, by the names of two statistics."""
    moments = functools.reduce(lambda a, b: a.merge(b), (tally.moments for tally in repetitions))

    def of(*names):
        index = [repetitions[0]._index(name)[0] for name in names]
        covariance = moments.comoment[np.ix_(index, index)] / (moments.count - 1)
        return moments.mean[index], covariance

    return moments.count, of


@pytest.mark.parametrize(
    ("per_network", "top", "bottom"),
    [
        ("ratio", "second_transverse", "first_transverse"),
        ("first_fraction", "first_radial", "first_energy"),
    ],
)
def test_what_lies_between_the_two_ratios(merged, per_network, top, bottom):
    """E[X/Y] − E X/E Y is (r Var Y − Cov(X, Y))/(E Y)², as the documentation says, to second order."""
    count, of = merged
    (quotient, x, y), covariance = of(per_network, top, bottom)
    ratio = x / y
    gap = quotient - ratio
    bias = (ratio * covariance[2, 2] - covariance[1, 2]) / y**2
    # Of the same networks: X/Y less its linearisation.
    gradient = np.array([1.0, -1 / y, ratio / y])
    error = np.sqrt(gradient @ covariance @ gradient / count)
    # What is left is of third order, smaller by the relative deviation of Y.
    third = np.sqrt(covariance[2, 2]) / y * abs(bias)
    assert abs(gap - bias) < 4 * error + third
    assert third < 0.35 * abs(bias)
    assert abs(gap) > 6 * error


def test_the_exact_target_is_not_the_limit(repetitions):
    """Over all repetitions p + (1−p)/m, without the spread of flips per row, is told apart."""
    values = np.array([tally.ratio("first_radial", "first_energy")[0][0] for tally in repetitions])
    error = values.std(ddof=1) / np.sqrt(REPETITIONS)
    assert abs(values.mean() - FLIPS) < 5 * error
    assert abs(values.mean() - (RATE + (1 - RATE) / ROWS)) > 8 * error


@pytest.mark.slow  # many runs
def test_the_controlled_interval():
    """Against a long run, for a pair whose error the controls explain, at 40 networks."""
    pair = (SignFlip(0.2), MagnitudeShift(0.5))
    experiment, _ = simulate.experiment("block").prepared(
        width=24, rate=None, perturbations=pair, inputs=32, controlled=True
    )
    long, *short = tallied(experiment, [20_000] + [40] * REPETITIONS, 5)
    (target,), (target_error,) = experiment.target(long)
    found = [experiment.target(tally) for tally in short]
    assert target_error < 0.1 * found[0][1][0]
    covered = np.mean([abs(value - target) <= 1.96 * error for (value,), (error,) in found])
    assert 0.91 <= covered <= 0.98
