"""Networks side by side, as on an accelerator: the same estimates, and blocks that follow from the work."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from hypothesis import given
from hypothesis import strategies as st

from signmag_jax import simulate
from signmag_jax.evidence.compiling import compiling_for
from signmag_jax.simulate import batch, program
from signmag_jax.simulate.program import fixed_numerics

NETWORKS = 7  # of two blocks of two steps of two: the last three would be too many
SIZES = {"width": 64, "rate": [0.05, 0.1], "depth": 2, "inputs": 32, "networks": NETWORKS, "seed": 7}
SIZES |= {"alpha": 0.3, "hidden": 96}


@pytest.fixture(scope="module", autouse=True)
def unoptimised(request):
    """So few networks run for a shorter time than they compile."""
    with quick.unoptimised(request.config.compiles_less):
        yield


def numbers(plain):
    if not isinstance(plain, dict):
        return []
    if "standard_error" in plain:
        return [np.ravel(plain[name]) for name in ("value", "standard_error")]
    return [leaf for value in plain.values() for leaf in numbers(value)]


def estimates(name):
    entry = simulate.experiment(name)
    own = {key: value for key, value in SIZES.items() if key in entry.arguments}
    if "hidden" not in entry.defaults:
        own.pop("hidden", None)
    return np.concatenate(numbers(entry(**own).to_json())).astype(float)


def check(name, monkeypatch):
    single = estimates(name)
    with monkeypatch.context() as patch:
        patch.setattr(batch, "side_by_side", lambda work: 2)
        patch.setattr(batch, "block", lambda work: 4)
        together = estimates(name)
    # The sums of a batched product are those of a single one in another order.
    np.testing.assert_allclose(together, single, rtol=2e-4, atol=1e-6)
    return single


def test_side_by_side_gives_the_same_estimates(monkeypatch):
    single = check("block", monkeypatch)
    # Control: one network more is another estimate.
    monkeypatch.setitem(SIZES, "networks", NETWORKS + 1)
    assert not np.allclose(estimates("block"), single, rtol=2e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name in simulate.EXPERIMENTS if name not in ("block", "crossings")]
)
def test_every_experiment_side_by_side(name, monkeypatch):
    check(name, monkeypatch)


@given(st.floats(1, 1e15))
def test_an_accelerator_hides_its_launches_and_a_cpu_keeps_its_blocks(work):
    with compiling_for("gpu"):
        side_by_side, block = batch.side_by_side(work), batch.block(work)
    assert block % side_by_side == 0
    assert 2 <= block <= 512
    assert side_by_side * work <= max(batch.SIDE_BY_SIDE_WORK, work)
    assert side_by_side == batch.SIDE_BY_SIDE_RANGE[1] or (side_by_side + 1) * work > batch.SIDE_BY_SIDE_WORK
    with compiling_for("cpu"):
        assert batch.side_by_side(work) == 1
        assert 2 <= batch.block(work) <= 64


def test_a_step_beyond_the_limit_is_not_computed():
    """What is asked for costs no more where a block is larger than it."""
    drawn = []

    def sample(parameters, key):
        jax.debug.callback(lambda _: drawn.append(1), key)
        return {"x": jax.random.normal(key)}

    mesh = program.flat(None)
    run = program.block_program(sample, jax.sharding.Mesh(mesh.devices[:1], mesh.axis_names), 8, 2)
    with fixed_numerics():
        found = run({}, jax.random.key(0), np.zeros(1, np.int32), np.int32(3))
        jax.block_until_ready(found)
        jax.effects_barrier()
    assert len(drawn) == 4
    assert np.count_nonzero(found["x"]) == 4


def test_what_a_network_skips_is_skipped_side_by_side_too():
    """`vmap` of a branch computes both: the fast estimator would do all rows of every network."""
    experiment, _ = simulate.experiment("block_fast").prepared(
        width=64, rate=0.02, roulette=0.25, networks=800
    )
    with fixed_numerics():
        rates, keys = jnp.asarray(experiment.parameters), jax.random.split(jax.random.key(0), 8)
        together = jax.vmap(experiment.sample, (None, 0))
        assert "cond[" in str(jax.make_jaxpr(together)(rates, keys))
        single = quick.jit(lambda every: jax.lax.map(lambda key: experiment.sample(rates, key), every))
        found, right = quick.jit(together)(rates, keys), single(keys)
    for name, leaf in right.items():
        np.testing.assert_allclose(found[name], leaf, rtol=2e-4, atol=1e-6)


def traced(target, name, **sizes):
    """How many products one network has in a program for that platform, and its statistics, computed here."""
    prepared, _ = simulate.experiment(name).prepared(**sizes)
    with fixed_numerics(), compiling_for(target):
        # A function of its own: what was traced for one target is not what is traced for another.
        given = prepared.parameters, jax.random.key(3)
        run = quick.jit(lambda *given: prepared.sample(*given)).trace(*given)
        found = run.lower().compile()(*given)
    return str(run.jaxpr).count("dot_general"), {name: np.asarray(x) for name, x in found.items()}


def test_a_repeated_layer_is_compiled_once_for_an_accelerator_and_gives_the_same_network():
    def network(repeats, target):
        lines = f"dense, relu, {repeats}*residual(rmsnorm, dense)"
        return traced(target, "network", width=16, rate=[0.1], network=lines, inputs=8, networks=2)

    of_three, looped = network(3, "gpu")
    in_turn, single = network(3, "cpu")
    of_two, shorter = network(2, "gpu")
    assert of_two == of_three < in_turn
    assert set(looped) == {"flip", "shift", "ratio"}
    for name, found in looped.items():
        np.testing.assert_allclose(found, single[name], rtol=1e-4)
        assert not np.allclose(found, shorter[name], rtol=1e-4)


def test_the_regions_of_a_pool_are_compiled_once_for_an_accelerator_and_give_the_same_network():
    sizes = {"width": 32, "rate": [0.1], "rows": 16, "inputs": 8, "fraction": 0.25, "networks": 20}
    once, looped = traced("gpu", "column_pool", **sizes)
    three_times, single = traced("cpu", "column_pool", **sizes)
    # Of the clean matrix, and two of a region.
    assert (once, three_times) == (1 + 2, 1 + 3 * 2)
    assert looped.keys() == single.keys()
    for name, found in looped.items():
        np.testing.assert_allclose(found, single[name], rtol=1e-4)
    # Control: each region has columns and a key of its own.
    energies = [float(looped[f"{region}_flip_energy"][0]) for region in ("pool", "rest", "everywhere")]
    assert not np.isclose(energies, np.roll(energies, 1), rtol=1e-2).any()
