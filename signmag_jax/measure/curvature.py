"""First and second derivatives of a window's loss along its own weights, summed by column inside one program.

With u = ξ∘w and independent random signs ξ, `E[u ∘ Hu]_i = H_ii w_i²` for every weight at once. A sum of
these over any set of columns is therefore an unbiased estimate of what their flips cost in second order. The
Gauss–Newton part of H, a sum of squares, and the rest are probed apart, each in its less noisy way.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from signmag_jax.evidence import keys
from signmag_jax.evidence.precision import at_least_float32
from signmag_jax.models import Llama, ModelConfig, next_token_nll
from signmag_jax.models.layers import apply_linear

from . import stretch
from .stretch import Movable

Weights = dict[str, Float[Array, "layers _ _"]]
"""Stacked matrices by name, outputs × inputs in each layer."""

ByColumn = dict[str, Float[Array, "layers _"]]
"""One number for each input column of each layer, by matrix."""

LOGIT_CHUNK = 256


def loss(
    config: ModelConfig, params: dict[str, Any], tokens: Int[Array, "batch window"], weights: Weights
) -> Float[Array, ""]:
    """Mean NLL of the windows with these matrices in place of the model's own."""
    return _head_loss(config, params, final_states(config, params, tokens, weights), tokens)


def masked(weights: Weights, movable: Movable) -> Weights:
    """The weights that take part; zeros where they do not."""
    found = {}
    for name, stacked in weights.items():
        kept = stacked * movable.layers.astype(stacked.dtype)[:, None, None]
        found[name] = kept.at[movable.fixed[name]].set(0.0, mode="drop") if name in movable.fixed else kept
    return found


@functools.partial(jax.jit, static_argnums=(0, 1))
def slopes(
    config: ModelConfig,
    names: tuple[str, ...],
    params: dict[str, Any],
    tokens: Int[Array, "batch window"],
    movable: Movable,
) -> ByColumn:
    """`Σ_i g_i w_i` over each column."""
    gradient = jax.grad(functools.partial(_stretched_loss, config, params, tokens, movable))
    return _taking_part(gradient(stretch.none(params, names)), movable)


@functools.partial(jax.jit, static_argnums=(0, 1))
def residual_probe(
    config: ModelConfig,
    names: tuple[str, ...],
    params: dict[str, Any],
    tokens: Int[Array, "batch window"],
    movable: Movable,
    key: PRNGKeyArray,
) -> ByColumn:
    """One Hutchinson probe of `Σ_i (H − G)_ii w_i²` over each column, reverse over forward.

    H − G is the curvature of the final states, weighted with the gradient of the loss in them: with that
    gradient held fixed, what differentiates twice is H − G alone. Its probes scatter less than those of H.
    """
    run = functools.partial(_with_signs, config, params, tokens, movable, key)
    none = stretch.none(params, names)
    slope = jax.grad(lambda found: _head_loss(config, params, found, tokens))(run(none))
    moved = stretch.everywhere(params, names, movable)

    # The other way round is wrong: for a reverse pass JAX drops the rule of `stretch`'s product.
    def rising(stretches: ByColumn) -> Array:
        return jnp.vdot(slope, jax.jvp(run, (stretches,), (moved,))[1])

    return _taking_part(jax.grad(rising)(none), movable)


@functools.partial(jax.jit, static_argnums=(0, 1))
def gauss_newton_probe(
    config: ModelConfig,
    names: tuple[str, ...],
    params: dict[str, Any],
    tokens: Int[Array, "batch window"],
    movable: Movable,
    key: PRNGKeyArray,
) -> ByColumn:
    """The same with `Jᵀ H_out J` in place of H: the logits' own curvature, the model taken as linear.

    The head is linear and not perturbed, so H_out acts on the final states and no logits are kept.
    """
    run = functools.partial(_with_signs, config, params, tokens, movable, key)
    none = stretch.none(params, names)
    states, pull = jax.vjp(run, none)
    moved = jax.jvp(run, (none,), (stretch.everywhere(params, names, movable),))[1]
    slope = jax.grad(lambda found: _head_loss(config, params, found, tokens))
    return _taking_part(pull(jax.jvp(slope, (states,), (moved,))[1])[0], movable)


