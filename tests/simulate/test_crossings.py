"""The fast estimator: brute force's expectations, whatever is drawn of the rows, and a smaller error."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signmag_jax import simulate, theory
from signmag_jax.evidence import InvalidInput
from signmag_jax.simulate.crossings import CrossingSample, default_share
from signmag_jax.simulate.engine import Experiment, run

RATES = [0.02, 0.2]


def apart(one, other):
    """Distance in combined standard errors, element by element."""
    return np.abs(np.asarray(one.value) - other.value) / np.hypot(one.standard_error, other.standard_error)


@pytest.fixture(scope="module")
def brute():
    """Networks of 48 inputs and 64 rows, by matrix products alone."""
    return simulate.block(48, RATES, hidden=64, second_layer="none", inputs=128, networks=3000, seed=1)


@pytest.fixture(scope="module")
def fast():
    return simulate.crossings(48, RATES, hidden=64, inputs=128, networks=1500, seed=2)


def test_the_expectations_of_brute_force(brute, fast):
    # Three quantities at two rates: 3.5 standard errors are a family-wise level of 0.3%.
    assert np.all(apart(fast.transverse_ratio, brute.transverse_ratio_of_means) < 3.5)
    assert np.all(apart(fast.flip, brute.first.transverse) < 3.5)
    assert np.all(apart(fast.shift, brute.second.transverse) < 3.5)
    # Narrow enough to see the 1/m term of one arm, which the ratio hides.
    for arm, other in ((fast.flip, brute.first), (fast.shift, brute.second)):
        assert np.all(4 * np.hypot(arm.standard_error, other.transverse.standard_error) < arm.value * 2 / 64)
    # Half as many networks, and of half as many matrix products.
    assert np.all(fast.transverse_ratio.standard_error < 0.8 * brute.transverse_ratio_of_means.standard_error)


class Spread(CrossingSample):
    """Wrong: every row flips the expected share of its input's energy, as at infinite width."""

    def _draw(self, key, rows):
        w, x = super()._draw(key, rows)
        return w, jnp.where(x < 0, -jnp.ones_like(x), jnp.ones_like(x)) / jnp.sqrt(
            jnp.asarray(self.width, x.dtype)
        )


class WithoutRest(CrossingSample):
    """Wrong: infinitely many rows."""

    def _rest(self, parameters, key):
        return {arm: jnp.zeros_like(parameters) for arm in ("flip", "shift")}


@pytest.mark.parametrize(("wrong", "quantity"), [(Spread, "ratio"), (WithoutRest, "flip")])
def test_wrong_laws_of_the_rows_are_told_apart(wrong, quantity):
    """Controls at n = 64: inputs all on the axes' diagonals (q = K/n), and no 1/m term."""
    found = {}
    for kind in (CrossingSample, wrong):
        sample = kind(64, 64, 64, 256, 1.0, "realised", "float32")
        experiment = Experiment(
            "crossings", sample, np.array([0.01]), {}, 1e8, lambda tally: tally.ratio("flip", "shift")
        )
        tally, _ = run(experiment, networks=1200, seed=3)
        found[kind] = {"ratio": tally.ratio("flip", "shift"), "flip": tally.mean("flip")}[quantity]
    (right, error), (other, its_error) = found[CrossingSample], found[wrong]
    assert np.all(np.abs(right - other) > 6 * np.hypot(error, its_error))
    if quantity == "ratio":
        assert np.all(np.abs(right - theory.transverse_ratio(0.01)) > 12 * error)


@pytest.mark.parametrize("match", ["realised", "expected"])
def test_some_rows_stand_for_all(match):
    common = {"hidden": 64, "match": match, "networks": 600, "inputs": 64}
    some = simulate.crossings(32, 0.1, rows=16, share=0.5, seed=4, **common)
    # With 8 times fewer rows the norm that the others add decides.
    everything = simulate.crossings(32, 0.1, seed=5, **common)
    for name in ("transverse_ratio", "flip", "shift"):
        assert apart(getattr(some, name), getattr(everything, name)) < 4
    assert some.shift.standard_error < 0.003 * some.shift.value


def test_flips_per_row_law():
    """The law has infinitely many rows: with m, the ratio is 0.6/m smaller at n = 64 (what `_rest` says)."""
    widths, rows = (64, 128), 2048
    found = [
        simulate.crossings(n, 0.01, hidden=rows, rows=128, share=0.25, networks=400, seed=6).transverse_ratio
        for n in widths
    ]
    laws = np.array([theory.finite_width_ratio(0.01, n) for n in widths])
    values, errors = (np.array([getattr(one, name) for one in found]) for name in ("value", "standard_error"))
    assert np.all(errors < 0.0016)
    assert np.all(np.abs(values - laws) < 3.5 * errors + 0.6 / rows)
    assert abs(values[0] - laws[1]) > 20 * errors[0]


def test_the_share_of_networks_with_all_rows_is_free():
    assert default_share(64 * 64) == 1.0
    assert default_share(2048 * 2048) == 0.125
    assert default_share(8192 * 8192) == 0.125


def test_float32_is_enough():
    """The same draws in both precisions."""
    found = []
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        keys = jax.random.split(jax.random.key(0), 16)
        w32, x32 = (jax.random.normal(key, (64, 64), "float32") for key in keys[:2])
        x32 = x32 / jnp.linalg.norm(x32, axis=0, keepdims=True)
        for dtype in ("float32", "float64"):

            class Same(CrossingSample):
                def _draw(self, key, rows):
                    return w32.astype(self.dtype), x32.astype(self.dtype)

            sample = Same(64, 64, 64, 128, 1.0, "realised", dtype)
            found.append(sample._rest(jnp.array([0.05]), keys[2]))
    for arm in ("flip", "shift"):
        np.testing.assert_allclose(found[0][arm], found[1][arm], rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": 17}, "`rows <= hidden` is required, received 17"),
        ({"inputs": 7}, "`inputs is even"),
        ({"share": 0.0}, "`0 < share <= 1` is required, received 0.0"),
        ({"share": float("nan")}, "`0 < share <= 1` is required, received nan"),
        ({"match": "none"}, "`match in"),
        ({"dtype": "int8"}, "`dtype in"),
        ({"hidden": 1}, "`hidden is an integer >= 2`"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        simulate.crossings(16, 0.1, **arguments)
