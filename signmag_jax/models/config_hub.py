"""ModelConfig from a hub config.json: every attribute used, known to be irrelevant, or refused by name."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from signmag_jax.evidence import MissingResource, invalid

from .config import ModelConfig, Rope
from .foreign import heard, reason

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")

# Which linear layers of attention carry a bias: by the family, or by the config's `attention_bias`.
_QKV_BIAS = {"llama": None, "mistral": False, "qwen2": True, "qwen3": None}
_O_BIAS = {"llama": None, "mistral": False, "qwen2": False, "qwen3": None}

# Attributes of the config that say nothing about the loss of given tokens under given weights.
IRRELEVANT = frozenset(
    (
        *("_name_or_path", "architectures", "model_type", "transformers_version", "dtype", "torch_dtype"),
        *("bos_token_id", "eos_token_id", "pad_token_id", "tokenizer_class", "use_cache", "return_dict"),
        *("attention_dropout", "initializer_range", "pretraining_tp", "chunk_size_feed_forward"),
        *("id2label", "label2id", "problem_type", "is_encoder_decoder"),
        *("output_attentions", "output_hidden_states", "is_llama_config", "transformers.js_config"),
    )
)
_USED_BY_ALL = frozenset(
    (
        *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
        *("num_key_value_heads", "head_dim", "rms_norm_eps", "max_position_embeddings"),
        *("tie_word_embeddings", "hidden_act"),
        # The last two, of older configs, are read by transformers into the first.
        *("rope_parameters", "rope_theta", "rope_scaling"),
    )
)
# The last two are read by transformers into the first two.
_WINDOWS = frozenset(("sliding_window", "layer_types", "max_window_layers", "use_sliding_window"))
USED = {
    "llama": _USED_BY_ALL | {"attention_bias", "mlp_bias"},
    "mistral": _USED_BY_ALL | {"sliding_window"},
    "qwen2": _USED_BY_ALL | _WINDOWS,
    "qwen3": _USED_BY_ALL | _WINDOWS | {"attention_bias"},
}
_ROPE_USED = {
    "default": frozenset(("rope_theta",)),
    "linear": frozenset(("rope_theta", "factor")),
    "llama3": frozenset(
        ("rope_theta", "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    ),
}
# A config may claim any number of layers, before its tensors are looked at.
MOST_SLIDING = 1_000_000
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_intermediate_size")


def config_from_hub(folder: Path) -> ModelConfig:
    """The architecture that a folder's config.json describes, read by `transformers` without remote code.

    Raises:
      MissingResource: if there is no readable config.json.
      InvalidInput: for anything that the port does not know, by name.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise MissingResource(
            f"{folder} holds no config.json: point at a model folder in hub format or a .gguf file"
        )
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        family = raw.get("model_type")
    except (ValueError, AttributeError) as error:
        raise MissingResource(f"{path} is no JSON object ({error}): download it again") from None
    _refuse_other_models(raw, family)
    try:
        with heard():
            from transformers import AutoConfig

            parsed = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # transformers raises many types for a bad config; all mean the same here
        raise invalid("config.json valid for transformers", reason(error, 300), f"mend {path}") from None
    return _config(family, parsed.to_dict())


def _refuse_other_models(raw: dict[str, Any], family: Any) -> None:
    if any(raw.get(key) for key in _EXPERTS) or "moe" in str(family):
        raise invalid(
            "a dense model", f"mixture of experts ({family})", "choose a dense model of the Llama family"
        )
    if family not in FAMILIES:
        raise invalid(
            f"model_type in {FAMILIES}", family, "this port reads the Llama family; use another model"
        )
    if quantised := raw.get("quantization_config"):
        method = quantised.get("quant_method", "unknown") if isinstance(quantised, dict) else quantised
        raise invalid(
            "weights as trained",
            f"a checkpoint pre-quantised with {method}",
            "load the original, unquantised checkpoint",
        )
    if raw.get("auto_map"):
        raise invalid(
            "no code of the checkpoint's own", raw["auto_map"], "its code is never run; use another model"
        )


