"""The registry of experiments."""

import inspect

import numpy as np
import pytest

from signmag_jax import simulate
from signmag_jax.evidence import Estimate, InvalidInput

SMALL = {"width": 16, "inputs": 8, "networks": 3}


@pytest.mark.parametrize("name", simulate.EXPERIMENTS)
def test_every_experiment_runs_small(name):
    entry = simulate.experiment(name)
    smaller = {"rate": 0.2, "alpha": 0.3, "depth": 2, "hidden": 24}
    arguments = SMALL | {key: value for key, value in smaller.items() if key in entry.defaults}
    found = entry(**arguments)
    primary = getattr(found, entry.primary)
    assert isinstance(primary, Estimate)
    assert np.all(np.asarray(primary.standard_error) > 0)
    assert found.to_json()["networks"] == 3
    for argument, value in arguments.items():
        assert primary.provenance[argument] == value


def test_unknown_names_and_arguments():
    with pytest.raises(InvalidInput, match="received 'blok': choose one of block, block_explicit"):
        simulate.experiment("blok")
    with pytest.raises(InvalidInput, match="received 'depth': it takes"):
        simulate.experiment("block")(depth=3)
    with pytest.raises(InvalidInput, match="received 'residual'"):
        simulate.experiment("v3")(residual=False)


def test_signatures_show_what_may_be_set():
    parameters = inspect.signature(simulate.experiment("v3")).parameters
    assert "residual" not in parameters
    assert parameters["hidden"].default == 2048
    assert parameters["rate"].default == 0.01
    assert "standard_error" in simulate.experiment("v3").arguments
