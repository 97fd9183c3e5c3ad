"""A mask as its schema has it, and the modules and tensors of a model of twelve layers."""

import dataclasses
import json

import pytest
import torch
import transformers
from small_models import HUB

from signmag_jax.export import decide, read_mask
from signmag_jax.models.names import expected

LAYERS = 12


@pytest.fixture
def plain():
    """One matrix that costs much, one that costs some, one that was not separated from zero."""
    measured = [(11, "down_proj", 11.4, True), (1, "q_proj", 0.02, True), (2, "k_proj", 5.0, False)]
    return {
        "schema": "signmag.protect/1",
        "quantizer": "ternary",
        "scale": "tensor",
        "columns": [{"layer": 11, "matrix": "down_proj", "column": 7, "score": 10.0}],
        "weights": [
            {"layer": 11, "matrix": "down_proj", "row": 3, "column": 7, "score": 9.0},
            {"layer": 2, "matrix": "down_proj", "row": 3, "column": 9, "score": 1.0},
        ],
        "matrices": [
            {"layer": a, "matrix": b, "delta_nll": c, "standard_error": 0.1, "resolved": d}
            for a, b, c, d in measured
        ],
        "provenance": {"model": {"files": {}}},
    }


@pytest.fixture
def saved(plain, tmp_path):
    """Writes a mask, with some entries changed, and gives its path."""

    def write(**changes):
        path = tmp_path / "mask.json"
        path.write_text(json.dumps(plain | changes))
        return path

    return write


@pytest.fixture
def decision(saved):
    """The first two matrices stay whole."""
    return decide(read_mask(saved()))


SHAPES = {"q_proj": [32, 32], "k_proj": [16, 32], "down_proj": [32, 48]}


@pytest.fixture
def budgeted(saved):
    """A mask that spent bits: one matrix measured, two predicted, and one that is measured as harmless."""

    def write(bits, **changes):
        measured = [(1, "down_proj", 0.5, True), (2, "q_proj", 0.0, False)]
        costs = [(0, "down_proj", 0.4), (1, "k_proj", 0.3), (2, "q_proj", 9.0), (1, "down_proj", 0.1)]
        budget = {"typed": "0.1%", "unit": "weights", "weights": bits // 48, "bits": bits}
        own = {
            "matrices": [{"layer": a, "matrix": b, "delta_nll": c, "resolved": d} for a, b, c, d in measured],
            "predicted": [{"layer": a, "matrix": b, "cost": c} for a, b, c in costs],
            "columns": [],
            "weights": [{"layer": 1, "matrix": "down_proj", "row": 3, "column": 9, "score": 1.0}],
            "shapes": SHAPES,
            "of": 100_000,
            "budget": budget,
        }
        return saved(**own | changes)

    return write


@pytest.fixture(scope="session")
def llama():
    """A LlamaForCausalLM of twelve layers without weights: layer 1 and layer 11 begin alike."""
    config = transformers.LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=LAYERS, num_attention_heads=4, vocab_size=97
    )
    with torch.device("meta"):
        return transformers.LlamaForCausalLM(config)


@pytest.fixture(scope="session")
def linear(llama):
    """Names of its linear layers."""
    return {name for name, module in llama.named_modules() if isinstance(module, torch.nn.Linear)}


@pytest.fixture(scope="session")
def tensors():
    """Names of the tensors of a GGUF file of such a model."""
    config = dataclasses.replace(HUB, layers=LAYERS, kv_heads=4)
    return set(expected(config, "gguf"))