def unknown_attributes(family: str, attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes that the family's model neither reads nor is known to ignore.

    What another family reads is no matter where it is None or False: it asks for nothing.
    """
    elsewhere = frozenset().union(*USED.values())
    return {
        key: value
        for key, value in attributes.items()
        if key not in USED[family] | IRRELEVANT
        and not (key in elsewhere and (value is None or value is False))
    }


def _config(family: str, attributes: dict[str, Any]) -> ModelConfig:
    if unknown := unknown_attributes(family, attributes):
        shown = ", ".join(f"{key} = {str(value)[:60]}" for key, value in sorted(unknown.items())[:8])
        raise invalid(
            f"every attribute of config.json known in {family}",
            shown,
            "it may change the model, so it is not guessed at",
        )
    if attributes["hidden_act"] not in ("silu", "swish"):
        raise invalid("hidden_act = silu", attributes["hidden_act"], "the port has the gated SiLU MLP only")
    bias = bool(attributes.get("attention_bias", False))
    return ModelConfig(
        family=family,
        vocabulary=attributes["vocab_size"],
        hidden=attributes["hidden_size"],
        intermediate=attributes["intermediate_size"],
        layers=attributes["num_hidden_layers"],
        heads=attributes["num_attention_heads"],
        kv_heads=attributes["num_key_value_heads"],
        head_dim=attributes.get("head_dim") or attributes["hidden_size"] // attributes["num_attention_heads"],
        eps=attributes["rms_norm_eps"],
        rope=_rope(attributes["rope_parameters"]),
        positions=attributes["max_position_embeddings"],
        tied=bool(attributes["tie_word_embeddings"]),
        qkv_bias=bias if _QKV_BIAS[family] is None else bool(_QKV_BIAS[family]),
        o_bias=bias if _O_BIAS[family] is None else bool(_O_BIAS[family]),
        mlp_bias=bool(attributes.get("mlp_bias", False)),
        qk_norm=family == "qwen3",
        sliding=_sliding(attributes),
    )


def _rope(parameters: dict[str, Any]) -> Rope:
    kind = parameters.get("rope_type", "default")
    if not isinstance(kind, str) or kind not in _ROPE_USED:
        raise invalid(
            f"RoPE type in {tuple(_ROPE_USED)}", kind, "this port knows no other; use another model"
        )
    unknown = set(parameters) - _ROPE_USED[kind] - {"rope_type", "type"}
    # A whole-head rotation written out is the default; anything less is another model.
    if parameters.get("partial_rotary_factor") == 1.0:
        unknown.discard("partial_rotary_factor")
    if unknown:
        shown = ", ".join(f"{key} = {parameters[key]}" for key in sorted(unknown))
        raise invalid(f"known parameters of RoPE type {kind}", shown, "they may change the model")
    numbers: dict[str, Any] = {name: parameters.get(name) for name in sorted(_ROPE_USED[kind])}
    wrong = {name: value for name, value in numbers.items() if not _is_finite(value)}
    if wrong:
        raise invalid(
            f"every parameter of RoPE type {kind} a finite number",
            ", ".join(f"{name} = {str(value)[:40]}" for name, value in wrong.items()),
            "mend config.json",
        )
    return Rope(
        theta=float(numbers["rope_theta"]),
        kind=kind,
        factor=float(numbers.get("factor", 1.0)),
        low_frequency_factor=float(numbers.get("low_freq_factor", 1.0)),
        high_frequency_factor=float(numbers.get("high_freq_factor", 1.0)),
        original_positions=int(numbers.get("original_max_position_embeddings", 0)),
    )


def _is_finite(value: Any) -> bool:
    """Whether it is a number that float64 holds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _sliding(attributes: dict[str, Any]) -> tuple[int | None, ...] | None:
    window, layers = attributes.get("sliding_window"), attributes["num_hidden_layers"]
    kinds = attributes.get("layer_types")
    strange = [kind for kind in kinds or () if kind not in ("full_attention", "sliding_attention")]
    if strange:
        raise invalid(
            "layer_types full_attention or sliding_attention", str(strange[:3])[:80], "use another model"
        )
    if window is None:
        if "sliding_attention" in (kinds or ()):
            raise invalid(
                "sliding_window a number where layer_types has sliding_attention", window, "mend config.json"
            )
        return None
    if layers > MOST_SLIDING:
        raise invalid(f"num_hidden_layers <= {MOST_SLIDING} with sliding_window", layers, "mend config.json")
    return tuple(
        window if kind == "sliding_attention" else None for kind in kinds or ["sliding_attention"] * layers
    )
