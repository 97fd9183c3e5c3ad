"""The architecture of a Llama-family model: what the forward pass needs to know, and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass

from signmag_jax.evidence import invalid

ROPE_KINDS = ("default", "linear", "llama3", "divided")


@dataclass(frozen=True)
class Rope:
    """Rotary position embedding: base θ and the way its frequencies are stretched to longer contexts.

    Args:
      theta: base of the frequencies θ^(−2i/d).
      kind: "default", "linear" (all divided by `factor`), "llama3" (only the slow ones, smoothly) or
        "divided" (each by its own of `divisors`: how GGUF files store what "llama3" comes to).
      factor: the stretch.
      low_frequency_factor, high_frequency_factor: ends of the smooth step ("llama3").
      original_positions: context length before the stretch ("llama3").
      divisors: one for each frequency, fastest first ("divided").
    """

    theta: float = 10000.0
    kind: str = "default"
    factor: float = 1.0
    low_frequency_factor: float = 1.0
    high_frequency_factor: float = 1.0
    original_positions: int = 0
    divisors: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in ROPE_KINDS:
            raise invalid(
                f"RoPE type in {ROPE_KINDS}", self.kind, "this port knows no other; use another model"
            )
        if not 1 < self.theta < math.inf or not 0 < self.factor < math.inf:
            raise invalid(
                "RoPE theta > 1 and factor > 0, both finite",
                (self.theta, self.factor),
                "check the model's config",
            )
        if any(not 0 < divisor < math.inf for divisor in self.divisors) or (
            bool(self.divisors) != (self.kind == "divided")
        ):
            raise invalid(
                "divisors of RoPE frequencies positive and finite", self.divisors[:8], "the file is damaged"
            )
        if self.kind == "llama3" and not (
            0 < self.low_frequency_factor < self.high_frequency_factor < math.inf
            and self.original_positions > 0
        ):
            raise invalid(
                "0 < low_freq_factor < high_freq_factor and original_max_position_embeddings > 0",
                (self.low_frequency_factor, self.high_frequency_factor, self.original_positions),
                "check the RoPE parameters in the model's config",
            )


@dataclass(frozen=True)
class ModelConfig:
    """One decoder of the Llama family.

    Args:
      family: "llama", "mistral", "qwen2" or "qwen3".
      vocabulary, hidden, intermediate, layers, heads, kv_heads, head_dim: sizes.
      eps: ε of every RMSNorm.
      rope: position embedding.
      positions: longest context the model was made for, in tokens.
      tied: the head is the embedding.
      qkv_bias, o_bias, mlp_bias: which linear layers have a bias.
      qk_norm: queries and keys are RMS-normalised per head (Qwen3).
      sliding: per layer, the number of keys a query sees (itself included); None sees all before it.
    """

    family: str
    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    eps: float
    rope: Rope
    positions: int
    tied: bool
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    sliding: tuple[int | None, ...] | None = None

    def __post_init__(self) -> None:
        for name in (
            "vocabulary",
            "hidden",
            "intermediate",
            "layers",
            "heads",
            "kv_heads",
            "head_dim",
            "positions",
        ):
            if getattr(self, name) < 1:
                raise invalid(f"{name} >= 1", getattr(self, name), "check the model's config")
        if self.heads % self.kv_heads:
            raise invalid(
                "heads a multiple of key/value heads", (self.heads, self.kv_heads), "check the model's config"
            )
        if self.head_dim % 2:
            raise invalid("head_dim even", self.head_dim, "RoPE rotates pairs; check the model's config")
        if self.rope.divisors and len(self.rope.divisors) != self.head_dim // 2:
            raise invalid(
                f"{self.head_dim // 2} divisors of RoPE frequencies, half of head_dim",
                len(self.rope.divisors),
                "the file is damaged",
            )
        if not 0 <= self.eps < math.inf:
            raise invalid("0 <= eps < infinity", self.eps, "check the model's config")
        if self.sliding is not None and (
            len(self.sliding) != self.layers
            or any(window is not None and window < 1 for window in self.sliding)
        ):
            raise invalid("one sliding window >= 1 or None a layer", self.sliding, "check the model's config")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter of one layer, weights as (out, in)."""
        hidden, inner = self.hidden, self.intermediate
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        shapes: dict[str, tuple[int, ...]] = {
            "attention_norm": (hidden,),
            "q_proj": (queries, hidden),
            "k_proj": (keys, hidden),
            "v_proj": (keys, hidden),
            "o_proj": (hidden, queries),
            "mlp_norm": (hidden,),
            "gate_proj": (inner, hidden),
            "up_proj": (inner, hidden),
            "down_proj": (hidden, inner),
        }
        if self.qkv_bias:
            shapes |= {"q_bias": (queries,), "k_bias": (keys,), "v_bias": (keys,)}
        if self.o_bias:
            shapes["o_bias"] = (hidden,)
        if self.mlp_bias:
            shapes |= {"gate_bias": (inner,), "up_bias": (inner,), "down_bias": (hidden,)}
        if self.qk_norm:
            shapes |= {"q_norm": (self.head_dim,), "k_norm": (self.head_dim,)}
        return shapes

    def outer_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter outside the layers."""
        shapes: dict[str, tuple[int, ...]] = {"embed": (self.vocabulary, self.hidden), "norm": (self.hidden,)}
        if not self.tied:
            shapes["head"] = (self.vocabulary, self.hidden)
        return shapes