@functools.partial(jax.jit, static_argnums=(0, 1))
def bent(
    config: ModelConfig,
    names: tuple[str, ...],
    params: dict[str, Any],
    tokens: Int[Array, "batch window"],
    movable: Movable,
    columns: ByColumn,
) -> Float[Array, ""]:
    """`wᵀHw` along the weights of some columns (1 there, else 0), forward over forward."""
    moved = {name: columns[name] * one for name, one in stretch.everywhere(params, names, movable).items()}
    whole = functools.partial(_stretched_loss, config, params, tokens, movable)

    def rising(stretches: ByColumn) -> Array:
        return jax.jvp(whole, (stretches,), (moved,))[1]

    return jax.jvp(rising, (stretch.none(params, names),), (moved,))[1]


@functools.partial(jax.jit, static_argnums=(0, 1))
def fisher_probe(
    config: ModelConfig,
    names: tuple[str, ...],
    params: dict[str, Any],
    tokens: Int[Array, "batch window"],
    movable: Movable,
    key: PRNGKeyArray,
) -> ByColumn:
    """One probe of `Σ_i G_ii w_i²` over each column by one backward pass, see `fisher`."""
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
    """A random vector whose square has the Gauss–Newton matrix's diagonal as its mean: one backward pass.

    `Σ_t J_tᵀ v_t/√T` with `v = √p∘r − p(√p·r)`, r random signs: `E v vᵀ = diag p − p pᵀ`, the Hessian of the
    cross-entropy in the logits, and the terms of different tokens are uncorrelated. Labels drawn from the
    model, v = e_y − p, have the same mean; their square scatters more, as a rare label weighs much.
    """
    run = functools.partial(final_states, config, params, tokens, keep_products=True)
    states, pull = jax.vjp(run, _chosen(params, names))
    pushed = _curved(config, params, states[:, :-1], key)
    return pull(jnp.pad(pushed, ((0, 0), (0, 1), (0, 0))))[0]


def _curved(
    config: ModelConfig,
    params: dict[str, Any],
    states: Float[Array, "batch predicted hidden"],
    key: PRNGKeyArray,
) -> Float[Array, "batch predicted hidden"]:
    """`headᵀ v_t/√T` of each state, a chunk of logits at a time."""
    batch, length, width = states.shape
    count = batch * length
    chunk = min(LOGIT_CHUNK, count)
    rows = states.reshape(count, width)
    rows = jnp.pad(rows, ((0, -count % chunk), (0, 0))).reshape(-1, chunk, width)
    head = _head(config, params)

    def one(piece: tuple[Array, Array]) -> Array:
        raw = apply_linear(piece[0], head)
        p = jax.nn.softmax(raw.astype(at_least_float32(raw.dtype)))
        root = jnp.sqrt(p) * stretch.signs(keys.fold(key, piece[1]), p.shape, p.dtype)
        pushed = root - p * jnp.sum(root, axis=1, keepdims=True)
        return apply_linear(pushed.astype(head.dtype), head.T)

    found = jax.lax.map(one, (rows, jnp.arange(len(rows), dtype=jnp.int32)))
    return found.reshape(-1, width)[:count].reshape(batch, length, width) / count**0.5


def _stretched_loss(
    config: ModelConfig,
    params: dict[str, Any],
    tokens: Int[Array, "batch window"],
    movable: Movable,
    stretches: ByColumn,
) -> Float[Array, ""]:
    transform = stretch.stretched(stretches, movable)
    states = Llama.of_parameters(config, params).run(tokens, transform, keep_products=True)[0]
    return _head_loss(config, params, states, tokens)


def _with_signs(
    config: ModelConfig,
    params: dict[str, Any],
    tokens: Int[Array, "batch window"],
    movable: Movable,
    key: PRNGKeyArray,
    stretches: ByColumn,
) -> Float[Array, "batch window hidden"]:
    transform = stretch.stretched_signs(stretches, movable, key)
    return Llama.of_parameters(config, params).run(tokens, transform, keep_products=True)[0]


def _taking_part(found: ByColumn, movable: Movable) -> ByColumn:
    return {name: table * movable.layers.astype(table.dtype)[:, None] for name, table in found.items()}


def final_states(
    config: ModelConfig,
    params: dict[str, Any],
    tokens: Int[Array, "batch window"],
    weights: Weights,
    keep_products: bool = False,
) -> Float[Array, "batch window hidden"]:
    """The states that enter the head, as a function of the weights."""
    moved = {**params, "blocks": {**params["blocks"], **weights}}
    return Llama.of_parameters(config, moved).run(tokens, keep_products=keep_products)[0]


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
