"""The model port's programs as functions of arrays, for whoever compiles or checks them on another device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from signmag_jax import models
from signmag_jax.measure import curvature
from signmag_jax.measure.quantization import BY_DIRECTION
from signmag_jax.measure.stretch import Movable
from signmag_jax.models.config import Rope
from signmag_jax.models.decoder_layer import MATRICES

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
        return models.token_nll(config, params, tokens, flipping(key))

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


def flipping(key: jax.Array) -> models.Transform:
    """Flips a thousandth of every matrix's signs, by masks that are made inside the program."""

    def transform(weight: jax.Array, layer: jax.Array, name: str) -> jax.Array:
        place = jax.random.fold_in(jax.random.fold_in(key, layer), MATRICES.index(name))
        # A float32 rate: the draw would be another one in x64.
        chosen = jax.random.bernoulli(place, jnp.float32(RATE), weight.shape)
        return jnp.where(chosen, -weight, weight)

    return transform


def shapes_of(config: models.ModelConfig) -> dict[str, Any]:
    """Shapes of the parameters, as `models.load` holds them."""
    blocks = {name: (config.layers, *shape) for name, shape in config.shapes().items()}
    return {**config.outer_shapes(), "blocks": blocks}
