"""The Llama family as a Flax NNX module: one block whose parameters are stacked over the layers."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float, Int

from . import attention_kernel
from .config import ModelConfig
from .decoder_layer import DecoderLayer, Observe, Transform
from .layers import apply_linear, normalise
from .rope import rotation, turn_of_layer
from .sharding import over_data


class Llama(nnx.Module):
    """Embedding, a scan over the stacked `blocks`, RMSNorm and head (the embedding where tied)."""

    def __init__(self, config: ModelConfig, dtype: Any = jnp.float32):
        self.config = config
        shapes = config.outer_shapes()
        self.embed = nnx.Param(jnp.ones(shapes["embed"], dtype))
        self.blocks = DecoderLayer(config, config.layers, dtype)
        self.norm = nnx.Param(jnp.ones(shapes["norm"], dtype))
        if not config.tied:
            self.head = nnx.Param(jnp.ones(shapes["head"], dtype))

    @classmethod
    def of_parameters(cls, config: ModelConfig, params: dict[str, Any]) -> Llama:
        """The module that holds `params` (a nested dict of arrays), without copying them."""
        # Shapes only: the module is never filled with numbers of its own.
        graph, _ = nnx.split(nnx.eval_shape(lambda: cls(config)))
        return nnx.merge(graph, params)

    def parameters(self) -> dict[str, Any]:
        """The nested dict of arrays that the pure functions take."""
        return nnx.to_pure_dict(nnx.state(self, nnx.Param))

    def __call__(self, tokens: Int[jax.Array, "batch tokens"]) -> Float[jax.Array, "batch tokens vocabulary"]:
        """All logits at once: for looking at a short text. Losses come from `token_nll`, in little memory."""
        hidden, _, _ = self.run(tokens)
        return apply_linear(hidden, self.head_weight())

    def head_weight(self) -> Float[jax.Array, "vocabulary hidden"]:
        """The matrix that turns hidden states into logits."""
        return self.embed[...] if self.config.tied else self.head[...]

    def run(
        self,
        tokens: Int[jax.Array, "batch tokens"],
        transform: Transform | None = None,
        observe: Observe | None = None,
        every_layer: bool = False,
        keep_products: bool = False,
    ) -> tuple[Float[jax.Array, "batch tokens hidden"], dict[str, Any], jax.Array | None]:
        """Final normalised states, observations stacked over layers, and (on request) the stream after each.

        All windows of the batch pass through one layer before the next, so a transformed weight is built
        once a layer and lives only inside the scan's body; its backward pass recomputes the layer, all but
        the products with weight matrices where `keep_products` spends the memory on them.
        """
        config, x = self.config, self.entering(tokens)
        turn = rotation(config, tokens.shape[1], x.dtype)
        graph, stacked = nnx.split(self.blocks)
        windows = window_of_each_layer(config, tokens.shape[1])

        def body(x: jax.Array, piece: tuple[Any, jax.Array, jax.Array | None]):
            parameters, layer, window = piece
            here = turn_of_layer(config, turn, layer)
            x, seen = nnx.merge(graph, parameters)(x, here, layer, transform, observe, window)
            return x, (seen, x if every_layer else None)

        # Without checkpoints a backward pass would keep every layer's activations; a scan needs no barrier
        # against merging them again (`prevent_cse`).
        layers = jnp.arange(config.layers, dtype=jnp.int32)
        kept = jax.checkpoint_policies.dots_with_no_batch_dims_saveable if keep_products else None
        x, (seen, streams) = jax.lax.scan(
            jax.checkpoint(body, prevent_cse=False, policy=kept),
            x,
            (nnx.to_pure_dict(stacked), layers, windows),
        )
        return self.leaving(x), seen, streams

    def entering(self, tokens: Int[jax.Array, "batch tokens"]) -> Float[jax.Array, "batch tokens hidden"]:
        """The residual stream that enters the first layer."""
        embed = self.embed[...]
        return jnp.take(embed, over_data(tokens, embed), axis=0)

    def through(
        self,
        x: Float[jax.Array, "batch tokens hidden"],
        first: Int[jax.Array, ""],
        end: Int[jax.Array, ""],
        transform: Transform | None = None,
    ) -> Float[jax.Array, "batch tokens hidden"]:
        """The residual stream that enters layer `end`, from that which enters layer `first`, both traced.

        One program for any part of the layers; it has no backward pass.
        """
        config = self.config
        turn = rotation(config, x.shape[1], x.dtype)
        graph, stacked = nnx.split(self.blocks)
        windows = window_of_each_layer(config, x.shape[1])
        leaves = nnx.to_pure_dict(stacked), windows

        def body(layer: jax.Array, x: jax.Array) -> jax.Array:
            parameters, window = jax.tree.map(lambda leaf: leaf[layer], leaves)
            here = turn_of_layer(config, turn, layer)
            return nnx.merge(graph, parameters)(x, here, layer, transform, None, window)[0]

        return jax.lax.fori_loop(first, end, body, x)

    def leaving(self, x: Float[jax.Array, "batch tokens hidden"]) -> Float[jax.Array, "batch tokens hidden"]:
        """Final normalised states, from the residual stream after the last layer."""
        return normalise(x, self.norm[...], self.config.eps)


def window_of_each_layer(config: ModelConfig, tokens: int) -> jax.Array | None:
    """How many keys a query sees in each layer; None where all see all before them."""
    # None and not the whole length: a mask that hides nothing is then not compiled.
    if config.sliding is None or all(window is None or window >= tokens for window in config.sliding):
        return None
    return jnp.asarray([tokens if w is None else min(w, tokens) for w in config.sliding], jnp.int32)


def attention_of(config: ModelConfig, params: dict[str, Any], windows: int, tokens: int) -> str:
    """What attention without derivatives is made of, so many windows at a time: a kernel or spans.

    Their losses differ by what rounding may do.
    """
    embed = params["embed"]
    plain = len(embed.sharding.device_set) == 1 and window_of_each_layer(config, tokens) is None
    shape = windows, tokens, config.heads, config.head_dim
    return attention_kernel.made_of(shape, config.kv_heads, embed.dtype, plain).partition(":")[0]
