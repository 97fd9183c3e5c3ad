"""The oracle: `transformers`' own PyTorch models, tiny and random, saved the way the hub stores them."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import tokenizers
import torch
import transformers

# Workers share the cores; threads of PyTorch that wait for one another cost more than they gain.
torch.set_num_threads(1)

SIZES = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "pad_token_id": None,
}
LINEAR = {"rope_type": "linear", "rope_theta": 5000.0, "factor": 3.0}
# With four frequencies, one falls on each side of the smooth step and one into it.
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 50.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
# Of heads of 8 features, of which a part of 0.75 is rotated.
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 50.0,
    "short_factor": [1.1, 1.7, 3.0],
    "long_factor": [2.0, 5.0, 9.0],
    "original_max_position_embeddings": 48,
    "partial_rotary_factor": 0.75,
}
FULL, SLIDING = "full_attention", "sliding_attention"

CASES = {
    "llama-gqa": ("llama", {}),
    "llama-mha": ("llama", {"num_key_value_heads": 4}),
    "llama-mqa": ("llama", {"num_key_value_heads": 1}),
    "llama-tied": ("llama", {"tie_word_embeddings": True}),
    "llama-biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama-attention-bias": ("llama", {"attention_bias": True}),
    "llama-head-dim": ("llama", {"head_dim": 12}),
    "llama-linear": ("llama", {"rope_parameters": LINEAR}),
    "llama-llama3": ("llama", {"rope_parameters": LLAMA3}),
    "llama-one-layer": ("llama", {"num_hidden_layers": 1, "rms_norm_eps": 0.3}),
    "mistral": ("mistral", {"sliding_window": None, "rms_norm_eps": 0.3}),
    "mistral-sliding": ("mistral", {"sliding_window": 7, "tie_word_embeddings": True}),
    "mistral-head-dim": (
        "mistral",
        {"head_dim": 6, "sliding_window": 64, "num_key_value_heads": 1, "rope_parameters": LINEAR},
    ),
    "qwen2": ("qwen2", {"tie_word_embeddings": True, "rms_norm_eps": 0.3, "head_dim": 12}),
    "qwen2-untied": ("qwen2", {"num_key_value_heads": 4, "rope_parameters": LLAMA3}),
    "qwen2-sliding": ("qwen2", {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1}),
    "qwen2-mixed": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 4, "layer_types": [SLIDING, FULL, SLIDING]},
    ),
    "qwen3": ("qwen3", {"head_dim": 16, "rms_norm_eps": 0.3}),
    "qwen3-biases": ("qwen3", {"head_dim": 8, "attention_bias": True, "tie_word_embeddings": True}),
    "qwen3-sliding": (
        "qwen3",
        {
            "use_sliding_window": True,
            "sliding_window": 5,
            "max_window_layers": 2,
            "head_dim": 8,
            "rope_parameters": LINEAR,
        },
    ),
    "qwen3-mixed": (
        "qwen3",
        {
            "use_sliding_window": True,
            "sliding_window": 6,
            "head_dim": 8,
            "layer_types": [FULL, SLIDING, FULL],
        },
    ),
    "llama-relu2": ("llama", {"hidden_act": "relu2"}),
    "mistral-gelu": ("mistral", {"hidden_act": "gelu"}),
    "qwen2-gelu-tanh": ("qwen2", {"hidden_act": "gelu_pytorch_tanh"}),
    "qwen3-relu": ("qwen3", {"hidden_act": "relu", "head_dim": 8}),
    "smollm3": (
        "smollm3",
        {
            "no_rope_layer_interval": 2,
            "use_sliding_window": True,
            "sliding_window": 5,
            "tie_word_embeddings": True,
        },
    ),
    "smollm3-sliding": (
        "smollm3",
        {
            "no_rope_layers": [0, 1, 0, 1],
            "sliding_window": 6,
            "layer_types": [FULL, SLIDING, SLIDING],
            "attention_bias": True,
            "mlp_bias": True,
            "head_dim": 12,
            "rope_parameters": LINEAR,
            "hidden_act": "gelu",
            "tie_word_embeddings": False,
        },
    ),
    "olmo2": ("olmo2", {"rms_norm_eps": 0.3, "tie_word_embeddings": True}),
    "olmo2-biases": (
        "olmo2",
        {"attention_bias": True, "head_dim": 12, "rope_parameters": LLAMA3, "hidden_act": "relu2"},
    ),
    "phi3": ("phi3", {"head_dim": 12, "tie_word_embeddings": True, "rms_norm_eps": 0.3}),
    "phi3-longrope": (
        "phi3",
        {
            "original_max_position_embeddings": 48,
            "rope_parameters": LONGROPE,
            "sliding_window": 11,
            "hidden_act": "gelu",
        },
    ),
    "bitnet": ("bitnet", {"tie_word_embeddings": True, "rms_norm_eps": 0.3}),
    "bitnet-biases": (
        "bitnet",
        {"attention_bias": True, "head_dim": 8, "hidden_act": "silu", "rope_parameters": LINEAR},
    ),
}
CLASSES = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3"}
CLASSES |= {"smollm3": "SmolLM3", "olmo2": "Olmo2", "phi3": "Phi3", "bitnet": "BitNet"}


def oracle(family: str, changes: dict, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """A tiny random model, every parameter (gains and biases too) drawn away from its initial value."""
    name = CLASSES[family]
    config = getattr(transformers, f"{name}Config")(**(SIZES | changes))
    config._attn_implementation = "eager"
    torch.manual_seed(5)
    model = getattr(transformers, f"{name}ForCausalLM")(config).eval()
    with torch.no_grad():
        for label, value in model.named_parameters():
            spread = 0.3 if value.ndim == 1 else value.shape[-1] ** -0.5 * 1.5
            value.copy_(torch.randn_like(value) * spread + (1.0 if label.endswith("norm.weight") else 0.0))
    return model.to(dtype)


def save(model: torch.nn.Module, folder: Path, **options: object) -> Path:
    """The model as a folder in hub format, with a byte-level tokenizer of a few tokens."""
    model.save_pretrained(folder, **options)
    save_tokenizer(folder)
    return folder


def save_tokenizer(folder: Path) -> None:
    """A byte-level BPE without merges, over printable ASCII."""
    vocabulary = {chr(code): index for index, code in enumerate(range(33, 127))}
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.save(str(folder / "tokenizer.json"))
    plain = {"tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(plain))


@dataclasses.dataclass
class Reading:
    """What the oracle computes: streams[layer, batch, token, feature], final states, logits, NLL."""

    streams: np.ndarray
    final: np.ndarray
    logits: np.ndarray
    nll: np.ndarray


def read(model: torch.nn.Module, tokens: np.ndarray) -> Reading:
    """Run the oracle; the stream after each layer is caught by a hook, the last one before the final norm."""
    streams: list[torch.Tensor] = []
    hooks = [
        layer.register_forward_hook(
            lambda _, __, out: streams.append(out[0] if isinstance(out, tuple) else out)
        )
        for layer in model.model.layers
    ]
    with torch.inference_mode():
        ids = torch.from_numpy(np.asarray(tokens, np.int64))
        final = model.model(input_ids=ids, use_cache=False).last_hidden_state
        logits = model.lm_head(final)
        nll = torch.nn.functional.cross_entropy(
            logits[:, :-1].reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1), reduction="none"
        )
    for hook in hooks:
        hook.remove()
    return Reading(
        torch.stack(streams).numpy(), final.numpy(), logits.numpy(), nll.numpy().reshape(ids.shape[0], -1)
    )


def gradients(model: torch.nn.Module, tokens: np.ndarray) -> dict[str, np.ndarray]:
    """Gradient of the oracle's mean NLL with respect to every parameter, by name."""
    ids = torch.from_numpy(np.asarray(tokens, np.int64))
    model.zero_grad()
    model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    return parts({name: value.grad.numpy() for name, value in model.named_parameters()}, model.config)


def parts(tensors: dict[str, np.ndarray], config: transformers.PreTrainedConfig) -> dict[str, np.ndarray]:
    """Tensors by name, those that Phi-3 fuses cut into the matrices they are made of."""
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    queries, keys = size * config.num_attention_heads, size * config.num_key_value_heads
    cuts = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}
    at = {"qkv_proj": [queries, queries + keys], "gate_up_proj": [config.intermediate_size]}
    found = {}
    for name, value in tensors.items():
        fused = name.split(".")[-2]
        pieces = np.split(value, at[fused]) if fused in cuts else [value]
        names = [name.replace(fused, part) for part in cuts.get(fused, (fused,))]
        found |= dict(zip(names, pieces, strict=True))
    return found


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    """‖ours − theirs‖ / ‖theirs‖."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
