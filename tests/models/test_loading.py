"""Checkpoints through the real loader: formats, accounting in both directions, and what is refused."""

import json
import shutil

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import oracle
import pytest
import quick
import torch
import transformers
from safetensors.numpy import load_file, save_file

from signmag_jax import models
from signmag_jax.evidence import InvalidInput, MissingResource, SignmagError
from signmag_jax.models.memory import available_memory, check_memory

TOKENS = jnp.asarray(np.random.default_rng(8).integers(0, 90, (1, 23)), jnp.int32)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A tiny Llama in hub format."""
    return oracle.save(oracle.oracle("llama", {}), tmp_path_factory.mktemp("hub"))


@pytest.fixture
def folder(checkpoint, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(checkpoint, tmp_path / "model")


def _edit_config(folder, **changes):
    path = folder / "config.json"
    plain = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in plain.items() if value != "absent"}))


def _edit_weights(folder, change):
    tensors = {name: np.array(value) for name, value in load_file(folder / "model.safetensors").items()}
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def _refused(folder, kind=SignmagError):
    with pytest.raises(kind) as caught:
        models.load(folder)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_sharded_and_single_files_load_the_same(checkpoint, tmp_path):
    model = oracle.oracle("llama", {})
    oracle.save(model, tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    single, sharded = models.load(checkpoint), models.load(tmp_path)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), single.params, sharded.params))
    assert len(sharded.report.files) == len(list(tmp_path.glob("model-*.safetensors")))
    assert single.report.parameters == sum(p.numel() for p in model.parameters())
    next(tmp_path.glob("model-*.safetensors")).unlink()
    assert "lacks model-0000" in _refused(tmp_path, MissingResource)
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"model.norm.weight": 1}}')
    assert "'1' is no name of a file" in _refused(tmp_path, MissingResource)


@pytest.mark.parametrize("stored", ["float16", "bfloat16"])
def test_half_precisions_are_read_exactly(folder, stored):
    _edit_weights(folder, lambda t: t.update({k: v.astype(stored) for k, v in t.items()}))
    ours = models.load(folder)
    theirs = load_file(folder / "model.safetensors")["model.norm.weight"].astype(np.float32)
    assert ours.params["norm"].dtype == jnp.float32
    np.testing.assert_array_equal(ours.params["norm"], theirs)
    assert list(ours.report.dtypes) == [{"float16": "F16", "bfloat16": "BF16"}[stored]]
    small = models.load(folder, dtype="bfloat16")
    assert small.params["embed"].dtype == ml_dtypes.bfloat16
    run = quick.jit(models.token_nll, static_argnums=0)
    nll = run(small.config, small.params, TOKENS)
    assert nll.dtype == jnp.float32
    exact = run(ours.config, ours.params, TOKENS)
    assert 1e-5 < float(jnp.max(jnp.abs(nll - exact))) < 0.5


def test_every_mismatched_tensor_is_listed_at_once(folder):
    def change(tensors):
        del tensors["model.layers.1.mlp.up_proj.weight"]
        del tensors["model.norm.weight"]
        tensors["model.layers.0.self_attn.q_proj.bias"] = np.zeros(32, np.float32)
        tensors["model.layers.2.mlp.down_proj.weight"] = np.zeros((32, 47), np.float32)

    _edit_weights(folder, change)
    text = _refused(folder, InvalidInput)
    for expected in (
        "missing model.layers.1.mlp.up_proj.weight (48, 32)",
        "missing model.norm.weight",
        "unexpected model.layers.0.self_attn.q_proj.bias",
        "model.layers.2.mlp.down_proj.weight has shape (32, 47) instead of (32, 48)",
    ):
        assert expected in text


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_named(folder, value):
    def change(tensors):
        tensors["model.layers.1.self_attn.v_proj.weight"][2, 3] = value

    _edit_weights(folder, change)
    assert "model.layers.1.self_attn.v_proj.weight" in _refused(folder, InvalidInput)


def test_overflow_on_conversion_is_named(folder):
    def change(tensors):
        tensors["model.norm.weight"][:2] = 1e6

    _edit_weights(folder, change)
    with pytest.raises(InvalidInput, match=r"model\.norm\.weight \(overflows float16\)"):
        models.load(folder, dtype="float16")


def test_infinities_of_both_signs_are_named_without_a_warning(folder):
    def change(tensors):
        tensors["model.norm.weight"][:2] = np.inf, -np.inf
        tensors["lm_head.weight"][:] = np.float32(3e38)  # whose sum in float32 would be infinite

    _edit_weights(folder, change)
    text = _refused(folder, InvalidInput)
    assert "'model.norm.weight'" in text


@pytest.mark.parametrize(("scale", "dtype"), [(1e-60, "float32"), (1e-12, "float16")])
def test_a_tensor_that_vanishes_on_conversion_is_named(folder, scale, dtype):
    name = "model.layers.1.mlp.up_proj.weight"
    _edit_weights(folder, lambda t: t.update({name: t[name].astype(np.float64) * scale}))
    with pytest.raises(InvalidInput, match=rf"{name} \(vanishes in {dtype}\)"):
        models.load(folder, dtype=dtype)


def test_zeros_and_double_precision_are_no_faults(folder):
    name = "model.layers.1.mlp.up_proj.weight"
    wide = jax.config.read("jax_enable_x64")
    factor = 1e60 if wide else 0.0
    _edit_weights(folder, lambda t: t.update({name: t[name].astype(np.float64) * factor}))
    model = models.load(folder, dtype="float64" if wide else "float32")
    stored = load_file(folder / "model.safetensors")[name]
    np.testing.assert_array_equal(model.params["blocks"]["up_proj"][1], stored)


def test_derived_buffers_and_a_stored_tied_head_are_left_out_and_reported(tmp_path):
    oracle.save(oracle.oracle("llama", {"tie_word_embeddings": True}), tmp_path)
    buffer = "model.layers.0.self_attn.rotary_emb.inv_freq"

    def add(tensors):
        tensors[buffer] = np.ones(4, np.float32)
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].copy()

    _edit_weights(tmp_path, add)
    assert models.load(tmp_path).report.ignored == ("lm_head.weight", buffer)

    def untie(tensors):
        tensors["lm_head.weight"][0, 0] += 1

    # A head that is stored and is another one counts, as it does for transformers.
    _edit_weights(tmp_path, untie)
    model = models.load(tmp_path)
    assert not model.config.tied
    assert "lm_head.weight is stored and is not model.embed_tokens.weight" in model.report.notes[0]
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    tokens = np.asarray(TOKENS)
    ours = models.window_nll(model, tokens)
    assert np.allclose(ours, oracle.read(theirs, tokens).nll, atol=1e-5)


def test_a_folder_without_config_weights_or_tokenizer_says_which(folder, tmp_path):
    (folder / "tokenizer.json").unlink()
    assert "no usable tokenizer" in _refused(folder, MissingResource)
    weights = folder / "model.safetensors"
    weights.rename(folder / "pytorch_model.bin")
    text = _refused(folder, MissingResource)
    assert "pickle (pytorch_model.bin)" in text
    assert "safe_serialization" in text
    (folder / "pytorch_model.bin").unlink()
    assert "no model.safetensors" in _refused(folder, MissingResource)
    (folder / "config.json").write_text("{not json")
    assert "config.json is no JSON object" in _refused(folder, MissingResource)
    (folder / "config.json").unlink()
    assert "holds no config.json" in _refused(folder, MissingResource)


REFUSED = {
    "unsupported architecture": ({"model_type": "gpt2"}, "model_type in .*'gpt2'"),
    "no architecture": ({"model_type": "absent"}, "model_type in .*None"),
    "mixture of experts": ({"model_type": "mixtral"}, "mixture of experts|model_type in"),
    "experts by attribute": ({"model_type": "other", "num_local_experts": 8}, "mixture of experts"),
    "gptq": ({"quantization_config": {"quant_method": "gptq"}}, "pre-quantised with gptq"),
    "awq": ({"quantization_config": {"quant_method": "awq"}}, "pre-quantised with awq"),
    "yarn": (
        {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0}},
        "RoPE type in .*yarn",
    ),
    "old-style yarn": ({"rope_scaling": {"type": "yarn", "factor": 2.0}}, "RoPE|config"),
    "long rope": (
        {"rope_parameters": {"rope_type": "longrope", "rope_theta": 1e4, "factor": 2.0}},
        "longrope|config",
    ),
    "partial rotation": (
        {
            "rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0},
            "partial_rotary_factor": 0.5,
        },
        "partial_rotary_factor = 0.5",
    ),
    "activation": ({"hidden_act": "xielu"}, "hidden_act in .*xielu"),
    "not causal": ({"is_causal": False}, "is_causal = False"),
    "heads": ({"num_key_value_heads": 3}, "multiple|config"),
    "layers": ({"num_hidden_layers": 4}, "missing model.layers.3"),
    "vocabulary": ({"vocab_size": 98}, "model.embed_tokens.weight has shape"),
    "hidden": ({"hidden_size": 36}, "has shape"),
    "intermediate": ({"intermediate_size": 49}, "has shape"),
    "head_dim": ({"head_dim": 10}, "has shape"),
    "heads of another width": ({"num_attention_heads": 8, "head_dim": 8}, "has shape"),
    "a billion layers": ({"num_hidden_layers": 10**9}, "a tensor at least for each of 1000000000 layers"),
    "a billion sliding layers": (
        {"model_type": "mistral", "sliding_window": 5, "num_hidden_layers": 10**9},
        "num_hidden_layers <= 1000000",
    ),
    "quantisation by name": ({"quantization_config": "gptq"}, "pre-quantised with gptq"),
    "no rope_theta": ({"rope_parameters": {"rope_type": "default", "rope_theta": None}}, "rope_theta"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_port_does_not_compute_is_refused_by_name(folder, case):
    changes, pattern = REFUSED[case]
    _edit_config(folder, **changes)
    with pytest.raises(SignmagError, match=pattern):
        models.load(folder)


CHANGING = {
    "rms_norm_eps": {"rms_norm_eps": 1e-2},
    "rope_theta": {"rope_parameters": {"rope_type": "default", "rope_theta": 50.0}},
    "rope linear": {"rope_parameters": oracle.LINEAR},
    "rope linear factor": {"rope_parameters": oracle.LINEAR | {"factor": 2.0}},
    "rope llama3": {"rope_parameters": oracle.LLAMA3},
    "rope llama3 factor": {"rope_parameters": oracle.LLAMA3 | {"factor": 4.0}},
    "rope llama3 low": {"rope_parameters": oracle.LLAMA3 | {"low_freq_factor": 2.0}},
    "rope llama3 high": {"rope_parameters": oracle.LLAMA3 | {"high_freq_factor": 9.0}},
    "rope llama3 original": {"rope_parameters": oracle.LLAMA3 | {"original_max_position_embeddings": 16}},
    "heads": {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 4},
    "family with a window": {"model_type": "mistral", "sliding_window": 5},
    "another window": {"model_type": "mistral", "sliding_window": 6},
}


def test_every_other_config_field_changes_the_output(folder):
    """Those of `REFUSED` that fix shapes are refused; the rest must be read: no two outputs are equal."""
    run = quick.jit(models.token_nll, static_argnums=0)
    original = (folder / "config.json").read_text()
    found = {"base": models.load(folder)}
    for name, changes in CHANGING.items():
        (folder / "config.json").write_text(original)
        _edit_config(folder, **changes)
        found[name] = models.load(folder)
    outputs = {name: np.asarray(run(m.config, m.params, TOKENS)) for name, m in found.items()}
    names = list(outputs)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            assert np.max(np.abs(outputs[first] - outputs[second])) > 1e-5, (first, second)


def test_windows_beyond_the_context_or_the_vocabulary_are_refused(checkpoint):
    model = models.load(checkpoint)
    with pytest.raises(InvalidInput, match="window <= 64 tokens"):
        models.window_nll(model, np.zeros((1, 65), np.int32))
    with pytest.raises(InvalidInput, match=r"token ids in 0\.\.96"):
        models.window_nll(model, np.full((1, 8), 97, np.int32))
    with pytest.raises(InvalidInput, match=r"token ids in 0\.\.96"):
        models.window_nll(model, np.full((1, 8), -1, np.int32))


def test_window_nll_does_not_depend_on_the_batch(checkpoint):
    model = models.load(checkpoint)
    windows = np.random.default_rng(1).integers(0, 90, (5, 12)).astype(np.int32)
    one, three = models.window_nll(model, windows), models.window_nll(model, windows, batch=3)
    assert one.shape == (5, 11)
    assert one.dtype == np.float64
    np.testing.assert_allclose(one, three, atol=1e-5)


def test_a_model_larger_than_memory_is_refused_before_loading(checkpoint, monkeypatch):
    monkeypatch.setattr("signmag_jax.models.memory.available_memory", lambda: 1000)
    with pytest.raises(MissingResource, match=r"GiB of memory are available: choose a smaller model"):
        models.load(checkpoint)
    monkeypatch.setattr("signmag_jax.models.memory.available_memory", lambda: None)
    check_memory(models.load(checkpoint).config, np.dtype(np.float32))


def test_the_limit_of_a_container_is_the_memory_there_is(tmp_path, monkeypatch):
    monkeypatch.setattr("signmag_jax.models.memory._GROUP", tmp_path)
    whole = available_memory()
    assert whole is not None
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 30\nactive_file 12\n")
    (tmp_path / "memory.current").write_text("100\n")
    (tmp_path / "memory.max").write_text("1000\n")
    assert available_memory() == 1000 - 100 + 30 + 12
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory() > 0.5 * whole


def test_a_tokenizer_that_knows_far_fewer_tokens_is_noted(folder):
    assert models.load(folder).report.notes == ()  # 94 of 97
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    letters = list(tokenizer["model"]["vocab"])[-50:]
    tokenizer["model"]["vocab"] = {letter: i for i, letter in enumerate(letters)}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert models.load(folder).report.notes == ("the tokenizer knows 50 of 97 tokens",)


@pytest.mark.parametrize("dtype", ["int8", "no such type", "", 7])
def test_unknown_dtypes_are_refused(checkpoint, dtype):
    with pytest.raises(InvalidInput, match="dtype in"):
        models.load(checkpoint, dtype=dtype)


def test_the_nnx_module_holds_the_same_parameters_and_logits(checkpoint):
    model = models.load(checkpoint)
    module = model.module
    assert jax.tree.structure(module.parameters()) == jax.tree.structure(model.params)
    ours = module(TOKENS)
    theirs = oracle.read(oracle.oracle("llama", {}), np.asarray(TOKENS)).logits
    assert oracle.relative(ours, theirs) < 1e-5
    assert torch.is_tensor(torch.from_numpy(np.array(ours)))
