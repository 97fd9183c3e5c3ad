"""The fast estimator: brute force's expectations, whatever is drawn of the rows, and a smaller error."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signmag_jax import simulate, theory
from signmag_jax.evidence import InvalidInput
from signmag_jax.simulate import crossing_network
from signmag_jax.simulate.crossing_network import CrossingSample
from signmag_jax.simulate.crossings import default_roulette
from signmag_jax.simulate.engine import run
from signmag_jax.simulate.network import Experiment
from signmag_jax.simulate.program import block_program

RATES = [0.02, 0.2]


@pytest.fixture(scope="module")
def brute():
    """Networks of 48 inputs and 64 rows, by matrix products alone."""
    return simulate.block(48, RATES, hidden=64, second_layer="none", inputs=128, networks=3000, seed=1)


@pytest.fixture(scope="module")
def fast():
    return simulate.crossings(48, RATES, hidden=64, inputs=128, networks=1500, seed=2)


def test_the_expectations_of_brute_force(brute, fast):
    # Three quantities at two rates: 3.5 standard errors are a family-wise level of 0.3%.
    assert np.all(abs(fast.transverse_ratio.distance(brute.transverse_ratio_of_means)) < 3.5)
    assert np.all(abs(fast.flip.distance(brute.first.transverse)) < 3.5)
    assert np.all(abs(fast.shift.distance(brute.second.transverse)) < 3.5)
    # Narrow enough to see the 1/m term of one arm, which the ratio hides.
    for arm, other in ((fast.flip, brute.first), (fast.shift, brute.second)):
        assert np.all(4 * np.hypot(arm.standard_error, other.transverse.standard_error) < arm.value * 2 / 64)
    # Half as many networks, and of half as many matrix products.
    assert np.all(fast.transverse_ratio.standard_error < 0.8 * brute.transverse_ratio_of_means.standard_error)


class SameAngle(CrossingSample):
    """Wrong: every row turns by the same angle, as at infinite width."""

    def _row(self, rows, drift, t):
        same = jnp.sqrt(jnp.mean(rows.angle**2)) * jnp.ones_like(rows.angle)
        return super()._row(rows._replace(angle=same), drift, t)


class ManyRows(CrossingSample):
    """Wrong: three times as many rows in the terms of 1/m."""

    def _row(self, rows, drift, t):
        many = CrossingSample(
            self.width, 3 * self.hidden, self.rows, self.inputs, 1.0, self.match, self.dtype
        )
        return many._row(rows, drift, t)


@pytest.mark.parametrize(
    ("wrong", "quantity"),
    [(SameAngle, "transverse_ratio"), pytest.param(ManyRows, "flip", marks=pytest.mark.slow)],
)
def test_wrong_laws_of_the_rows_are_told_apart(fast, wrong, quantity):
    """Controls: no spread of the flips per row, and a third of the 1/m term."""
    sample = wrong(48, 64, 64, 128, 1.0, "realised", "float32")
    experiment = Experiment(
        "crossings", sample, np.array(RATES), {}, 1e8, lambda tally: tally.ratio("flip", "shift")
    )
    tally, _ = run(experiment, networks=1500, seed=3)
    other, its_error = tally.ratio("flip", "shift") if quantity == "transverse_ratio" else tally.mean("flip")
    right = getattr(fast, quantity)
    assert np.all(np.abs(right.value - other) > 6 * np.hypot(right.standard_error, its_error))
    if quantity == "transverse_ratio":
        laws = theory.transverse_ratio(np.array(RATES))
        assert np.all(np.abs(right.value - laws) > 12 * right.standard_error)


@pytest.mark.slow
@pytest.mark.parametrize("match", ["realised", "expected"])
def test_some_rows_stand_for_all(match):
    common = {"hidden": 64, "match": match, "networks": 600, "inputs": 64}
    some = simulate.crossings(32, 0.1, rows=16, roulette=0.5, seed=4, **common)
    # With 8 times fewer rows the norm that the others add decides.
    everything = simulate.crossings(32, 0.1, seed=5, **common)
    for name in ("transverse_ratio", "flip", "shift"):
        assert abs(getattr(some, name).distance(getattr(everything, name))) < 4
    assert some.shift.standard_error < 0.003 * some.shift.value


@pytest.mark.slow
def test_few_rows_of_a_wide_network():
    """64 of 1,024 rows, the others in one network of 16: the law of the width, not that of its neighbours."""
    found = simulate.crossings(1024, 0.01, inputs=128, networks=200, seed=7).transverse_ratio
    laws = [float(theory.finite_width_ratio(0.01, n)) for n in (512, 1024, 2048)]
    assert found.standard_error < 0.0006
    assert abs(found.value - laws[1]) < 4 * found.standard_error
    for wrong in (laws[0], laws[2], float(theory.transverse_ratio(0.01))):
        assert abs(found.value - wrong) > 8 * found.standard_error


@pytest.mark.slow
def test_flips_per_row_law():
    """The law has infinitely many rows: at n = 64 m rows make the ratio smaller by 0.6/m."""
    widths, rows = (64, 128), 256
    found = [
        simulate.crossings(n, 0.01, hidden=rows, rows=rows, inputs=128, networks=400, seed=6).transverse_ratio
        for n in widths
    ]
    laws = np.array([theory.finite_width_ratio(0.01, n) for n in widths])
    values, errors = (np.array([getattr(one, name) for one in found]) for name in ("value", "standard_error"))
    assert np.all(errors < 0.002)
    assert np.all(np.abs(values - laws) < 3.5 * errors + 0.6 / rows)
    assert abs(values[0] - laws[1]) > 20 * errors[0]


def test_the_share_of_networks_with_all_rows():
    assert default_roulette(64 * 64) == 1.0
    assert default_roulette(2048 * 2048) == 1 / 64
    assert default_roulette(8192 * 8192) == 1 / 64


@pytest.mark.slow  # many runs, for the coverage of their errors
def test_the_error_is_honest_where_all_rows_were_never_drawn(monkeypatch):
    """Most runs of a wide network draw them in no network: what they leave out must be within their error."""

    def distance():
        never, always = (
            simulate.crossings(320, 0.2, roulette=part, inputs=256, networks=32, seed=8)
            for part in (1e-6, 1.0)
        )
        assert np.all(never.transverse_ratio.standard_error < 0.002 * never.transverse_ratio.value)
        return abs(never.transverse_ratio.distance(always.transverse_ratio))

    assert distance() < 3
    # Control: an α that leaves the crossings out is unbiased, too, and its error knows of nothing.
    none = {"flip": jnp.zeros(()), "shift": jnp.zeros(())}
    monkeypatch.setattr(crossing_network, "biases", lambda rate: none)
    block_program.cache_clear()
    try:
        assert distance() > 8
    finally:
        block_program.cache_clear()


@pytest.mark.slow
def test_float32_bias_is_far_below_the_error(monkeypatch):
    """The same draws in both precisions."""
    weights, sphere = crossing_network.weights, crossing_network.sphere
    monkeypatch.setattr(crossing_network, "weights", lambda *a: weights(*a[:3], "float32").astype(a[3]))
    monkeypatch.setattr(crossing_network, "sphere", lambda *a: sphere(*a[:3], "float32").astype(a[3]))
    found = []
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        keys = jax.random.split(jax.random.key(0), 8)
        for dtype in ("float32", "float64"):
            sample = CrossingSample(256, 256, 256, 128, 1.0, "realised", dtype)
            program = jax.jit(lambda k, s=sample: jax.lax.map(lambda key: s(jnp.array([0.01]), key), k))
            found.append(program(keys))
    for arm in ("flip", "shift"):
        difference = np.asarray(found[0][arm]) / np.asarray(found[1][arm]) - 1
        assert 0 < np.max(np.abs(difference)) < 3e-6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": 17}, "`rows <= hidden` is required, received 17"),
        ({"inputs": 7}, "`inputs is even"),
        ({"roulette": 0.0}, "`0 < roulette <= 1` is required, received 0.0"),
        ({"roulette": float("nan")}, "`0 < roulette <= 1` is required, received nan"),
        ({"hidden": 1}, "`hidden is an integer >= 2`"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        simulate.crossings(16, 0.1, **arguments)


def test_rates_whose_flips_are_too_rare_for_their_networks_are_refused(monkeypatch):
    """Control: without the refusal, the estimate is that of rows with many flips, 20 standard errors off."""
    for asked, few in (({"networks": 97_656}, "networks"), ({"standard_error": 1.0}, "max_networks")):
        with pytest.raises(InvalidInput, match=rf"`{few} >= \d+ at this rate and these sizes`.*400 flips"):
            simulate.crossings(64, [1e-6, 0.01], inputs=32, **asked)
    law = theory.finite_width_ratio(1e-6, 64)
    monkeypatch.setattr(sys.modules["signmag_jax.simulate.crossings"], "FEWEST_FLIPS", 0.0)
    few = simulate.crossings(64, 1e-6, inputs=32, networks=64).transverse_ratio
    assert few.value - law > 20 * few.standard_error
    enough = simulate.crossings(64, 1e-4, inputs=32, networks=980).transverse_ratio
    assert abs(enough.value - theory.finite_width_ratio(1e-4, 64)) < 4 * enough.standard_error
