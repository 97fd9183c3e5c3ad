"""GGUF files of SmolLM3, OLMo-2 and Phi-3 against transformers and against llama.cpp itself."""

import dataclasses

import by_llamacpp
import gguf
import hostile
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
import quick

from signmag_jax import models
from signmag_jax.evidence import InvalidInput
from signmag_jax.models.names import layer_tensor, outer_tensor

WORDS = hostile.metadata(400)
VOCABULARY = len(WORDS["tokenizer.ggml.tokens"])
LENGTHS = (3, 11, 24)
PROMPTS = [np.random.default_rng(n).integers(3, VOCABULARY, n).tolist() for n in LENGTHS]
CASES = {
    "smollm3": {"num_hidden_layers": 5, "no_rope_layer_interval": 4},
    "olmo2": {"rms_norm_eps": 1e-2},
    # Of the first BitNets, whose gate is SiLU.
    "bitnet": {"hidden_act": "silu", "rms_norm_eps": 1e-2, "tie_word_embeddings": True},
    # llama.cpp takes the long divisors for every window where its context is longer than the original one.
    "phi3": {
        "max_position_embeddings": 600,
        "original_max_position_embeddings": 300,
        "rope_parameters": oracle.LONGROPE | {"original_max_position_embeddings": 300},
    },
}
SCALE = float(np.sqrt(1 + np.log(600 / 300) / np.log(300)))


