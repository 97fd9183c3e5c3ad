"""The model port's programs as functions of arrays, for whoever compiles or checks them on another device."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from signmag_jax import models
from signmag_jax.measure import curvature
from signmag_jax.measure.flips import Draws, Recipe
from signmag_jax.measure.pools import ALL, Pools
from signmag_jax.measure.quantization import BY_DIRECTION
from signmag_jax.measure.stretch import Movable
from signmag_jax.models.config import Rope
from signmag_jax.models.decoder_layer import MATRICES, features_at_sites

# The sizes of SmolLM2-135M: compilation does not depend on the number of layers, nor on the numbers in them.
SMOLLM2 = models.ModelConfig(
    family="llama",
    vocabulary=49152,
    hidden=576,
    intermediate=1536,
    layers=30,
    heads=9,
    kv_heads=3,
    head_dim=64,
    eps=1e-5,
    rope=Rope(theta=1e5),
    positions=8192,
    tied=True,
)
RATE = 1e-3

Program = Callable[[dict[str, Any], jax.Array, jax.Array], Any]
"""Of parameters, windows of tokens and a key."""


def of_model(config: models.ModelConfig) -> dict[str, Program]:
    """Loss, flips, quantisers, gradient and Hessian products of a model."""
    movable = Movable(MATRICES, jnp.ones(config.layers), {})

    def flips(params: dict[str, Any], tokens: jax.Array, key: jax.Array) -> Any:
        return models.token_nll(config, params, tokens, flipping(config, key))

    def quantisers(params: dict[str, Any], tokens: jax.Array, key: jax.Array) -> Any:
        weights = params["blocks"]["gate_proj"]
        return [jax.lax.map(lambda w, one=one: one.apply(key, w), weights) for one in BY_DIRECTION.values()]

    def gradient(params: dict[str, Any], tokens: jax.Array, key: jax.Array) -> Any:
        return curvature.slopes(curvature.WindowLoss(config, params, tokens), movable)

    def probe(of: Callable[..., Any]) -> Program:
        return lambda params, tokens, key: of(curvature.WindowLoss(config, params, tokens), movable, key)

    return {
        "loss": lambda params, tokens, key: models.token_nll(config, params, tokens),
        "flips": flips,
        "quantisers": quantisers,
        "gradient": gradient,
        "residual probe": probe(curvature.residual_probe),
        "gauss newton probe": probe(curvature.gauss_newton_probe),
        "fisher probe": probe(curvature.fisher_probe),
    }


def flipping(config: models.ModelConfig, key: jax.Array) -> models.Transform:
    """Flips a thousandth of every matrix's signs, drawn within the program as the measurements draw them."""
    features = features_at_sites(config)
    sizes = {name: config.shapes()[name] for name in MATRICES}
    flipped = {name: int(RATE * math.prod(size)) for name, size in sizes.items()}
    # No column is an outlier: the order of all is their own.
    columns = {site: np.arange(width, dtype=np.int32) for site, width in features.items()}
    order = {site: np.tile(each, (config.layers, 1)) for site, each in columns.items()}
    outputs = {name: rows for name, (rows, _) in sizes.items()}
    pools = Pools(order, dict.fromkeys(features, 0), outputs, tuple(range(config.layers)))
    recipe = Recipe(
        key,
        jnp.int32(0),
        {site: jnp.int32(0) for site in features},
        {site: jnp.int32(width) for site, width in features.items()},
        {name: jnp.full(config.layers, count, jnp.int32) for name, count in flipped.items()},
        None,
    )
    return Draws(pools, {ALL: config.layers * sum(flipped.values())}, key).transform(recipe)


def shapes_of(config: models.ModelConfig) -> dict[str, Any]:
    """Shapes of the parameters, as `models.load` holds them."""
    blocks = {name: (config.layers, *shape) for name, shape in config.shapes().items()}
    return {**config.outer_shapes(), "blocks": blocks}
