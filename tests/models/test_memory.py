"""Memory of loading and reading a checkpoint of TinyLlama's own shape, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import oracle
import pytest
import transformers
from safetensors.numpy import save_file

from signmag_jax.models.config_hub import config_from_hub
from signmag_jax.models.names import layer_tensor, outer_tensor

SCRIPT = Path(__file__).with_name("memory_of.py")
GIB = 2**30
# The config of TinyLlama-1.1B.
TINYLLAMA = {
    "vocab_size": 32000,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    "tie_word_embeddings": False,
}


def write(folder, sizes):
    """Random weights in bfloat16, a shard for each layer and one for the rest, one in memory at a time."""
    transformers.LlamaConfig(**sizes).save_pretrained(folder)
    oracle.save_tokenizer(folder)
    config = config_from_hub(folder)
    rng = np.random.default_rng(1)
    weight_map = {}

    def shard(file, shapes):
        tensors = {}
        for name, shape in shapes.items():
            values = rng.standard_normal(shape, np.float32) * np.float32(shape[-1] ** -0.5)
            tensors[name] = (np.float32(1) + values if len(shape) == 1 else values).astype(ml_dtypes.bfloat16)
        save_file(tensors, folder / file)
        weight_map.update(dict.fromkeys(tensors, file))

    shard("outer.safetensors", {outer_tensor(n, "hub"): s for n, s in config.outer_shapes().items()})
    for layer in range(config.layers):
        shapes = {layer_tensor(n, layer, "hub"): s for n, s in config.shapes().items()}
        shard(f"layer-{layer}.safetensors", shapes)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def measured(folder, dtype, window):
    done = subprocess.run(
        [sys.executable, SCRIPT, folder, dtype, str(window)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def tinyllama(tmp_path_factory):
    """2.2 GB on disk, removed again."""
    folder = tmp_path_factory.mktemp("tinyllama")
    yield write(folder, TINYLLAMA)
    for file in folder.iterdir():
        file.unlink()


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "itemsize"), [("bfloat16", 2), ("float32", 4)])
def test_a_checkpoint_of_tinyllamas_shape_loads_lean_and_is_read_within_10_gib(tinyllama, dtype, itemsize):
    found = measured(tinyllama, dtype, 512)
    print(json.dumps(found))
    assert found["parameters"] == 1_100_048_384
    assert found["weights"] == itemsize * found["parameters"]
    assert found["dtypes"] == {"BF16": 201}
    assert found["files"] == 23
    # The measurement sees a copy of half the weights, and the weights themselves.
    assert found["ballast"] > 0.49 * found["weights"]
    assert found["weights"] < found["loading"] < 1.3 * found["weights"]
    assert found["reading"] < 10 * GIB
    # Random tokens under random weights: no better than chance, ln 32000 = 10.37, by little.
    assert 10 < found["loss"] < 12
