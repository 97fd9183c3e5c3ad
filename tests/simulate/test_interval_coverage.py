"""How often the published intervals hold the truth, at few networks, rare flips and target errors.

`pytest -q -s -m slow tests/simulate/test_interval_coverage.py` prints CONTRIBUTING's table. Networks of
each run are drawn from many simulated ones, whose mean is the truth: what is tested is the interval.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signmag_jax import simulate
from signmag_jax.evidence import Estimate, SampleMoments, keys
from signmag_jax.simulate.network import Experiment
from signmag_jax.simulate.prefix import Prefix
from signmag_jax.simulate.program import fixed_numerics
from signmag_jax.simulate.stop import FEWEST, Stop
from signmag_jax.simulate.tally import Tally

LOW, HIGH = 0.92, 0.98
RUNS = 2500


def binomial(covered):
    """The standard error of a coverage."""
    return math.sqrt(covered * (1 - covered) / RUNS)


def check(covered):
    """Between the bounds, and known well enough to tell the lower one from 90%."""
    assert LOW <= covered <= HIGH
    assert 3 * binomial(covered) < LOW - 0.9


def show(label, covered):
    print(f"\n| {label} | {covered:.1%} ± {binomial(covered):.1%} |", end="")


class Pool:
    """Many networks of an experiment, from which runs are drawn with replacement."""

    def __init__(self, name, count, **arguments):
        self.experiment, _ = simulate.experiment(name).prepared(**arguments)
        sample, parameters = self.experiment.sample, self.experiment.parameters
        with fixed_numerics():
            parameters = jax.tree.map(jnp.asarray, parameters)
            program = jax.jit(lambda every: jax.lax.map(lambda key: sample(parameters, key), every))
            rows = program(jax.random.split(keys.root(11), count))
        self.rows = {key: np.asarray(leaf, dtype=np.float64) for key, leaf in rows.items()}
        self.count = count

    def tally(self, networks):
        """What `Tally.add` makes of these networks, all at once."""
        tally = Tally(self.experiment.optional)
        tally.add(0, {name: leaf[networks[:1]] for name, leaf in self.rows.items()})
        values = {name: self.rows[name][networks] for name in sorted(self.rows)}
        for name in self.experiment.optional:
            has = np.isfinite(values[name])
            values |= {name: np.where(has, values[name], 0.0), f"has {name}": has.astype(float)}
        flat = [leaf.reshape(len(networks), -1) for leaf in values.values()]
        tally.moments = SampleMoments.of(np.concatenate(flat, axis=1))
        return tally

    @functools.cached_property
    def all(self):
        return self.tally(np.arange(self.count))

    def distances(self, find, networks, runs=RUNS):
        """Deviations from the truth in standard errors, one a run, and how many networks are behind each."""
        rng, (truth, *_), found = np.random.default_rng(5), find(self.all), []
        for _ in range(runs):
            tally = self.tally(rng.integers(self.count, size=networks))
            value, error, count = find(tally)
            found.append(((value - truth).flat[0] / error.flat[0], int(count.min())))
        return np.array(found).T

    def coverage(self, find, networks):
        """Of the intervals that `Estimate` gives, and of the normal ones."""
        distances, counts = self.distances(find, networks)
        widths = [Estimate(0.0, 1.0, int(count)).interval()[1] for count in counts]
        return np.mean(np.abs(distances) <= widths), np.mean(np.abs(distances) <= 1.96)


def mean(name):
    """Value, error and number of networks, of a tally."""
    return lambda tally: (*tally.mean(name), tally.having(name))


def ratio(top, bottom, among=None):
    names = top, bottom, among
    return lambda tally: (*tally.ratio(*names), tally.carrying(*names))


def test_a_tally_of_many_is_that_of_one_after_another():
    pool = Pool("proposition_1", 40, width=8, rate=0.02, inputs=8)
    single = Tally(pool.experiment.optional)
    for network in range(40):
        single.add(network, {name: leaf[network : network + 1] for name, leaf in pool.rows.items()})
    assert pool.all.rarest == single.rarest < 40
    for find in (mean("ratio"), ratio("first_radial", "first_energy", "first_fraction")):
        for one, other in zip(find(pool.all), find(single), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9)


# --- flips so rare that the error must know of those that were not drawn

FLIPS_OVER_SHIFT = ratio("flip", "shift")
RARE = {
    "n = 64, p = 6e-5": (30_000, {"width": 64, "rate": 6e-5}),
    "n = 64, p = 1e-4": (20_000, {"width": 64, "rate": 1e-4}),
    "n = 4096, p = 1e-6": (4_000, {"width": 4096, "rate": 1e-6, "hidden": 256}),
    "n = 1024, p = 1e-4, one row": (
        20_000,
        {"width": 1024, "rate": 1e-4, "rows": 1, "hidden": 64, "roulette": 0.02},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("setting", RARE)
def test_crossings_of_rare_flips(setting):
    """At the fewest networks that are not refused; controls: at a twentieth of them."""
    count, arguments = RARE[setting]
    pool = Pool("block_fast", count, networks=10**5, inputs=32, **arguments)
    fewest = pool.experiment.fewest
    assert fewest < count / 2
    covered, _ = pool.coverage(FLIPS_OVER_SHIFT, fewest)
    show(f"crossings, {setting}, {fewest} networks", covered)
    check(covered)
    refused, _ = pool.coverage(FLIPS_OVER_SHIFT, fewest // 20)
    show(f"... refused: {fewest // 20} networks", refused)
    assert refused + 3 * binomial(refused) < LOW


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [{"width": 64, "rate": 0.01, "rows": 16}, {"width": 32, "rate": 0.05, "rows": 32}]
)
def test_pools_of_rare_flips(arguments):
    pool = Pool("column_pool", 20_000, networks=10**5, inputs=16, **arguments)
    fewest = pool.experiment.fewest
    for names in (
        ("pool_flip_energy", "rest_flip_energy"),
        ("pool_flip_transverse", "pool_shift_transverse"),
    ):
        covered, _ = pool.coverage(ratio(*names), fewest)
        show(f"column_pool, {names[0]}, {arguments}, {fewest} networks", covered)
        check(covered)


# --- few networks

FEW = {
    "block": ({"width": 32, "rate": 0.1, "inputs": 64}, mean("ratio")),
    "block, ratio of means": (
        {"width": 64, "rate": 0.01, "inputs": 64},
        ratio("first_transverse", "second_transverse", "ratio"),
    ),
    "depth": ({"width": 32, "rate": 0.1, "depth": 4, "inputs": 16}, mean("ratio")),
    "single_flip": (
        {"width": 64, "alpha": 0.26, "rows": 64, "inputs": 32},
        ratio("outlier_energy", "delocalised_energy"),
    ),
    "quantizer": ({"width": 32}, mean("row_cosine")),
    "proposition_1": (
        {"width": 32, "rate": 0.05, "inputs": 64},
        ratio("second_transverse", "first_transverse", "ratio"),
    ),
    "block_fast": ({"width": 64, "rate": 0.01, "inputs": 64}, FLIPS_OVER_SHIFT),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FEW)
def test_few_networks(name):
    """Student's tails hold at 8 and 32 networks; control: normal ones do not at 8."""
    arguments, find = FEW[name]
    pool = Pool(name.split(",")[0], 8000, **arguments)
    for networks in (8, 32):
        covered, normal = pool.coverage(find, networks)
        show(f"{name}, {networks} networks", covered)
        check(covered)
        if networks == 8:
            show(f"... with the normal interval, {networks} networks", normal)
            assert normal < LOW


