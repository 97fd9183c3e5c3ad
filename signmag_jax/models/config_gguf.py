"""ModelConfig from the metadata of a GGUF file: every key used, known to be irrelevant, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signmag_jax.evidence import invalid

from .config import ModelConfig, Rope

# Architectures of GGUF files, and what the metadata leaves to the architecture's definition.
FAMILIES = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}

# Groups of keys that say nothing about the forward pass.
IRRELEVANT_GROUPS = ("general.", "tokenizer.", "quantize.", "split.")
_SCALING = "rope.scaling."


def config_from_gguf(metadata: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> ModelConfig:
    """The architecture that a GGUF file describes; biases and tying are read off its list of tensors.

    Raises:
      InvalidInput: for an architecture, a RoPE scaling or a metadata key that the port does not know.
    """
    architecture = metadata.get("general.architecture")
    if architecture not in FAMILIES:
        raise invalid(
            f"GGUF architecture in {tuple(FAMILIES)}",
            architecture,
            "this port reads the Llama family; use another file",
        )
    keys = _Keys(metadata, architecture)
    heads, hidden = keys.take("attention.head_count"), keys.take("embedding_length")
    layers = keys.take("block_count")
    kv_heads = keys.take("attention.head_count_kv", heads)
    for name, value in (("attention.head_count", heads), ("attention.head_count_kv", kv_heads)):
        if not isinstance(value, int) or value < 1:
            raise invalid(
                f"{name} one number >= 1", value, "layers with different numbers of heads are not supported"
            )
    head_dim = keys.take("attention.key_length", hidden // heads)
    keys.require("attention.value_length", head_dim)
    keys.require("rope.dimension_count", head_dim)
    for absent in ("expert_count", "expert_used_count"):
        keys.require(absent, 0)
    positions = keys.take("context_length")
    first = {name.removeprefix("blk.0.") for name in shapes if name.startswith("blk.0.")}
    config = ModelConfig(
        family=FAMILIES[architecture],
        vocabulary=keys.take("vocab_size", shapes.get("token_embd.weight", (0,))[0]),
        hidden=hidden,
        intermediate=keys.take("feed_forward_length"),
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        eps=float(keys.take("attention.layer_norm_rms_epsilon")),
        rope=_rope(keys),
        positions=positions,
        tied="output.weight" not in shapes,
        qkv_bias="attn_q.bias" in first,
        o_bias="attn_output.bias" in first,
        mlp_bias="ffn_gate.bias" in first,
        qk_norm=architecture == "qwen3",
    )
    keys.refuse_rest()
    return config


class _Keys:
    """Metadata with a memory of what was used."""

    def __init__(self, metadata: Mapping[str, Any], architecture: str):
        self._prefix = f"{architecture}."
        self._rest = {k: v for k, v in metadata.items() if not k.startswith(IRRELEVANT_GROUPS)}

    def take(self, key: str, default: Any = None) -> Any:
        value = self._rest.pop(self._prefix + key, default)
        if value is None:
            raise invalid(f"{self._prefix}{key} in the metadata", "nothing", "the GGUF file is incomplete")
        return value

    def require(self, key: str, value: Any) -> None:
        found = self._rest.pop(self._prefix + key, value)
        if found != value:
            raise invalid(
                f"{self._prefix}{key} = {value}", found, "this port has no such layer; use another model"
            )

    def refuse_rest(self) -> None:
        if self._rest:
            shown = ", ".join(f"{key} = {str(value)[:40]}" for key, value in sorted(self._rest.items()))
            raise invalid(
                "every metadata key known", shown, "it may change the model, so it is not guessed at"
            )


def _rope(keys: _Keys) -> Rope:
    theta = float(keys.take("rope.freq_base", 10000.0))
    kind = keys.take(_SCALING + "type", "none")
    linear = float(keys.take("rope.scale_linear", 1.0))
    factor = float(keys.take(_SCALING + "factor", linear))
    if kind == "none" and factor == 1.0:
        return Rope(theta)
    if kind in ("none", "linear"):
        return Rope(theta, "linear", factor)
    raise invalid(
        "RoPE scaling in ('none', 'linear')", kind, "this port knows no other in GGUF; use the original"
    )
