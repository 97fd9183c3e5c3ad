"""Ternary checkpoints against transformers' own layers for them: packed, with their scale, and as floats."""

import dataclasses
import json
import warnings

import jax
import numpy as np
import oracle
import pytest
import quick
import torch
from safetensors.numpy import load_file, save_file
from transformers.utils.quantization_config import BitNetQuantConfig

from signmag_jax import models
from signmag_jax.evidence import InvalidInput
from signmag_jax.models import bitnet
from signmag_jax.models.layers import round_inputs

with warnings.catch_warnings():  # of PyTorch about itself
    warnings.simplefilter("ignore", DeprecationWarning)
    from transformers.integrations.bitnet import pack_weights, replace_with_bitnet_linear

TOKENS = np.random.default_rng(4).integers(0, 90, (8, 12)).astype(np.int32)
KINDS = {
    "packed, as on the hub": {"linear_class": "autobitlinear", "quantization_mode": "offline"},
    "packed, divided by the scale": {"linear_class": "bitlinear", "quantization_mode": "offline"},
    "floats made ternary": {"linear_class": "autobitlinear", "quantization_mode": "online"},
}
SCALE = 0.37


def checkpoint(folder, kind, family="bitnet", **changes):
    """transformers' model with BitNet's layers, and the same in a folder; of random ternary digits."""
    model = oracle.oracle(family, {"tie_word_embeddings": True} | changes)
    oracle.save(model, folder)
    tensors, digits = load_file(folder / "model.safetensors"), {}
    random = np.random.default_rng(1)
    said = KINDS[kind]
    for name in [name for name in tensors if "_proj.weight" in name]:
        if said["quantization_mode"] == "online":
            continue
        digits[name] = random.integers(-1, 2, tensors[name].shape).astype(np.float32)
        tensors[name] = pack_weights(torch.from_numpy(digits[name].copy())).numpy()
        # Activations of each matrix keep their size whatever its width, if it divides by the root of it.
        scale = SCALE * digits[name].shape[1] ** -0.5
        stored = 1 / scale if said["linear_class"] == "bitlinear" else scale
        tensors[f"{name}_scale"] = np.array([stored], np.float32)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"quantization_config": {"quant_method": "bitnet", **said}}))
    replace_with_bitnet_linear(model, ["lm_head"], BitNetQuantConfig(**said))
    state = {name: torch.from_numpy(value) for name, value in tensors.items()}
    if said["linear_class"] == "autobitlinear":
        state |= {name: torch.from_numpy(value) for name, value in digits.items()}
    head = model.model.embed_tokens.weight
    for name, module in list(model.named_modules()):
        if "_proj" in name:
            module.to_empty(device="cpu")
            module.dtype = torch.float32
    missing = model.load_state_dict(state, strict=False)
    assert missing.unexpected_keys == []
    assert set(missing.missing_keys) <= {"lm_head.weight"}
    assert model.lm_head.weight is head
    return model


@pytest.fixture(autouse=True)
def eager():
    """Nothing of PyTorch is compiled."""
    torch.compiler.set_stance("force_eager")
    yield
    torch.compiler.set_stance("default")


def ours(config, params):
    return np.asarray(quick.jit(models.token_nll, static_argnums=0)(config, params, TOKENS))


@pytest.mark.parametrize("kind", KINDS)
def test_losses_equal_those_of_transformers_layers(tmp_path, kind):
    theirs = oracle.read(checkpoint(tmp_path, kind), TOKENS).nll
    model = models.load(tmp_path)
    assert model.config.input_bits == 8
    assert "rounded to 8 bits" in " ".join(model.report.notes)
    nll = ours(model.config, model.params)
    assert off(nll, theirs) < 1e-5
    # Wrong in one thing, it would be seen: without the rounding, without a sub-norm's gain, by a scale.
    assert off(ours(dataclasses.replace(model.config, input_bits=None), model.params), theirs) > 1e-3
    for name in ("mlp_sub_norm", "attention_sub_norm", "q_proj"):
        value = model.params["blocks"][name]
        blocks = model.params["blocks"] | {name: value * 1.01 if "proj" in name else np.ones_like(value)}
        assert off(ours(model.config, model.params | {"blocks": blocks}), theirs) > 1e-3, name


def off(nll, theirs):
    """The largest difference of a window, in the median over windows.

    A number between two multiples may be rounded otherwise, in one window in twenty, and moves all after it.
    """
    return np.median(np.abs(nll - theirs).max(axis=1))


def test_a_llama_whose_matrices_are_packed_is_read_as_well(tmp_path):
    theirs = oracle.read(checkpoint(tmp_path, "packed, divided by the scale", "llama"), TOKENS).nll
    model = models.load(tmp_path)
    assert off(ours(model.config, model.params), theirs) < 1e-5
    assert model.report.dtypes["U8 of 4 ternary digits"] == 21


def test_every_byte_of_four_digits_is_unpacked_as_transformers_packs_it():
    digits = np.random.default_rng(0).integers(-1, 2, (12, 5)).astype(np.float32)
    packed = pack_weights(torch.from_numpy(digits.copy())).numpy()
    assert np.array_equal(bitnet.unpacked(packed), digits)
    assert not np.array_equal(bitnet.unpacked(packed), digits[::-1])
    with pytest.raises(InvalidInput, match="a fourth digit"):
        bitnet.unpacked(packed | 3)


def test_what_is_computed_otherwise_or_incomplete_is_refused_by_name(tmp_path):
    checkpoint(tmp_path, "packed, as on the hub")
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    for change in (
        {"use_rms_norm": True},
        {"modules_to_not_convert": ["lm_head", "model.layers.0.mlp.up_proj"]},
        {"linear_class": "other"},
    ):
        path.write_text(json.dumps(config | {"quantization_config": config["quantization_config"] | change}))
        with pytest.raises(InvalidInput, match="autobitlinear, or bitlinear offline"):
            models.load(tmp_path)
    path.write_text(json.dumps(config))
    tensors = load_file(tmp_path / "model.safetensors")
    scale = "model.layers.1.mlp.up_proj.weight_scale"
    for value in (0.0, np.inf, np.nan):
        save_file(tensors | {scale: np.array([value], np.float32)}, tmp_path / "model.safetensors")
        with pytest.raises(InvalidInput, match=rf"{scale} one number other than 0"):
            models.load(tmp_path)
    save_file({k: v for k, v in tensors.items() if k != scale}, tmp_path / "model.safetensors")
    with pytest.raises(InvalidInput, match=f"no {scale}"):
        models.load(tmp_path)


def test_derivatives_take_the_rounding_for_the_identity():
    x = np.linspace(-3, 3, 7).reshape(1, 7)
    value, slope = jax.jvp(lambda x: round_inputs(x, 3), (x,), (np.ones_like(x),))
    assert np.array_equal(value, np.round(x))  # 3 bits: multiples of 3/3
    assert np.array_equal(slope, np.ones_like(x))
