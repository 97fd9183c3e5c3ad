"""One decoder layer as a Flax NNX module, with a hook on its weights and one on its activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float, Int

from .attention import causal_attention
from .config import ModelConfig
from .layers import ACTIVATIONS, apply_linear, normalise, round_inputs
from .rope import rotate

MATRICES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SITES = ("attention_in", "attention_out", "mlp_in", "mlp_mid")
SITE_OF = {
    "q_proj": "attention_in",
    "k_proj": "attention_in",
    "v_proj": "attention_in",
    "o_proj": "attention_out",
    "gate_proj": "mlp_in",
    "up_proj": "mlp_in",
    "down_proj": "mlp_mid",
}


def features_at_sites(config: ModelConfig) -> dict[str, int]:
    """How many features enter the matrices at each site."""
    return {SITE_OF[name]: config.shapes()[name][1] for name in MATRICES}


Transform = Callable[[jax.Array, jax.Array, str], Any]
"""(weight, layer, name) to another weight, or to a function of the input that stands for the product."""
Observe = Callable[[jax.Array, jax.Array, str], Any]


class DecoderLayer(nnx.Module):
    """One decoder layer: attention and gated MLP, each added to the residual stream.

    Its parameters are those of `ModelConfig.shapes`, and it normalises where they hold a gain: before
    attention and MLP, after them, or before the matrices that end them. In `Llama` they carry a leading axis
    of layers and a scan hands each layer its slice.
    """

    def __init__(self, config: ModelConfig, layers: int | None = None, dtype: Any = jnp.float32):
        self.config = config
        lead = () if layers is None else (layers,)
        for name, shape in config.shapes().items():
            setattr(self, name, nnx.Param(jnp.ones((*lead, *shape), dtype)))

    def value(self, name: str) -> jax.Array:
        """The array of a parameter by its name."""
        return getattr(self, name)[...]

    def __call__(
        self,
        x: Float[jax.Array, "batch tokens hidden"],
        turn: tuple[jax.Array, jax.Array],
        layer: Int[jax.Array, ""],
        transform: Transform | None = None,
        observe: Observe | None = None,
        window: Int[jax.Array, ""] | None = None,
    ) -> tuple[Float[jax.Array, "batch tokens hidden"], dict[str, Any]]:
        """The residual stream after this layer, and what `observe` returned at each of the four `SITES`."""
        seen: dict[str, Any] = {}

        def look(value: jax.Array, site: str) -> jax.Array:
            if self.config.input_bits is not None:
                # Before it is observed: statistics are of what the products take.
                value = round_inputs(value, self.config.input_bits)
            if observe is not None:
                seen[site] = observe(value, layer, site)
            return value

        def linear(name: str, value: jax.Array) -> jax.Array:
            weight, bias = self.value(name), name.replace("_proj", "_bias")
            added = self.value(bias) if hasattr(self, bias) else None
            changed: Any = weight if transform is None else transform(weight, layer, name)
            # A function instead of a weight makes the product, for derivatives without that weight.
            if not callable(changed):
                return apply_linear(value, changed, added)
            product: Any = changed(value)
            return product if added is None else product + added[None, None]

        def norm(name: str, value: jax.Array) -> jax.Array:
            return normalise(value, self.value(name), self.config.eps) if hasattr(self, name) else value

        activation = ACTIVATIONS[self.config.activation]
        entering = look(norm("attention_norm", x), "attention_in")
        mixed = look(
            norm("attention_sub_norm", self._attend(entering, linear, turn, window)), "attention_out"
        )
        x = x + norm("attention_post_norm", linear("o_proj", mixed))
        entering = look(norm("mlp_norm", x), "mlp_in")
        middle = activation(linear("gate_proj", entering)) * linear("up_proj", entering)
        middle = look(norm("mlp_sub_norm", middle), "mlp_mid")
        return x + norm("mlp_post_norm", linear("down_proj", middle)), seen

    def _attend(
        self,
        x: jax.Array,
        linear: Callable[[str, jax.Array], jax.Array],
        turn: tuple[jax.Array, jax.Array],
        window: jax.Array | None,
    ) -> jax.Array:
        config = self.config

        def heads(letter: str) -> jax.Array:
            y = linear(f"{letter}_proj", x)
            if hasattr(self, f"{letter}_norm"):  # the gain's size says what is normalised together
                gain = self.value(f"{letter}_norm")
                y = normalise(y.reshape(*y.shape[:2], -1, gain.size), gain, config.eps)
            return y.reshape(*y.shape[:2], -1, config.head_dim)

        q, k, v = heads("q"), heads("k"), heads("v")
        return causal_attention(rotate(q, *turn), rotate(k, *turn), v, window)
