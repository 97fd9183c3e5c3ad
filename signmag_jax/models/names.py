"""Names of the tensors in checkpoints, and the parameters they become: one table a format."""

from __future__ import annotations

from collections.abc import Iterable

from signmag_jax.evidence import invalid

from .config import ModelConfig

# Parameter of a layer -> (module in a hub checkpoint, suffix; name in a GGUF file).
_LAYER = {
    "attention_norm": ("input_layernorm.weight", "attn_norm.weight"),
    "attention_post_norm": ("post_attention_layernorm.weight", "post_attention_norm.weight"),
    "attention_sub_norm": ("self_attn.attn_sub_norm.weight", "attn_sub_norm.weight"),
    "q_proj": ("self_attn.q_proj.weight", "attn_q.weight"),
    "k_proj": ("self_attn.k_proj.weight", "attn_k.weight"),
    "v_proj": ("self_attn.v_proj.weight", "attn_v.weight"),
    "o_proj": ("self_attn.o_proj.weight", "attn_output.weight"),
    "q_bias": ("self_attn.q_proj.bias", "attn_q.bias"),
    "k_bias": ("self_attn.k_proj.bias", "attn_k.bias"),
    "v_bias": ("self_attn.v_proj.bias", "attn_v.bias"),
    "o_bias": ("self_attn.o_proj.bias", "attn_output.bias"),
    "q_norm": ("self_attn.q_norm.weight", "attn_q_norm.weight"),
    "k_norm": ("self_attn.k_norm.weight", "attn_k_norm.weight"),
    "mlp_norm": ("post_attention_layernorm.weight", "ffn_norm.weight"),
    "mlp_post_norm": ("post_feedforward_layernorm.weight", "post_ffw_norm.weight"),
    "mlp_sub_norm": ("mlp.ffn_sub_norm.weight", "ffn_sub_norm.weight"),
    "gate_proj": ("mlp.gate_proj.weight", "ffn_gate.weight"),
    "up_proj": ("mlp.up_proj.weight", "ffn_up.weight"),
    "down_proj": ("mlp.down_proj.weight", "ffn_down.weight"),
    "gate_bias": ("mlp.gate_proj.bias", "ffn_gate.bias"),
    "up_bias": ("mlp.up_proj.bias", "ffn_up.bias"),
    "down_bias": ("mlp.down_proj.bias", "ffn_down.bias"),
}
_OUTER = {
    "embed": ("model.embed_tokens.weight", "token_embd.weight"),
    "norm": ("model.norm.weight", "output_norm.weight"),
    "head": ("lm_head.weight", "output.weight"),
}
_PREFIX = ("model.layers.{layer}.", "blk.{layer}.")
_FORMATS = {"hub": 0, "gguf": 1}

# Divisors of the rotation's frequencies in GGUF files of Llama 3 and Phi-3, which become part of the config.
ROPE_DIVISORS = ("rope_freqs.weight", "rope_factors_short.weight")

# Buffers that some checkpoints store although they follow from the config.
DERIVED_SUFFIXES = (".self_attn.rotary_emb.inv_freq",)

# Tensors of a GGUF file that llama.cpp knows and does not use.
UNUSED_SUFFIXES = (".attn_rot_embd", ".attn_rot_embd.weight", ".input_scale")

# Divisors beyond the length before stretching, which no window exceeds here.
LONG_DIVISORS = "rope_factors_long.weight"


def strangers(names: Iterable[str], style: str) -> list[str]:
    """Tensors from which no parameter is read and that do not follow from others."""
    head = outer_tensor("head", style)
    return [name for name in names if name != head and not name.endswith(DERIVED_SUFFIXES)]


def full_names(stored: Iterable[str], tied: bool = False) -> dict[str, str]:
    """Names in a hub checkpoint by their full form: some lack the prefix `model.`, and some have it twice.

    Of a tied pair, either may be stored.

    Raises:
      InvalidInput: where a tensor is there under two names: transformers would mix the two.
    """
    names = sorted(stored)
    full: dict[str, str] = {}
    for name in names:
        known = name
        if name.startswith(("embed_tokens.", "layers.", "norm.")):
            known = f"model.{name}"
        elif name.startswith(("model.model.", "model.lm_head.")):
            known = name.removeprefix("model.")
        if known in full:
            raise invalid("each tensor under one name", f"{full[known]} and {name}", "remove one of the two")
        full[known] = name
    embed, head = outer_tensor("embed", "hub"), outer_tensor("head", "hub")
    if tied and embed not in full and head in full:
        full[embed] = full.pop(head)
    return full


def layer_tensor(parameter: str, layer: int, style: str) -> str:
    """Name in the checkpoint ("hub" or "gguf") of a layer's parameter."""
    index = _FORMATS[style]
    return _PREFIX[index].format(layer=layer) + _LAYER[parameter][index]


def outer_tensor(parameter: str, style: str) -> str:
    """Name in the checkpoint of a parameter outside the layers."""
    return _OUTER[parameter][_FORMATS[style]]


def expected(config: ModelConfig, style: str) -> dict[str, tuple[int, ...]]:
    """Every tensor that a checkpoint of this architecture must hold, with its shape."""
    table = {outer_tensor(name, style): shape for name, shape in config.outer_shapes().items()}
    for layer in range(config.layers):
        table |= {layer_tensor(name, layer, style): shape for name, shape in config.shapes().items()}
    return table
