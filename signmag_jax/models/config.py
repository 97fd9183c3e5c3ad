"""The architecture of a Llama-family model: what the forward pass needs to know, and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass

from signmag_jax.evidence import invalid

ROPE_KINDS = ("default", "linear", "llama3", "divided")
ACTIVATIONS = (
    *("silu", "relu", "relu2", "gelu", "gelu_tanh", "quick_gelu"),
    *("mish", "hardswish", "leaky_relu", "relu6", "sigmoid", "tanh", "linear"),
)
QK_NORMS = (None, "head", "all")


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
      features: how many of a head's features are rotated, from the first on; None rotates all.
      scale: what cosines and sines are multiplied by (LongRoPE).
    """

    theta: float = 10000.0
    kind: str = "default"
    factor: float = 1.0
    low_frequency_factor: float = 1.0
    high_frequency_factor: float = 1.0
    original_positions: int = 0
    divisors: tuple[float, ...] = ()
    features: int | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in ROPE_KINDS:
            raise invalid(
                f"RoPE type in {ROPE_KINDS}", self.kind, "this port knows no other; use another model"
            )
        if not (1 < self.theta < math.inf and 0 < self.factor < math.inf and 0 < self.scale < math.inf):
            raise invalid(
                "RoPE theta > 1, factor > 0 and scale > 0, all finite",
                (self.theta, self.factor, self.scale),
                "check the model's config",
            )
        if any(not 0 < divisor < math.inf for divisor in self.divisors) or (
            bool(self.divisors) != (self.kind == "divided")
        ):
            raise invalid(
                "divisors of RoPE frequencies positive and finite", self.divisors[:8], "the file is damaged"
            )
        if self.kind == "llama3" and not (
            0 < self.low_frequency_factor < math.inf
            and 0 < self.high_frequency_factor < math.inf
            and self.original_positions > 0
        ):
            raise invalid(
                "low_freq_factor > 0, high_freq_factor > 0 and original_max_position_embeddings > 0",
                (self.low_frequency_factor, self.high_frequency_factor, self.original_positions),
                "check the RoPE parameters in the model's config",
            )


@dataclass(frozen=True)
class ModelConfig:
    """One decoder of the Llama family.

    Args:
      family: `model_type` of the hub's config: "llama", "mistral", "qwen2", "qwen3", "smollm3", "olmo2",
        "phi3" or "bitnet". It names the model; what is computed follows from the fields below alone.
      vocabulary, hidden, intermediate, layers, heads, kv_heads, head_dim: sizes.
      eps: ε of every RMSNorm.
      rope: position embedding.
      positions: longest context the model was made for, in tokens.
      tied: the head is the embedding.
      qkv_bias, o_bias, mlp_bias: which linear layers have a bias.
      activation: of the MLP's gate, one of `ACTIVATIONS`; "relu2" is ReLU², "gelu_tanh" GELU by tanh,
        "quick_gelu" x σ(1.702 x).
      qk_norm: queries and keys are RMS-normalised, each "head" on its own (Qwen3) or "all" heads of a token
        together (OLMo-2); None for neither.
      post_norm: a layer normalises what attention and MLP add to the stream, not what they read (OLMo-2).
      sub_norms: what enters o_proj and down_proj is RMS-normalised (BitNet).
      input_bits: bits to which the inputs of the seven matrices are rounded, token by token (BitNet: 8); None
        leaves them as they are. Derivatives take the rounding for the identity.
      sliding: per layer, the number of keys a query sees (itself included); None sees all before it.
      rotated: per layer, whether RoPE turns queries and keys (SmolLM3: not in every fourth); None: in all.
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
    activation: str = "silu"
    qk_norm: str | None = None
    post_norm: bool = False
    sub_norms: bool = False
    input_bits: int | None = None
    sliding: tuple[int | None, ...] | None = None
    rotated: tuple[bool, ...] | None = None

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
        for name, known in (("activation", ACTIVATIONS), ("qk_norm", QK_NORMS)):
            if getattr(self, name) not in known:
                raise invalid(f"{name} in {known}", getattr(self, name), "this port knows no other")
        turned = self.head_dim if self.rope.features is None else self.rope.features
        if turned % 2 or not 0 < turned <= self.head_dim:
            raise invalid("head_dim even", turned, "RoPE rotates pairs; check the model's config")
        if self.input_bits is not None and not 2 <= self.input_bits <= 16:
            raise invalid("2 <= input_bits <= 16", self.input_bits, "check the model's config")
        if self.rope.divisors and len(self.rope.divisors) != turned // 2:
            raise invalid(
                f"{turned // 2} divisors of RoPE frequencies, half of what is rotated",
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
        if self.rotated is not None and len(self.rotated) != self.layers:
            raise invalid(
                f"rotated or not for each of {self.layers} layers",
                len(self.rotated),
                "check the model's config",
            )

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter of one layer, weights as (out, in)."""
        hidden, inner = self.hidden, self.intermediate
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        shapes: dict[str, tuple[int, ...]] = {
            ("attention_post_norm" if self.post_norm else "attention_norm"): (hidden,),
            "q_proj": (queries, hidden),
            "k_proj": (keys, hidden),
            "v_proj": (keys, hidden),
            "o_proj": (hidden, queries),
            ("mlp_post_norm" if self.post_norm else "mlp_norm"): (hidden,),
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
            each = self.qk_norm == "head"
            shapes |= {"q_norm": (self.head_dim if each else queries,)}
            shapes |= {"k_norm": (self.head_dim if each else keys,)}
        if self.sub_norms:
            shapes |= {"attention_sub_norm": (queries,), "mlp_sub_norm": (inner,)}
        return shapes

    def outer_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter outside the layers."""
        shapes: dict[str, tuple[int, ...]] = {"embed": (self.vocabulary, self.hidden), "norm": (self.hidden,)}
        if not self.tied:
            shapes["head"] = (self.vocabulary, self.hidden)
        return shapes
