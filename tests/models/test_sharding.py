"""The same model over meshes of eight devices, in a process of its own that is forced to have them."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import oracle
import pytest

SCRIPT = Path(__file__).with_name("on_mesh.py")
# Eight heads over four devices; the second has fewer key/value heads than devices, and an odd vocabulary.
CASES = {
    "divides": ("llama", {"vocab_size": 96, "num_attention_heads": 8, "num_key_value_heads": 4}),
    "does-not": ("qwen2", {"num_attention_heads": 8, "num_key_value_heads": 2, "tie_word_embeddings": True}),
}
MESHES = ("data", "tensor", "both")
ROWS = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "q_bias", "k_bias", "v_bias", "embed", "head")
COLUMNS = ("o_proj", "down_proj")
# Sums of the shards come in another order.
ROUNDING = 1e-12


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    """What `on_mesh.py` found."""
    folder = tmp_path_factory.mktemp("mesh")
    for name, (family, changes) in CASES.items():
        oracle.save(oracle.oracle(family, changes), folder / name)
    flags = "--xla_force_host_platform_device_count=8"
    flags += " --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"  # as in `quick`
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "1"}
    done = subprocess.run(
        [sys.executable, SCRIPT, folder], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_split(shards, devices, pieces, whole=()):
    """Every matrix lies in `pieces` equal parts, one on each device; all but `whole`, gains, outer biases."""
    for label, (shape, parts, different) in shards.items():
        name = label.split(".")[-1]
        expected, count = list(shape), 1
        if name not in whole and name in ROWS + COLUMNS:
            axis = -1 if name in COLUMNS or name.endswith("bias") else -2
            expected[axis] //= pieces
            count = pieces
        assert len(parts) == devices, label
        assert all(part == expected for part in parts), label
        assert different == count, label


@pytest.mark.parametrize("case", CASES)
def test_weights_are_really_split_and_whole_ones_are_noticed(eight, case):
    found = eight["found"][case]
    whole = () if case == "divides" else ("k_proj", "v_proj", "k_bias", "v_bias", "embed")
    check_split(found["tensor"]["shards"], 4, 4, whole)
    check_split(found["both"]["shards"], 8, 4, whole)
    check_split(found["data"]["shards"], 8, 1)
    assert eight["later"][case] == found["both"]["shards"]
    for wrong in ("one", "data"):
        with pytest.raises(AssertionError):
            check_split(found[wrong]["shards"], len(found[wrong]["shards"]["norm"][1]), 4, whole)
    held = {name: _bytes_of_a_device(found[name]["shards"]) for name in ("one", "both")}
    assert held["both"] < (0.3 if case == "divides" else 0.5) * held["one"]


def _bytes_of_a_device(shards):
    return sum(8 * math.prod(parts[0]) for _, parts, _ in shards.values())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mesh", MESHES)
def test_values_and_losses_are_those_of_one_device(eight, case, mesh):
    one, many = eight["found"][case]["one"], eight["found"][case][mesh]
    assert many["values"] == one["values"]
    for name in ("nll", "estimate"):
        np.testing.assert_allclose(many[name], one[name], rtol=ROUNDING)
    # Windows in another order would not pass.
    nll = np.asarray(many["nll"])
    assert np.min(np.abs(nll[1:] - nll[:-1]).max(axis=1)) > 0.1


def test_flips_and_gradients_are_those_of_one_device(eight):
    one, many = (eight["found"]["divides"][mesh] for mesh in ("one", "both"))
    assert many["flips"] == one["flips"]
    assert one["flipped"] > 1000
    for name in ("flipped nll", "flipped nll by layers"):
        np.testing.assert_allclose(many[name], one["flipped nll"], rtol=ROUNDING)
    assert np.min(np.abs(np.subtract(many["flipped nll"], many["nll"])).max(axis=1)) > 0.1
    for name, expected in one["gradient"].items():
        error = np.linalg.norm(np.subtract(many["gradient"][name], expected))
        assert error < 1e-10 * np.linalg.norm(expected), name


def test_the_report_says_what_lies_whole_on_every_device(eight):
    assert eight["found"]["divides"]["both"]["notes"] == ["mesh data=2, tensor=4"]
    (note,) = eight["found"]["does-not"]["both"]["notes"]
    assert note == ("mesh data=2, tensor=4; whole on every device: embed, k_proj, v_proj, k_bias, v_bias")
    assert eight["found"]["does-not"]["one"]["notes"] == []


def test_impossible_meshes_are_refused_with_what_is_there(eight):
    too_many, none, other = eight["refusals"]
    for line in (too_many, none):
        assert "data >= 1, tensor >= 1 and data * tensor <= 8 devices" in line
    assert "received (3, 4)" in too_many
    assert "received ('x',): build it with `models.make_mesh`" in other
