"""The registry of experiments."""

import inspect
import json

import pytest

from signmag_jax import simulate
from signmag_jax.cli import run
from signmag_jax.evidence import InvalidInput
from signmag_jax.perturb import Prune, SignFlip

SMALL = {"width": 16, "inputs": 8, "networks": 3}


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


@pytest.mark.slow
def test_perturbations_stand_in_place_of_the_default_rate(capsys):
    """In Python and on the command line: two for blocks and chains, one for a quantiser."""
    pair = (SignFlip(0.2), Prune(0.5))
    found = simulate.experiment("v3")(perturbations=pair, **SMALL, hidden=24, depth=2)
    assert found.transverse_ratio.value.shape == (2,)
    assert found.transverse_ratio.provenance["perturbations"] == [repr(one) for one in pair]
    sizes = ["--width", "16", "--inputs", "8", "--networks", "3"]
    assert run(["simulate", "block", *sizes, "--perturbation", "flip:0.2,prune:0.5", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["provenance"]["perturbations"] == [repr(one) for one in pair]
    block = simulate.block(16, perturbations=pair, inputs=8, networks=3)
    assert printed["value"] == block.transverse_ratio.value
    assert run(["simulate", "quantizer", *sizes, "--perturbation", "prune:0.5", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["provenance"]["perturbation"] == repr(Prune(0.5))
    for wrong in (["ternary", "--perturbation", "sign"], ["block", "--perturbation", "sign"]):
        assert run(["simulate", *wrong]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_what_lies_between_two_ratios_is_said_where_both_are_printed(capsys):
    sizes = ["--width", "16", "--inputs", "8", "--networks", "3"]
    said = {}
    for arguments in (
        ["block", "--rate", "0.2"],
        ["block", "--rate", "0.2", "--quiet"],
        ["block_fast", "--width", "64", "--rate", "0.2"],
    ):
        assert run(["simulate", *arguments[:1], *sizes, *arguments[1:]]) == 0
        said[tuple(arguments)] = "bias of a quotient" in capsys.readouterr().err
    assert list(said.values()) == [True, False, False]
