"""The registry of experiments."""

import numpy as np
import pytest

from signmag_jax import simulate
from signmag_jax.evidence import Estimate, InvalidInput

SMALL = {"width": 16, "inputs": 8, "networks": 3}


@pytest.mark.parametrize("name", simulate.EXPERIMENTS)
def test_every_experiment_runs_small(name):
    entry = simulate.experiment(name)
    arguments = dict(SMALL)
    for argument, value in (("rate", 0.2), ("depth", 2), ("hidden", 24)):
        if argument in entry.defaults:
            arguments[argument] = value
    found = entry.run(**arguments)
    primary = getattr(found, entry.primary)
    assert isinstance(primary, Estimate)
    assert np.all(np.asarray(primary.standard_error) > 0)
    assert found.to_json()["networks"] == 3
    for argument, value in arguments.items():
        assert primary.provenance[argument] == value


def test_unknown_names_and_arguments():
    with pytest.raises(InvalidInput, match="received 'blok': choose one of block, block-explicit"):
        simulate.experiment("blok")
    with pytest.raises(InvalidInput, match="received 'depth': it takes"):
        simulate.experiment("block").run(depth=3)
    with pytest.raises(InvalidInput, match="received 'residual'"):
        simulate.experiment("depth-v3").run(residual=False)
