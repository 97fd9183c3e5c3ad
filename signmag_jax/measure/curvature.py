"""First and second derivatives of a window's loss along its own weights, summed by column inside one program.

With u = ξ∘w and independent random signs ξ, `E[u ∘ Hu]_i = H_ii w_i²` for every weight at once. A sum of
these over any set of weights is therefore an unbiased estimate of what their flips cost in second order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from signmag_jax.evidence import keys
from signmag_jax.evidence.precision import at_least_float32
from signmag_jax.models import Llama, ModelConfig, next_token_nll

Weights = dict[str, Float[Array, "layers _ _"]]
"""Stacked matrices by name, outputs × inputs in each layer."""

ByColumn = dict[str, Float[Array, "layers _"]]
"""One number for each input column of each layer, by matrix."""

Product = Callable[[ModelConfig, dict[str, Any], Array, Weights, Weights], Weights]
"""A matrix times a vector, as a function of model, parameters, windows, weights and the vector."""

Probe = Callable[[ModelConfig, tuple[str, ...], dict[str, Any], Array, "Movable", PRNGKeyArray], ByColumn]

LABEL_CHUNK = 256


class Movable(NamedTuple):
    """Which weights the derivatives are taken along.

    Args:
      layers: 1 for a layer that takes part, else 0.
      fixed: per matrix, layers, rows and columns of single weights that do not (their cost is known exactly);
        a row past the last stands for none.
    """

    layers: Float[Array, " layers"]
    fixed: dict[str, tuple[Int[Array, " some"], Int[Array, " some"], Int[Array, " some"]]]


def loss(
    config: ModelConfig, params: dict[str, Any], tokens: Int[Array, "batch window"], weights: Weights
) -> Float[Array, ""]:
    """Mean NLL of the windows with these matrices in place of the model's own."""
    return _head_loss(config, params, _states(config, params, tokens, weights), tokens)


def masked(weights: Weights, movable: Movable) -> Weights:
    """The weights that take part; zeros where they do not."""
    found = {}
    for name, stacked in weights.items():
        kept = stacked * movable.layers.astype(stacked.dtype)[:, None, None]
        found[name] = kept.at[movable.fixed[name]].set(0.0, mode="drop") if name in movable.fixed else kept
    return found


def signed(weights: Weights, key: PRNGKeyArray) -> Weights:
    """ξ∘w with independent random signs."""
    return {
        name: w * jax.random.rademacher(keys.fold(key, name), w.shape, w.dtype) for name, w in weights.items()
    }


@functools.partial(jax.jit, static_argnums=(0, 1))
def slopes(
    config: ModelConfig,
    names: tuple[str, ...],
    params: dict[str, Any],
    tokens: Int[Array, "batch window"],
    movable: Movable,
) -> ByColumn:
    """`Σ_i g_i w_i` over each column."""
    weights = _chosen(params, names)
    found = jax.grad(functools.partial(loss, config, params, tokens))(weights)
    return _sums(found, masked(weights, movable))


def _hutchinson(product: Product) -> Probe:
    """One Hutchinson probe of `Σ_i M_ii w_i²` over each column, from the product of M with a vector."""

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def probe(
        config: ModelConfig,
        names: tuple[str, ...],
        params: dict[str, Any],
        tokens: Int[Array, "batch window"],
        movable: Movable,
        key: PRNGKeyArray,
    ) -> ByColumn:
        weights = _chosen(params, names)
        along = signed(masked(weights, movable), key)
        return _sums(product(config, params, tokens, weights, along), along)

    return probe


def _hessian_product(
    config: ModelConfig, params: dict[str, Any], tokens: Array, weights: Weights, along: Weights
) -> Weights:
    """H·along, forward over reverse."""
    gradient = jax.grad(functools.partial(loss, config, params, tokens))
    return jax.jvp(gradient, (weights,), (along,))[1]


def _gauss_newton_product(
    config: ModelConfig, params: dict[str, Any], tokens: Array, weights: Weights, along: Weights
) -> Weights:
    """`Jᵀ H_out J`·along: the logits' own curvature, the model taken as linear.

    The head is linear and not perturbed, so H_out acts on the final states and no logits are kept.
    """
    run = functools.partial(_states, config, params, tokens)
    states, pull = jax.vjp(run, weights)
    moved = jax.jvp(run, (weights,), (along,))[1]
    slope = jax.grad(lambda found: _head_loss(config, params, found, tokens))
    return pull(jax.jvp(slope, (states,), (moved,))[1])[0]