def write(path, model, **changes):
    """The oracle's weights as llama.cpp's own converter stores them."""
    c, family = model.config, model.config.model_type
    size = c.hidden_size // c.num_attention_heads
    theta = c.rope_parameters["rope_theta"]
    numbers = {
        "context_length": c.max_position_embeddings,
        "embedding_length": c.hidden_size,
        "block_count": c.num_hidden_layers,
        "feed_forward_length": c.intermediate_size,
        "attention.head_count": c.num_attention_heads,
        "attention.head_count_kv": c.num_key_value_heads,
        "rope.dimension_count": size,
        "attention.layer_norm_rms_epsilon": float(c.rms_norm_eps),
        "rope.freq_base": float(theta),
        "vocab_size": c.vocab_size,
    }
    writer = gguf.GGUFWriter(path, family)
    tensors = {name: value.numpy() for name, value in model.state_dict().items()}
    if family == "phi3":
        numbers |= {"rope.dimension_count": 6, "rope.scaling.original_context_length": 300}
        numbers |= {"rope.scaling.attn_factor": SCALE, "attention.sliding_window": 0}
        for kind in ("short", "long"):
            factors = np.asarray(c.rope_parameters[f"{kind}_factor"], np.float32)
            writer.add_tensor(f"rope_factors_{kind}.weight", factors)
    for key, value in (numbers | changes).items():
        kinds = {float: writer.add_float32, int: writer.add_uint32, str: writer.add_string}
        add = kinds[type(value)]
        add(f"{family}.{key}", value)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(WORDS["tokenizer.ggml.tokens"])
    writer.add_token_types(WORDS["tokenizer.ggml.token_type"])
    writer.add_token_merges(WORDS["tokenizer.ggml.merges"])
    fused = {"self_attn.qkv_proj.weight": "attn_qkv.weight", "mlp.gate_up_proj.weight": "ffn_up.weight"}
    names = {outer_tensor(name, "hub"): outer_tensor(name, "gguf") for name in ("embed", "norm", "head")}
    norms = ("attention_post_norm", "mlp_post_norm") if family == "olmo2" else ("attention_norm", "mlp_norm")
    parts = [
        name
        for name in (*models.MATRICES, *norms, "q_norm", "k_norm", "attention_sub_norm", "mlp_sub_norm")
        if (family, name) != ("phi3", "up_proj")
    ]
    for layer in range(c.num_hidden_layers):
        names |= {f"model.layers.{layer}.{a}": f"blk.{layer}.{b}" for a, b in fused.items()}
        names |= {layer_tensor(name, layer, "hub"): layer_tensor(name, layer, "gguf") for name in parts}
    for name, value in tensors.items():
        if name == "lm_head.weight" and c.tie_word_embeddings:
            continue
        stored = np.ascontiguousarray(value.astype(np.float32))
        if family == "smollm3" and (".q_proj" in name or ".k_proj" in name):
            heads = c.num_attention_heads if ".q_proj" in name else c.num_key_value_heads
            halves = stored.reshape(heads, 2, size // 2, -1)
            stored = np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(stored.shape)
        if family == "bitnet" and "_proj" in name:
            scale = np.float32(1.5 if ".0." in name else 0.7)
            writer.add_tensor(names[name].replace("weight", "scale"), scale[None])
            stored = stored / scale
        writer.add_tensor(names[name], stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def model_of(family):
    return oracle.oracle(
        family, {"vocab_size": VOCABULARY, "eos_token_id": 1, "bos_token_id": 1} | CASES[family]
    )


def after(model, tokens):
    """ln p of every token after these, by the port."""
    run = quick.jit(models.logits, static_argnums=0)
    logits = np.asarray(run(model.config, model.params, jnp.asarray([tokens], jnp.int32)))[0, -1]
    return logits - np.logaddexp.reduce(logits)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """By family: the file, transformers' model, and llama.cpp's probabilities after each prompt."""
    folder = tmp_path_factory.mktemp("gguf")
    for family in CASES:
        write(folder / f"{family}.gguf", model_of(family))
    found = by_llamacpp.asked("next", [folder / f"{family}.gguf" for family in CASES], PROMPTS)
    return {
        family: (folder / f"{family}.gguf", model_of(family), each)
        for family, each in zip(CASES, found, strict=True)
    }


@pytest.mark.parametrize("family", CASES)
def test_a_file_is_computed_as_transformers_and_llama_cpp_compute_it(theirs, family):
    path, model, by_llama = theirs[family]
    ours = models.load(path)
    for tokens, probabilities in zip(PROMPTS, by_llama, strict=True):
        found = after(ours, tokens)
        expected = oracle.read(model, np.asarray([tokens])).logits[0, -1]
        assert oracle.relative(found, expected - np.logaddexp.reduce(expected)) < 1e-5
        # llama.cpp keeps keys and values in half precision.
        assert len(probabilities) == VOCABULARY
        assert off(found, probabilities) < 0.02
    wrong = {
        "smollm3": {"rotated": None},
        "olmo2": {"eps": 0.1},
        "bitnet": {"activation": "relu2"},
        "phi3": {"rope": dataclasses.replace(ours.config.rope, scale=1.0)},
    }
    other = ours.replace(config=dataclasses.replace(ours.config, **wrong[family]))
    assert off(after(other, PROMPTS[-1]), by_llama[-1]) > 0.05


def off(found, probabilities):
    """How far apart two routes' ln p are at most, among the 50 likeliest tokens."""
    likely = sorted(probabilities, key=probabilities.get)[-50:]
    return max(abs(found[int(token)] - probabilities[token]) for token in likely)


SCALINGS = {
    "none with a factor": {"rope.scaling.type": "none", "rope.scaling.factor": 4.0},
    "a factor alone": {"rope.scaling.factor": 4.0},
    "its old name": {"rope.scale_linear": 4.0},
    "a factor of 0": {"rope.scaling.type": "linear", "rope.scaling.factor": 0.0},
}


def test_scalings_of_the_rotation_are_read_as_llama_cpp_reads_them(tmp_path):
    paths = [tmp_path / f"{number}.gguf" for number in range(len(SCALINGS))]
    for path, changes in zip(paths, SCALINGS.values(), strict=True):
        write(path, model_of("olmo2"), **changes)
    found = by_llamacpp.asked("next", paths, PROMPTS[-1:])
    ours = [after(models.load(path), PROMPTS[-1]) for path in paths]
    for mine, (theirs,) in zip(ours, found, strict=True):
        assert off(mine, theirs) < 0.02
    assert off(ours[0], found[1][0]) > 0.05


def test_phi3_reads_no_window_on_which_llama_cpp_and_transformers_differ(tmp_path):
    write(tmp_path / "m.gguf", model_of("phi3"))
    assert models.load(tmp_path / "m.gguf").config.positions == 300  # then come the long divisors
    write(tmp_path / "m.gguf", model_of("phi3"), **{"attention.sliding_window": 40})
    model = models.load(tmp_path / "m.gguf")
    with pytest.raises(InvalidInput, match="window <= 40 tokens"):
        models.window_nll(model, np.zeros((1, 41), np.int32))


def test_a_rotation_of_a_part_is_refused_where_the_architecture_has_none(tmp_path):
    write(tmp_path / "m.gguf", model_of("olmo2"), **{"rope.dimension_count": 6})
    with pytest.raises(InvalidInput, match=r"olmo2\.rope\.dimension_count = 8"):
        models.load(tmp_path / "m.gguf")
