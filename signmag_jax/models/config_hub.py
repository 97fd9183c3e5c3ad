"""ModelConfig from a hub config.json: every attribute that changes the model is used, or refused by name."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

from signmag_jax.evidence import MissingResource, invalid

from .bitnet import Ternary, ternary_of
from .config import ACTIVATIONS, ModelConfig
from .foreign import heard, reason
from .rope_hub import rope_from_hub

FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "smollm3", "olmo2", "phi3", "bitnet")

# Which linear layers of attention carry a bias: by the family, or by the config's `attention_bias`.
_QKV_BIAS = {"mistral": False, "qwen2": True, "phi3": False}
_O_BIAS = {"mistral": False, "qwen2": False, "phi3": False}
_QK_NORM = {"qwen3": "head", "olmo2": "all"}
# Names of activations in `transformers` and in `ModelConfig`.
_ACTIVATIONS = {
    **{name: name for name in ACTIVATIONS if name != "gelu_tanh"},
    **{"swish": "silu", "gelu_python": "gelu"},
    **{f"gelu_{name}": "gelu_tanh" for name in ("pytorch_tanh", "python_tanh", "new", "fast", "accurate")},
}

# Attributes of the config that say nothing about the loss of given tokens under given weights.
IRRELEVANT = frozenset(
    (
        *("_name_or_path", "architectures", "model_type", "transformers_version", "dtype", "torch_dtype"),
        *("bos_token_id", "eos_token_id", "pad_token_id", "tokenizer_class", "use_cache", "return_dict"),
        *(
            "attention_dropout",
            "resid_pdrop",
            "embd_pdrop",
            "initializer_range",
            "pretraining_tp",
            "chunk_size_feed_forward",
        ),
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
    # The last is read by transformers into the one before.
    "smollm3": _USED_BY_ALL
    | {"sliding_window", "layer_types", "use_sliding_window", "attention_bias", "mlp_bias"}
    | {"no_rope_layers", "no_rope_layer_interval"},
    "olmo2": _USED_BY_ALL | {"attention_bias"},
    "phi3": _USED_BY_ALL | {"sliding_window", "original_max_position_embeddings"},
    "bitnet": _USED_BY_ALL | {"attention_bias"},
}
# A config may claim any number of layers, before its tensors are looked at.
MOST_SLIDING = 1_000_000
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_intermediate_size")


def config_from_hub(folder: Path) -> ModelConfig:
    """The architecture of a folder alone; see `described_by_hub`."""
    return described_by_hub(folder)[0]


def described_by_hub(folder: Path) -> tuple[ModelConfig, tuple[str, ...], Ternary | None]:
    """The architecture that a folder's config.json describes, read by `transformers` without remote code.

    Returns:
      The architecture, what the file says beside it that makes no difference, a line for each kind, and how
      ternary matrices are stored.

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
    ternary = _refuse_other_models(raw, family)
    # Widths are divided by it, here and in some of transformers' config classes.
    if raw.get("num_attention_heads") == 0:
        raise invalid("num_attention_heads >= 1", 0, f"mend {path}")
    try:
        with heard():
            from transformers import AutoConfig

            parsed = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # transformers raises many types for a bad config; all mean the same here
        raise invalid("config.json valid for transformers", reason(error, 300), f"mend {path}") from None
    attributes = parsed.to_dict()
    # The first is judged above; the rotation is read from the parameters into which transformers gathers it.
    for name in ("quantization_config", *attributes["rope_parameters"]):
        attributes.pop(name, None)
    unread = unread_attributes(family, attributes, set(inspect.signature(type(parsed)).parameters))
    read = {key: value for key, value in attributes.items() if key not in unread}
    config, remarks = _config(family, read, 8 if ternary else None)
    remarks = [*remarks]
    if unread.pop("auto_map", None):
        remarks.append(f"config.json has auto_map: {family}'s own code is used, none of the checkpoint's")
    if unread:
        remarks.append(f"config.json has what transformers' {family} never reads: {_shown(unread)}")
    if ternary:
        remarks.append("BitNet: inputs are rounded to 8 bits, which derivatives take for the identity")
    return config, tuple(remarks), ternary


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


def _refuse_other_models(raw: dict[str, Any], family: Any) -> Ternary | None:
    """Refuse what no folder of this kind can be loaded as; return how ternary matrices are stored, if any."""
    if family not in FAMILIES:
        if any(raw.get(key) for key in _EXPERTS) or "moe" in str(family):
            raise invalid(
                "a dense model", f"mixture of experts ({family})", "choose a dense model of the Llama family"
            )
        raise invalid(
            f"model_type in {FAMILIES}", family, "this port reads the Llama family; use another model"
        )
    if quantised := raw.get("quantization_config"):
        method = quantised.get("quant_method", "unknown") if isinstance(quantised, dict) else quantised
        if method == "bitnet":
            return ternary_of(quantised)
        raise invalid(
            "weights as trained",
            f"a checkpoint pre-quantised with {method}",
            "load the original, unquantised checkpoint",
        )
    return None


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


def _config(
    family: str, attributes: dict[str, Any], input_bits: int | None
) -> tuple[ModelConfig, tuple[str, ...]]:
    """The architecture, and remarks on its rotation."""
    if attributes["hidden_act"] not in _ACTIVATIONS:
        raise invalid(
            f"hidden_act in {tuple(_ACTIVATIONS)}",
            attributes["hidden_act"],
            "the port has no other gated MLP",
        )
    bias = bool(attributes.get("attention_bias", False))
    head_dim = attributes.get("head_dim") or attributes["hidden_size"] // attributes["num_attention_heads"]
    positions = attributes["max_position_embeddings"]
    for name, value in (("head_dim", head_dim), ("max_position_embeddings", positions)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise invalid(f"{name} is a whole number", value, "check the model's config")
    rope, positions, remarks = rope_from_hub(
        attributes["rope_parameters"], head_dim, positions, partial=family == "phi3"
    )
    return ModelConfig(
        family=family,
        vocabulary=attributes["vocab_size"],
        hidden=attributes["hidden_size"],
        intermediate=attributes["intermediate_size"],
        layers=attributes["num_hidden_layers"],
        heads=attributes["num_attention_heads"],
        kv_heads=attributes["num_key_value_heads"],
        head_dim=head_dim,
        eps=attributes["rms_norm_eps"],
        rope=rope,
        positions=positions,
        tied=bool(attributes["tie_word_embeddings"]),
        qkv_bias=_QKV_BIAS.get(family, bias),
        o_bias=_O_BIAS.get(family, bias),
        mlp_bias=bool(attributes.get("mlp_bias", False)),
        activation=_ACTIVATIONS[attributes["hidden_act"]],
        qk_norm=_QK_NORM.get(family),
        post_norm=family == "olmo2",
        sub_norms=family == "bitnet",
        input_bits=input_bits,
        sliding=_sliding(attributes),
        rotated=_rotated(attributes),
    ), remarks


def _rotated(attributes: dict[str, Any]) -> tuple[bool, ...] | None:
    """Whether each layer rotates; None where all do."""
    flags, layers = attributes.get("no_rope_layers"), attributes["num_hidden_layers"]
    if flags is None:
        return None
    # The name says the contrary of what it is: 1 is a layer that rotates.
    if len(flags) < layers or any(flag not in (0, 1) for flag in flags):
        raise invalid(f"no_rope_layers of 0 or 1 for {layers} layers", str(flags)[:80], "mend config.json")
    chosen = tuple(bool(flag) for flag in flags[:layers])
    return None if all(chosen) else chosen


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
