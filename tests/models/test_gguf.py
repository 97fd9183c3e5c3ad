"""GGUF files written here by llama.cpp's conventions, against the PyTorch model they were made from."""

import itertools
import math

import blocks
import decoder
import gguf
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
import quick
import torch

from signmag_jax import models
from signmag_jax.evidence import InvalidInput
from signmag_jax.models.config_gguf import config_from_gguf
from signmag_jax.models.filled import filled
from signmag_jax.models.gguf_file import GGUFFile, unpermute
from signmag_jax.models.tokenizer_gguf import tokenizer_from_gguf

WIDE = {"hidden_size": 64, "intermediate_size": 96}
# Rows of whole blocks of 256, which Q4_K and its like need.
BLOCK_WIDE = {"hidden_size": 256, "intermediate_size": 256}
TOKENS = np.random.default_rng(2).integers(0, 90, (2, 19)).astype(np.int32)
PARTS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def _name(label):
    stem, kind = label.rsplit(".", 1)
    if stem in OUTER:
        return f"{OUTER[stem]}.{kind}"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{PARTS[part]}.{kind}"


def write(path, model, stored="F32", divisors=None, **changes):
    """A GGUF file of `model`; returns its weights as stored, so that the oracle can take them over."""
    c = model.config
    architecture = changes.pop("architecture", c.model_type)
    writer = gguf.GGUFWriter(path, architecture)
    numbers = {
        "context_length": c.max_position_embeddings,
        "embedding_length": c.hidden_size,
        "block_count": c.num_hidden_layers,
        "feed_forward_length": c.intermediate_size,
        "attention.head_count": c.num_attention_heads,
        "attention.head_count_kv": c.num_key_value_heads,
        "rope.dimension_count": c.hidden_size // c.num_attention_heads,
        "vocab_size": c.vocab_size,
    }
    for key, value in (numbers | {k: v for k, v in changes.items() if isinstance(v, int)}).items():
        writer.add_uint32(f"{architecture}.{key}", value)
    for key, value in changes.items():
        if isinstance(value, str):
            writer.add_string(f"{architecture}.{key}", value)
        elif isinstance(value, float):
            writer.add_float32(f"{architecture}.{key}", value)
    writer.add_float32(f"{architecture}.attention.layer_norm_rms_epsilon", c.rms_norm_eps)
    writer.add_float32(f"{architecture}.rope.freq_base", c.rope_parameters["rope_theta"])
    if divisors is not None:
        writer.add_tensor("rope_freqs.weight", np.asarray(divisors, np.float32))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*(chr(code) for code in range(33, 127)), "ab"])
    writer.add_token_merges(["a b"])
    kinds = itertools.cycle(stored.split())
    kept = {}
    for label, value in model.state_dict().items():
        values = value.numpy().astype(np.float32)
        if value.ndim == 1:
            writer.add_tensor(_name(label), values)
            continue
        kind = next(kinds)
        packed = blocks.pack(kind, values)
        kept[label] = torch.from_numpy(decoder.decode(kind, packed.tobytes(), values.shape))
        if architecture == "llama" and ("q_proj" in label or "k_proj" in label):
            heads = c.num_attention_heads if "q_proj" in label else c.num_key_value_heads
            half = values.shape[0] // heads // 2
            order = [h * 2 * half + j * half + i for h in range(heads) for i in range(half) for j in range(2)]
            packed = packed[order]  # a block lies within a row
        writer.add_tensor(_name(label), packed, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return kept


@pytest.mark.parametrize(
    ("family", "stored"),
    [
        ("llama", "F32"),
        ("llama", "F16 BF16 Q8_0 Q4_0 Q4_1 Q4_K Q5_K Q6_K"),
        ("qwen2", "Q6_K Q5_K Q4_K Q4_1 Q4_0 Q8_0 BF16 F16 F32"),
        ("qwen2", "F32"),
    ],
)
def test_logits_equal_the_model_that_was_written(tmp_path, family, stored):
    theirs = oracle.oracle(family, WIDE if stored == "F32" else BLOCK_WIDE)
    kept = write(tmp_path / "m.gguf", theirs, stored)
    theirs.load_state_dict(theirs.state_dict() | kept)
    ours = models.load(tmp_path / "m.gguf")
    logits = quick.jit(models.logits, static_argnums=0)(ours.config, ours.params, jnp.asarray(TOKENS))
    assert oracle.relative(logits, oracle.read(theirs, TOKENS).logits) < 1e-5
    assert set(ours.report.dtypes) == {*stored.split(), "F32"}
    assert ours.config.qkv_bias == (family == "qwen2")


def test_unpermute_inverts_the_interleaving_head_by_head():
    rows = np.arange(16.0)[:, None]
    stored = np.asarray([0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15.0])[:, None]
    np.testing.assert_array_equal(unpermute(stored, 2), rows)
    assert not np.array_equal(unpermute(stored, 4), rows)


def test_linear_rope_and_a_key_length_are_read(tmp_path):
    model = oracle.oracle("llama", WIDE)
    write(tmp_path / "m.gguf", model, **{"rope.scaling.type": "linear", "rope.scaling.factor": 4.0})
    rope = models.load(tmp_path / "m.gguf").config.rope
    assert (rope.kind, rope.factor) == ("linear", 4.0)


def _divisors(rope, head_dim):
    """As llama.cpp's converter writes them, one number at a time."""
    found = []
    for pair in range(head_dim // 2):
        wavelength = 2 * math.pi * rope["rope_theta"] ** (2 * pair / head_dim)
        original, factor = rope["original_max_position_embeddings"], rope["factor"]
        step = (original / wavelength - rope["low_freq_factor"]) / (
            rope["high_freq_factor"] - rope["low_freq_factor"]
        )
        step = min(max(step, 0.0), 1.0)
        found.append(1 / ((1 - step) / factor + step))
    return found


def test_llama_3s_rotation_is_read_from_its_tensor_of_divisors(tmp_path):
    rope = oracle.LLAMA3
    theirs = oracle.oracle("llama", WIDE | {"rope_parameters": rope})
    divisors = _divisors(rope, 16)
    assert len({round(divisor, 6) for divisor in divisors}) > 2
    write(tmp_path / "m.gguf", theirs, divisors=divisors)
    ours = models.load(tmp_path / "m.gguf")
    assert ours.config.rope.kind == "divided"
    logits = quick.jit(models.logits, static_argnums=0)(ours.config, ours.params, jnp.asarray(TOKENS))
    assert oracle.relative(logits, oracle.read(theirs, TOKENS).logits) < 1e-5
    plain = oracle.oracle("llama", WIDE | {"rope_parameters": {"rope_type": "default", "rope_theta": 50.0}})
    assert oracle.relative(logits, oracle.read(plain, TOKENS).logits) > 1e-3


@pytest.mark.parametrize(
    ("divisors", "pattern"),
    [
        ([1.0, 2.0], "8 divisors of RoPE frequencies"),
        ([1.0] * 7 + [0.0], "positive and finite"),
        ([1.0] * 7 + [np.inf], "positive and finite"),
        ([1.0] * 2**17, "at most 65536"),
    ],
)
def test_impossible_divisors_are_refused(tmp_path, divisors, pattern):
    write(tmp_path / "m.gguf", oracle.oracle("llama", WIDE), divisors=divisors)
    with pytest.raises(InvalidInput, match=pattern):
        models.load(tmp_path / "m.gguf")


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        ({"architecture": "falcon"}, "GGUF architecture in .*falcon"),
        ({"architecture": "bitnet-b1.58"}, "use the hub folder, microsoft/bitnet-b1"),
        ({"expert_count": 8}, r"llama\.expert_count = 0.*8"),
        ({"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0}, "RoPE scaling.*yarn"),
        ({"rope.dimension_count": 8}, r"llama\.rope\.dimension_count = 16.*8"),
        ({"attention.sliding_window": 16}, r"llama\.attention\.sliding_window = 16"),
        ({"logit_scale": 0.5}, r"llama\.logit_scale = 0\.5"),
        ({"block_count": 4}, r"missing blk\.3\.attn_norm\.weight"),
        ({"vocab_size": 100}, r"token_embd\.weight has shape"),
        ({"attention.head_count": 3}, "multiple|missing|shape|dimension_count"),
        ({"attention.head_count": 0}, "attention.head_count one number >= 1.*received 0"),
    ],
)
def test_what_the_port_does_not_compute_is_refused_by_name(tmp_path, changes, pattern):
    write(tmp_path / "m.gguf", oracle.oracle("llama", WIDE), **changes)
    with pytest.raises(InvalidInput, match=pattern):
        models.load(tmp_path / "m.gguf")


def test_what_llama_cpp_asks_of_experts_or_of_yarn_alone_changes_nothing(tmp_path):
    write(tmp_path / "m.gguf", oracle.oracle("llama", WIDE))
    plain = models.load(tmp_path / "m.gguf").config
    harmless = {"expert_count": 0, "expert_weights_scale": 2.5, "rope.scaling.yarn_beta_fast": 32.0}
    write(tmp_path / "m.gguf", oracle.oracle("llama", WIDE), **harmless)
    assert models.load(tmp_path / "m.gguf").config == plain


def test_biases_of_a_part_of_the_layers_are_zero_in_the_others(tmp_path):
    write(tmp_path / "m.gguf", oracle.oracle("llama", WIDE))
    stored = GGUFFile(tmp_path / "m.gguf")
    shapes = stored.shapes | {"blk.1.attn_k.bias": (32,), "blk.0.ffn_down.bias": (64,)}
    config = config_from_gguf(stored.metadata, shapes)
    assert (config.qkv_bias, config.o_bias, config.mlp_bias) == (True, False, True)
    stored.shapes = shapes
    source = filled(stored, config)
    assert len(source.shapes) == len(shapes) + 9 + 9 - 2
    assert source.dtypes["blk.0.attn_k.bias"] == "not stored"
    np.testing.assert_array_equal(source.read("blk.0.attn_k.bias"), np.zeros(32))
    assert "16 tensors are not stored (biases are 0, as in llama.cpp)" in source.notes[-1]
    # llama.cpp wants every gain, and nothing stands in for a weight.
    for name in ("blk.1.attn_norm.weight", "blk.1.attn_q.weight"):
        stored.shapes = {key: shape for key, shape in shapes.items() if key != name}
        assert filled(stored, config) is stored


def test_a_merge_of_unknown_tokens_is_named():
    metadata = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": ["a", "b"]}
    with pytest.raises(InvalidInput, match=r"every merge joins two tokens into a third.*'a b'"):
        tokenizer_from_gguf(metadata | {"tokenizer.ggml.merges": ["a b"]})


@pytest.mark.parametrize(
    ("model", "pre", "pattern"), [("bert", "default", "model gpt2 or llama"), ("gpt2", "viking", "viking")]
)
def test_other_tokenizers_are_refused_by_name(model, pre, pattern):
    metadata = {"tokenizer.ggml.model": model, "tokenizer.ggml.pre": pre}
    metadata |= {"tokenizer.ggml.tokens": ["a", "b"], "tokenizer.ggml.merges": []}
    with pytest.raises(InvalidInput, match=pattern):
        tokenizer_from_gguf(metadata)


def test_a_beginning_of_sequence_token_only_where_the_file_adds_one():
    metadata = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": ["a", "b", "<s>"],
        "tokenizer.ggml.token_type": [1, 1, 3],
        "tokenizer.ggml.merges": [],
        "tokenizer.ggml.bos_token_id": 2,
    }
    assert tokenizer_from_gguf(metadata).encode("ab").tolist() == [0, 1]
    for added in ({"add_bos_token": True}, {"pre": "llama-bpe"}):  # llama.cpp adds it to Llama 3 unasked
        more = {f"tokenizer.ggml.{key}": value for key, value in added.items()}
        assert tokenizer_from_gguf(metadata | more).encode("ab").tolist() == [2, 0, 1]
    without = {"tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.add_bos_token": False}
    assert tokenizer_from_gguf(metadata | without).encode("ab").tolist() == [0, 1]


def test_llama_3_takes_a_token_whole_that_its_merges_do_not_reach():
    metadata = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": ["a", "b", "c", "ab", "abc"],
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.add_bos_token": False,
    }
    for pre, expected in (("llama-bpe", [4]), ("qwen2", [3, 2])):
        assert tokenizer_from_gguf(metadata | {"tokenizer.ggml.pre": pre}).encode("abc").tolist() == expected


def test_what_no_tokenizer_is_made_of_is_one_line():
    metadata = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2"}
    metadata |= {"tokenizer.ggml.tokens": ["a"], "tokenizer.ggml.merges": []}
    tokenizer_from_gguf(metadata)
    for damage in (
        {"tokens": 3},
        {"tokens": []},
        {"tokens": ["a", 1]},
        {"token_type": [1, 1]},
        {"merges": None},
        {"pre": ["gpt-2"]},
        {"model": [1]},
        {"add_bos_token": True, "bos_token_id": -1},
    ):
        more = {f"tokenizer.ggml.{key}": value for key, value in damage.items()}
        with pytest.raises(InvalidInput, match=r"GGUF|hub folder"):
            tokenizer_from_gguf(metadata | more)
