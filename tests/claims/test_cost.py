"""What a run of the ledger says beforehand that it costs, against what it then asks for."""

import jax
import numpy as np
import pytest

from signmag_jax import claims
from signmag_jax.claims.simulations import simulations
from signmag_jax.simulate import engine


@pytest.fixture
def counted(monkeypatch):
    """Networks of every simulation: their statistics are of the right shapes, and made up."""
    found = []

    def compute(experiment, root, mesh, blocks, limit):
        rng, size, rows = np.random.default_rng(0), experiment.block, {}
        shapes = jax.eval_shape(experiment.sample, experiment.parameters, root)
        for block in blocks:
            count = min(size, limit - block * size)
            rows[block] = [{n: rng.uniform(1, 2, s.shape) for n, s in shapes.items()} for _ in range(count)]
            found.extend([experiment.name] * count)
        return {block: [{n: v.tolist() for n, v in row.items()} for row in rows[block]] for block in rows}

    monkeypatch.setattr(engine, "compute", compute)
    return found


@pytest.mark.parametrize("name", ["quick", "default"])
def test_every_network_is_counted(counted, name):
    level = claims.level(name)
    for _, run in simulations(level, 0, None):
        run()
    assert claims.cost(level)["simulated_networks"] == len(counted)
    # Control: a count that forgets the row cosines, say, would have been seen.
    assert counted.count("quantizer") >= 4 * 64