@pytest.mark.slow
def test_networks_without_a_flip():
    """Half of the networks hold none."""
    arguments = {"width": 8, "rate": 0.01, "inputs": 32}
    for name, statistic in (
        ("proposition_1", "ratio"),
        ("block", "ratio"),
        ("proposition_1", "first_fraction"),
    ):
        pool = Pool(name, 20_000, **arguments)
        assert 0.4 < pool.all.rarest / pool.count < 0.6
        covered, _ = pool.coverage(mean(statistic), 64)
        show(f"{name}, {statistic}, {arguments}, 64 networks", covered)
        check(covered)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("proposition_1", ("second_transverse", "first_transverse", "ratio")),
        ("proposition_1", ("second_radial", "second_energy", "second_fraction")),
        ("block", ("first_transverse", "second_transverse", "ratio")),
        ("block", ("first_hidden_radial", "first_hidden_energy", "first_hidden_fraction")),
        ("block", ("first_radial", "first_energy", "first_fraction")),
    ],
)
def test_ratios_of_means_of_networks_without_a_flip(name, names):
    """From 40 flips in all; control: as if each network that holds one told as much as any other."""
    pool = Pool(name, 20_000, width=8, rate=0.01, inputs=32)
    for networks in (62, 156, 312):
        covered, _ = pool.coverage(ratio(*names), networks)
        show(f"{name}, {names[0]} over {names[1]}, {networks} networks", covered)
        check(covered)

    def all_alike(tally):
        (value, error), having, count = tally.ratio(*names), tally.having(names[2]), tally.carrying(*names)
        return value, error * np.sqrt((count - 1) / count * having / (having - 1)), having

    covered, _ = pool.coverage(all_alike, 62)
    show("... all alike, 62 networks", covered)
    assert covered < LOW


