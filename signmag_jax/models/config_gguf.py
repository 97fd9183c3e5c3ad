"""ModelConfig from the metadata of a GGUF file: every key of its architecture used, harmless, or refused."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from signmag_jax.evidence import invalid

from .config import ModelConfig, Rope

# Architectures of GGUF files, and what the metadata leaves to the architecture's definition.
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"qk_norm": "head"},
    "smollm3": {},
    "olmo2": {"post_norm": True, "qk_norm": "all"},
    "phi3": {},
    "bitnet": {"sub_norms": True},
}
# Of bitnet.cpp: ternary only in its own types of tensors.
_FOREIGN = ("bitnet-b1.58", "bitnet-25")
# In llama.cpp every fourth layer of SmolLM3 has no rotation.
_UNROTATED = {"smollm3": 4}

# Keys of an architecture that say nothing about the loss of a text no longer than the context.
HARMLESS = (
    "tensor_data_layout",
    "pooling_type",
    "rope.scaling.original_context_length",
    "rope.scaling.finetuned",
    # Of YaRN, which itself is refused.
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
)
# Of mixtures of experts, of which a dense model has none.
_EXPERTS = "expert"
_SCALING = "rope.scaling."
# Metadata may claim any number of layers, before the tensors are looked at.
MOST_LAYERS = 1_000_000


def config_from_gguf(
    metadata: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], divisors: tuple[float, ...] = ()
) -> ModelConfig:
    """The architecture that a GGUF file describes; biases and tying are read off its list of tensors.

    Args:
      metadata: of the file.
      shapes: of its tensors.
      divisors: of the rotation's frequencies, where a tensor holds them.

    Raises:
      InvalidInput: for an architecture, a RoPE scaling or a metadata key that the port does not know.
    """
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str) or architecture not in FAMILIES:
        raise invalid(
            f"GGUF architecture in {tuple(FAMILIES)}",
            _shown(architecture),
            "bitnet.cpp's own; use the hub folder, microsoft/bitnet-b1.58-2B-4T"
            if architecture in _FOREIGN
            else "this port has no other; use another file, or the hub folder",
        )
    keys = _Keys(metadata, architecture)
    heads, hidden = keys.whole("attention.head_count"), keys.whole("embedding_length")
    layers = keys.whole("block_count")
    kv_heads = keys.whole("attention.head_count_kv", heads)
    head_dim = keys.whole("attention.key_length", hidden // heads)
    keys.require("attention.value_length", head_dim)
    turned = keys.whole("rope.dimension_count", head_dim)
    if architecture != "phi3":
        keys.require_value("rope.dimension_count", turned, head_dim)
    for absent in ("expert_count", "expert_used_count"):
        keys.require(absent, 0)
    positions = keys.whole("context_length")
    if architecture == "phi3":
        positions = _undisputed(keys, positions, bool(divisors))
    kinds = {name.split(".", 2)[-1] for name in shapes if name.startswith("blk.")}
    config = ModelConfig(
        family=architecture,
        vocabulary=keys.whole("vocab_size", shapes.get("token_embd.weight", (0,))[0]),
        hidden=hidden,
        intermediate=keys.whole("feed_forward_length"),
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        eps=keys.real("attention.layer_norm_rms_epsilon"),
        rope=dataclasses.replace(
            _rope(keys, divisors, architecture == "phi3"), features=None if turned == head_dim else turned
        ),
        positions=positions,
        tied="output.weight" not in shapes,
        # Each is optional in each layer.
        qkv_bias=not kinds.isdisjoint(f"attn_{letter}.bias" for letter in "qkv"),
        o_bias="attn_output.bias" in kinds,
        mlp_bias=not kinds.isdisjoint(f"ffn_{part}.bias" for part in ("gate", "up", "down")),
        rotated=_rotated(architecture, layers),
        **FAMILIES[architecture],
    )
    keys.require("attention.causal", True)
    keys.refuse_rest()
    return config


class _Keys:
    """Metadata with a memory of what was used."""

    def __init__(self, metadata: Mapping[str, Any], architecture: str):
        self._prefix = f"{architecture}."
        # Other groups are the tools' own: no program that computes this architecture reads them.
        self._rest = {key: value for key, value in metadata.items() if key.startswith(self._prefix)}

    def take(self, key: str, default: Any = None) -> Any:
        value = self._rest.pop(self._prefix + key, default)
        if value is None:
            raise invalid(f"{self._prefix}{key} in the metadata", "nothing", "the GGUF file is incomplete")
        return value

    def whole(self, key: str, default: int | None = None) -> int:
        value = self.take(key, default)
        if isinstance(value, list) and value and all(one == value[0] for one in value):
            value = value[0]  # one entry for each layer
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            what = " (layers that differ are not supported)" if isinstance(value, list) else ""
            raise invalid(
                f"{self._prefix}{key} one number >= 1{what}",
                _shown(value),
                "the GGUF file is damaged, or of another kind of model",
            )
        return value

    def real(self, key: str, default: float | None = None) -> float:
        value = self.take(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise invalid(f"{self._prefix}{key} a finite number", _shown(value), "the GGUF file is damaged")
        return float(value)

    def require(self, key: str, value: Any) -> None:
        self.require_value(key, self._rest.pop(self._prefix + key, value), value)

    def require_value(self, key: str, stored: Any, value: Any) -> None:
        if stored != value:
            raise invalid(
                f"{self._prefix}{key} = {value}",
                _shown(stored),
                "this port has no such layer; use another model",
            )

    def refuse_rest(self) -> None:
        names = {key: key.removeprefix(self._prefix) for key in self._rest}
        rest = {
            key: self._rest[key]
            for key, name in names.items()
            if name not in HARMLESS and not name.startswith(_EXPERTS)
        }
        if rest:
            first = sorted(rest.items())[:8]
            shown = ", ".join(f"{key[:80]} = {str(value)[:40]}" for key, value in first)
            raise invalid(
                "every metadata key known", shown, "it may change the model, so it is not guessed at"
            )


def _shown(value: Any) -> Any:
    """A value as an error shows it: a damaged file may hold one of any length."""
    text = repr(value)
    return value if len(text) <= 80 else text[:80] + "..."


def _rotated(architecture: str, layers: int) -> tuple[bool, ...] | None:
    step = _UNROTATED.get(architecture)
    if step is None or layers < step:
        return None
    if layers > MOST_LAYERS:
        raise invalid(f"block_count <= {MOST_LAYERS}", layers, "the GGUF file is damaged")
    return tuple((layer + 1) % step != 0 for layer in range(layers))


def _undisputed(keys: _Keys, positions: int, stretched: bool) -> int:
    """Phi-3's longest window that needs neither the long divisors nor a sliding window.

    transformers lets Phi-3's attention slide and llama.cpp does not: within the window they agree.
    """
    sliding = keys.take("attention.sliding_window", 0)
    if isinstance(sliding, int) and sliding > 0:
        positions = min(positions, sliding)
    return (
        min(positions, keys.whole(f"{_SCALING}original_context_length", positions))
        if stretched
        else positions
    )


def _rope(keys: _Keys, divisors: tuple[float, ...], long: bool) -> Rope:
    theta = keys.real("rope.freq_base", 10000.0)
    # As llama.cpp reads it: linear where no type is named, never scaled by "none", and a factor of 0 is none.
    kind = keys.take(_SCALING + "type", "linear")
    if long and kind == "longrope":
        kind = "none"
    scale = keys.real(_SCALING + "attn_factor", 1.0) if long and divisors else 1.0
    linear = keys.real("rope.scale_linear", 1.0)
    factor = keys.real(_SCALING + "factor", linear) or 1.0
    if kind == "none" or (kind, factor) == ("linear", 1.0):
        return Rope(theta, "divided", divisors=divisors, scale=scale) if divisors else Rope(theta)
    if not divisors and kind == "linear":
        return Rope(theta, "linear", factor)
    raise invalid(
        "RoPE scaling in ('none', 'linear')",
        _shown(kind),
        "this port knows no other in GGUF; use the original",
    )
