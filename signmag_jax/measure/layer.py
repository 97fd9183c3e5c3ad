"""One layer on its own, from the residual stream that enters it to the next normalisation."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from signmag_jax.frechet import rmsnorm
from signmag_jax.models import SITE_OF, DecoderLayer, ModelConfig, Transform, hidden
from signmag_jax.models.layers import apply_linear
from signmag_jax.models.llama import window_of_each_layer
from signmag_jax.models.rope import rotation, turn_of_layer

BEFORE_MLP_NORM = ("q_proj", "k_proj", "v_proj", "o_proj")
"""Matrices after which the next normalisation is that of the MLP; after the others, the next layer's."""


class LayerStates(NamedTuple):
    """What a matrix feeds.

    Args:
      output: W x, without bias.
      stream: what enters the next normalisation: the residual stream, or what is added to it by a model
        that normalises that (`post_norm`).
      normalised: what leaves it, before the gain: rows of length √hidden.
    """

    output: Float[Array, "batch tokens outputs"]
    stream: Float[Array, "batch tokens hidden"]
    normalised: Float[Array, "batch tokens hidden"]


LEVELS = LayerStates._fields


def entering(
    config: ModelConfig, params: dict[str, Any], tokens: Int[Array, "batch tokens"]
) -> Float[Array, "layers batch tokens hidden"]:
    """The residual stream that enters each layer of the clean model."""
    _, streams = hidden(config, params, tokens, every_layer=True)
    # The embedding enters the first layer; what leaves one enters the next.
    start = jnp.take(params["embed"], tokens, axis=0)
    return jnp.concatenate([start[None], streams[:-1]])


def layer_states(
    config: ModelConfig,
    blocks: dict[str, Array],
    x: Float[Array, "batch tokens hidden"],
    layer: Int[Array, ""],
    name: str,
    transform: Transform | None = None,
) -> LayerStates:
    """Run one layer (traced) and follow what matrix `name` (static) feeds.

    Args:
      config: of the model.
      blocks: parameters of all layers, stacked.
      x: the stream that enters the layer.
      layer: its number.
      name: the matrix.
      transform: as in `models.token_nll`.
    """
    parameters = {key: leaf[layer] for key, leaf in blocks.items()}
    # The layer's structure without arrays; its slice of the stacked parameters fills it.
    graph, _ = nnx.split(nnx.eval_shape(lambda: DecoderLayer(config)))
    turn = turn_of_layer(config, rotation(config, x.shape[1], x.dtype), layer)
    windows = window_of_each_layer(config, x.shape[1])
    after, seen = nnx.merge(graph, parameters)(
        x, turn, layer, transform, lambda value, *_: value, None if windows is None else windows[layer]
    )

    def weight(which: str) -> Array:
        return parameters[which] if transform is None else transform(parameters[which], layer, which)

    stream = after
    if name in BEFORE_MLP_NORM:
        added = apply_linear(seen["attention_out"], weight("o_proj"), parameters.get("o_bias"))
        stream = added if config.post_norm else x + added
    elif config.post_norm:
        stream = apply_linear(seen["mlp_mid"], weight("down_proj"), parameters.get("down_bias"))
    output = apply_linear(seen[SITE_OF[name]], weight(name))
    return LayerStates(output, stream, rmsnorm(stream, None, config.eps))