hessian_probe = _hutchinson(_hessian_product)
gauss_newton_probe = _hutchinson(_gauss_newton_product)


@functools.partial(jax.jit, static_argnums=(0, 1))
def fisher_probe(
    config: ModelConfig,
    names: tuple[str, ...],
    params: dict[str, Any],
    tokens: Int[Array, "batch window"],
    movable: Movable,
    key: PRNGKeyArray,
) -> ByColumn:
    """`Σ_i G_ii w_i²` over each column by one backward pass, see `fisher`."""
    found = fisher(config, names, params, tokens, key)
    return {
        name: jnp.sum((found[name] * w) ** 2, axis=1)
        for name, w in masked(_chosen(params, names), movable).items()
    }


@functools.partial(jax.jit, static_argnums=0)
def along(
    config: ModelConfig,
    params: dict[str, Any],
    tokens: Int[Array, "batch window"],
    direction: Weights,
) -> Float[Array, " 3"]:
    """Loss, `g·e` and `eᵀHe` along one direction e, forward over forward: no backward pass."""
    weights = _chosen(params, tuple(direction))
    whole = functools.partial(loss, config, params, tokens)

    def rising(moved: Weights) -> tuple[Array, Array]:
        return jax.jvp(whole, (moved,), (direction,))

    (clean, first), (_, second) = jax.jvp(rising, (weights,), (direction,))
    return jnp.stack([clean, first, second])


def fisher(
    config: ModelConfig,
    names: tuple[str, ...],
    params: dict[str, Any],
    tokens: Int[Array, "batch window"],
    key: PRNGKeyArray,
) -> Weights:
    """√T · gradient of the mean loss at labels that the model itself draws.

    Its square has the diagonal of the Gauss–Newton matrix as its mean: with y_t ~ p(· | x_≤t) the terms of
    different t are uncorrelated, and Cov(p − y) is the Hessian of the cross-entropy in the logits.
    """
    weights = _chosen(params, names)
    states, pull = jax.vjp(functools.partial(_states, config, params, tokens), weights)
    labels = jnp.concatenate([tokens[:, :1], _drawn(config, params, states[:, :-1], key)], axis=1)
    slope = jax.grad(lambda found: _head_loss(config, params, found, labels))(states)
    count = tokens.shape[0] * (tokens.shape[1] - 1)
    return {name: found * count**0.5 for name, found in pull(slope)[0].items()}


def _drawn(
    config: ModelConfig,
    params: dict[str, Any],
    states: Float[Array, "batch predicted hidden"],
    key: PRNGKeyArray,
) -> Int[Array, "batch predicted"]:
    """One next token for each state, a chunk of logits at a time."""
    batch, length, width = states.shape
    chunk = min(LABEL_CHUNK, batch * length)
    rows = states.reshape(batch * length, width)
    rows = jnp.pad(rows, ((0, -len(rows) % chunk), (0, 0))).reshape(-1, chunk, width)
    head = _head(config, params)

    def one(piece: tuple[Array, Array]) -> Array:
        logits = jnp.einsum("th,vh->tv", piece[0], head, precision=jax.lax.Precision.HIGHEST)
        wide = logits.astype(at_least_float32(logits.dtype))
        return jax.random.categorical(keys.fold(key, piece[1]), wide).astype(jnp.int32)

    found = jax.lax.map(one, (rows, jnp.arange(len(rows), dtype=jnp.int32)))
    return found.reshape(-1)[: batch * length].reshape(batch, length)


def _states(
    config: ModelConfig, params: dict[str, Any], tokens: Int[Array, "batch window"], weights: Weights
) -> Float[Array, "batch window hidden"]:
    moved = {**params, "blocks": {**params["blocks"], **weights}}
    return Llama.of_parameters(config, moved).run(tokens)[0]


def _head_loss(
    config: ModelConfig,
    params: dict[str, Any],
    states: Float[Array, "batch window hidden"],
    tokens: Int[Array, "batch window"],
) -> Float[Array, ""]:
    return next_token_nll(states, tokens, _head(config, params)).mean()


def _head(config: ModelConfig, params: dict[str, Any]) -> Float[Array, "vocabulary hidden"]:
    return params["embed"] if config.tied else params["head"]


def _chosen(params: dict[str, Any], names: tuple[str, ...]) -> Weights:
    return {name: params["blocks"][name] for name in names}


def _sums(found: Weights, along: Weights) -> ByColumn:
    return {name: jnp.sum(found[name] * w, axis=1) for name, w in along.items()}
