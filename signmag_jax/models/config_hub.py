"""ModelConfig from a hub config.json: every attribute that changes the model is used, or refused by name."""

from __future__ import annotations

import inspect
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
    # Scales with the length beyond the trained one, which no window exceeds here.
    "dynamic": frozenset(("rope_theta",)),
    "linear": frozenset(("rope_theta", "factor")),
    "llama3": frozenset(
        ("rope_theta", "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    ),
}
# A config may claim any number of layers, before its tensors are looked at.
MOST_SLIDING = 1_000_000
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_intermediate_size")


def config_from_hub(folder: Path) -> ModelConfig:
    """The architecture of a folder alone; see `described_by_hub`."""
    return described_by_hub(folder)[0]


def described_by_hub(folder: Path) -> tuple[ModelConfig, tuple[str, ...]]:
    """The architecture that a folder's config.json describes, read by `transformers` without remote code.

    Returns:
      The architecture, and what the file says beside it that makes no difference, a line for each kind.

    Raises:
      MissingResource: if there is no readable config.json.
      InvalidInput: for anything that the port does not know, by name.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise MissingResource(f"{folder} holds no config.json: {_instead(folder)}")
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
    attributes = parsed.to_dict()
    unread = unread_attributes(family, attributes, set(inspect.signature(type(parsed)).parameters))
    read = {key: value for key, value in attributes.items() if key not in unread}
    rope, without_effect = _rope(attributes["rope_parameters"])
    remarks = []
    if unread.pop("auto_map", None):
        remarks.append(f"config.json has auto_map: {family}'s own code is used, none of the checkpoint's")
    if unread:
        remarks.append(f"config.json has what transformers' {family} never reads: {_shown(unread)}")
    if without_effect:
        remarks.append(f"without effect in this model's RoPE: {_shown(without_effect)}")
    return _config(family, read, rope), tuple(remarks)


def _instead(folder: Path) -> str:
    """What to point at, by what the folder holds."""
    if (folder / "adapter_config.json").is_file():
        return "it is an adapter (LoRA): merge it into its base model and save that"
    files = sorted(path.name for path in folder.glob("*.gguf"))
    if files:
        return f"give one of its GGUF files ({', '.join(files[:8])})"
    return "point at a model folder in hub format or a .gguf file"


def _shown(attributes: dict[str, Any]) -> str:
    return ", ".join(f"{key} = {str(value)[:60]}" for key, value in sorted(attributes.items())[:8])


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


def unread_attributes(family: str, attributes: dict[str, Any], declared: set[str]) -> dict[str, Any]:
    """Attributes that the family's model in `transformers` never reads.

    Args:
      family: the model's type.
      attributes: of its config.json.
      declared: what the family's config class declares: what a later version adds there, its model reads.

    Raises:
      InvalidInput: for a declared one that the port does not know, and for a model that is not causal.
    """
    rest = {key: value for key, value in attributes.items() if key not in USED[family] | IRRELEVANT}
    # Every model's attention mask asks for this, whether its class declares it or not.
    strange = {
        key: rest[key] for key in rest if key in declared or (key == "is_causal" and rest[key] is not True)
    }
    if strange:
        raise invalid(
            f"every attribute of config.json known in {family}",
            _shown(strange),
            "it may change the model, so it is not guessed at",
        )
    return rest


def _config(family: str, attributes: dict[str, Any], rope: Rope) -> ModelConfig:
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
        rope=rope,
        positions=attributes["max_position_embeddings"],
        tied=bool(attributes["tie_word_embeddings"]),
        qkv_bias=bias if _QKV_BIAS[family] is None else bool(_QKV_BIAS[family]),
        o_bias=bias if _O_BIAS[family] is None else bool(_O_BIAS[family]),
        mlp_bias=bool(attributes.get("mlp_bias", False)),
        qk_norm=family == "qwen3",
        sliding=_sliding(attributes),
    )


def _rope(parameters: dict[str, Any]) -> tuple[Rope, dict[str, Any]]:
    """The rotation, and the parameters that its type does not read."""
    kind = parameters.get("rope_type", "default")
    if not isinstance(kind, str) or kind not in _ROPE_USED:
        raise invalid(
            f"RoPE type in {tuple(_ROPE_USED)}", kind, "this port knows no other; use another model"
        )
    if parameters.get("partial_rotary_factor") not in (None, 1.0):
        raise invalid(
            "a rotation of whole heads",
            f"partial_rotary_factor = {parameters['partial_rotary_factor']}",
            "use another model",
        )
    rest = {
        key: value for key, value in parameters.items() if key not in _ROPE_USED[kind] | {"rope_type", "type"}
    }
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
        kind="default" if kind == "dynamic" else kind,
        factor=float(numbers.get("factor", 1.0)),
        low_frequency_factor=float(numbers.get("low_freq_factor", 1.0)),
        high_frequency_factor=float(numbers.get("high_freq_factor", 1.0)),
        original_positions=int(numbers.get("original_max_position_embeddings", 0)),
    ), {key: value for key, value in rest.items() if value is not None}


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