# --- runs to a standard error

SPREAD, MEAN = 1.0, 1.0
EXPONENTIAL = Experiment(
    "exponential", lambda parameters, key: {}, None, {}, 1e9, lambda tally: tally.mean("value")
)


def to_a_target(values, target):
    """The value, the error and the networks of a run to a target, the networks being these numbers."""
    prefix = Prefix(EXPONENTIAL, Stop(standard_error=target))
    if prefix.add(0, {"value": values}):
        return *prefix.tally.mean("value"), prefix.tally.count
    raise AssertionError("too few numbers")


def first_to_meet(values, target):
    """Wrong: the first prefix whose own error is small enough."""
    count = np.arange(1, len(values) + 1)
    centre = np.cumsum(values) / count
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.sqrt((np.cumsum(values**2) - count * centre**2) / (count - 1) / count)
    last = np.flatnonzero((error <= target) & (count >= FEWEST))[0]
    return centre[last], error[last], count[last]


@pytest.mark.slow
def test_runs_to_a_standard_error():
    """Of skewed statistics: coverage and bias, and what the pilot costs; control: without it."""
    rng, needed, runs = np.random.default_rng(2), 100, RUNS
    target, found = SPREAD / math.sqrt(needed), {}
    for rule in (to_a_target, first_to_meet):
        value, error, count = np.array([rule(rng.exponential(size=900), target) for _ in range(runs)]).T
        assert np.all(error <= target)
        inside = [
            low <= MEAN <= high
            for low, high in (
                Estimate(v, e, int(n)).interval() for v, e, n in zip(value, error, count, strict=True)
            )
        ]
        bias = (value - MEAN) * np.sqrt(count) / SPREAD
        found[rule] = np.mean(inside), bias.mean(), bias.std(ddof=1) / math.sqrt(runs)
        show(f"to a standard error, {rule.__name__}", found[rule][0])
        print(
            f" bias {bias.mean():+.3f} ± {found[rule][2]:.3f} of the error, {count.mean():.0f} networks",
            end="",
        )
    covered, bias, error = found[to_a_target]
    check(covered)
    assert abs(bias) < 0.03 + 3 * error
    covered, bias, error = found[first_to_meet]
    assert covered < LOW
    assert bias < -0.03 - 3 * error
