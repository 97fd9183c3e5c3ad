"""First and second derivatives of a window's loss along its own weights, summed by column inside one program.

With u = ξ∘w and independent random signs ξ, `E[u ∘ Hu]_i = H_ii w_i²` for every weight at once. A sum of
these over any set of columns is therefore an unbiased estimate of what their flips cost in second order. The
Gauss–Newton part of H, a sum of squares, and the rest are probed apart, each in its less noisy way.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from signmag_jax.evidence import keys
from signmag_jax.evidence.compiling import jit
from signmag_jax.evidence.precision import at_least_float32
from signmag_jax.models import LanguageModel, Llama, ModelConfig, Transform, next_token_nll
from signmag_jax.models.chunks import in_chunks
from signmag_jax.models.forward import LOGIT_CHUNK
from signmag_jax.models.layers import apply_linear

from . import stretch
from .stretch import Movable

Weights = dict[str, Float[Array, "layers _ _"]]
"""Stacked matrices by name, outputs × inputs in each layer."""

ByColumn = dict[str, Float[Array, "layers _"]]
"""One number for each input column of each layer, by matrix."""

ByPool = dict[str, Float[Array, "pools layers _"]]
"""One number for each input column of each layer and each of several pools, by matrix."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class WindowLoss:
    """Mean NLL of some windows, as a function of a model's matrices.

    Args:
      config, params: of the model.
      tokens: the windows.
    """

    config: ModelConfig = field(metadata={"static": True})
    params: dict[str, Any]
    tokens: Int[Array, "batch window"]

    @classmethod
    def of(cls, model: LanguageModel, window: Int[np.ndarray, " window"]) -> WindowLoss:
        """The loss of one window."""
        return cls(model.config, model.params, jnp.asarray(window[None], jnp.int32))

    def __call__(self, weights: Weights) -> Float[Array, ""]:
        """The loss with these matrices instead of the model's own."""
        return self.of_states(self.states(weights))

    def weights(self, names: Sequence[str]) -> Weights:
        """The model's own matrices."""
        return {name: self.params["blocks"][name] for name in names}

    def states(self, weights: Weights, keep_products: bool = False) -> Float[Array, "batch window hidden"]:
        """Final states with these matrices instead of the model's own."""
        moved = {**self.params, "blocks": {**self.params["blocks"], **weights}}
        return Llama.of_parameters(self.config, moved).run(self.tokens, keep_products=keep_products)[0]

    def transformed(self, transform: Transform) -> Float[Array, "batch window hidden"]:
        """Final states with transformed matrices, products kept for a backward pass."""
        model = Llama.of_parameters(self.config, self.params)
        return model.run(self.tokens, transform, keep_products=True)[0]

    def of_states(self, states: Float[Array, "batch window hidden"]) -> Float[Array, ""]:
        """The loss of final states."""
        return next_token_nll(states, self.tokens, self.head).mean()

    @property
    def head(self) -> Float[Array, "vocabulary hidden"]:
        """The matrix that turns states into logits."""
        return self.params["embed"] if self.config.tied else self.params["head"]


@jit
def slopes(loss: WindowLoss, movable: Movable) -> ByColumn:
    """`Σ_i g_i w_i` over each column."""
    gradient = jax.grad(functools.partial(_stretched, loss, movable))
    return movable.columns(gradient(movable.none(loss.params)))


@jit
def residual_probe(loss: WindowLoss, movable: Movable, key: PRNGKeyArray) -> ByColumn:
    """One Hutchinson probe of `Σ_i (H − G)_ii w_i²` over each column, reverse over forward.

    H − G is the curvature of the final states, weighted with the gradient of the loss in them: with that
    gradient held fixed, what differentiates twice is H − G alone. Its probes scatter less than those of H.
    """
    run = functools.partial(_with_signs, loss, movable, key)
    none, moved = movable.none(loss.params), movable.all(loss.params)

    # The other way round is wrong: for a reverse pass JAX drops the rule of `stretch`'s product.
    def rising(stretches: ByColumn) -> Array:
        states, rise = jax.jvp(run, (stretches,), (moved,))
        # Held fixed: the head's own curvature, G, is then no part of what is differentiated.
        return jnp.vdot(jax.grad(loss.of_states)(jax.lax.stop_gradient(states)), rise)

    return movable.columns(jax.grad(rising)(none))


@jit
def gauss_newton_probe(loss: WindowLoss, movable: Movable, key: PRNGKeyArray) -> ByColumn:
    """One probe of `Σ_i G_ii w_i²` over each column, G = `Jᵀ H_out J`: the model taken as linear.

    The head is linear and not perturbed, so H_out acts on the final states and no logits are kept.
    """
    run = functools.partial(_with_signs, loss, movable, key)
    none = movable.none(loss.params)
    states, push = jax.linearize(run, none)
    moved = push(movable.all(loss.params))
    curved = jax.jvp(jax.grad(loss.of_states), (states,), (moved,))[1]
    return movable.columns(jax.linear_transpose(push, none)(curved)[0])


@jit
def bent(loss: WindowLoss, movable: Movable, columns: ByPool) -> Float[Array, " pools"]:
    """`wᵀHw` along the weights of some columns (1 there, else 0) of each pool, forward over forward."""
    # One number along one direction: a backward pass would keep activations for derivatives nobody asks for.
    none, every = movable.none(loss.params), movable.all(loss.params)
    whole = functools.partial(_stretched, loss, movable)

    # Side by side: what is the same along all of them is computed once.
    @jax.vmap
    def one(inside: ByColumn) -> Array:
        moved = {name: inside[name] * stretch for name, stretch in every.items()}

        def rising(stretches: ByColumn) -> Array:
            return jax.jvp(whole, (stretches,), (moved,))[1]

        return jax.jvp(rising, (none,), (moved,))[1]

    return one(columns)


@jit
def fisher_probe(loss: WindowLoss, movable: Movable, key: PRNGKeyArray) -> ByColumn:
    """One probe of `Σ_i G_ii w_i²` over each column by one backward pass, see `fisher`."""
    root = fisher(loss, movable.names, key)
    weights = movable.weights(loss.weights(movable.names))
    return {name: jnp.sum((root[name] * w) ** 2, axis=1) for name, w in weights.items()}


@jit
def along(loss: WindowLoss, direction: Weights) -> Float[Array, " 3"]:
    """Loss, `g·e` and `eᵀHe` along one direction e, forward over forward: no backward pass."""

    def rising(moved: Weights) -> tuple[Array, Array]:
        return jax.jvp(loss, (moved,), (direction,))

    (clean, first), (_, second) = jax.jvp(rising, (loss.weights(tuple(direction)),), (direction,))
    return jnp.stack([clean, first, second])


def fisher(loss: WindowLoss, names: Sequence[str], key: PRNGKeyArray) -> Weights:
    """A random vector whose square has the Gauss–Newton matrix's diagonal as its mean: one backward pass.

    `Σ_t J_tᵀ v_t/√T` with `v = √p∘r − p(√p·r)`, r random signs: `E v vᵀ = diag p − p pᵀ`, the Hessian of the
    cross-entropy in the logits, and the terms of different tokens are uncorrelated. Labels drawn from the
    model, v = e_y − p, have the same mean; their square scatters more, as a rare label weighs much.
    """
    run = functools.partial(loss.states, keep_products=True)
    states, pull = jax.vjp(run, loss.weights(names))
    return pull(pushed_back(loss.head, states, key))[0]


def pushed_back(
    head: Float[Array, "vocabulary hidden"], states: Float[Array, "batch window hidden"], key: PRNGKeyArray
) -> Float[Array, "batch window hidden"]:
    """`headᵀ v_t/√T` of each state, v as in `fisher`, a chunk of logits at a time; 0 of the last."""
    batch, length, width = states.shape
    # The last state predicts nothing.
    count = batch * (length - 1)
    rows = in_chunks(states[:, :-1].reshape(count, width), min(LOGIT_CHUNK, count))

    def one(piece: tuple[Array, Array]) -> Array:
        logits = apply_linear(piece[0], head)
        # √p∘r has the covariance diag p; less its component along p it has diag p − p pᵀ.
        p = jax.nn.softmax(logits.astype(at_least_float32(logits.dtype)))
        root = jnp.sqrt(p) * stretch.signs(keys.fold(key, piece[1]), p.shape, p.dtype)
        v = root - p * jnp.sum(root, axis=1, keepdims=True)
        return apply_linear(v.astype(head.dtype), head.T)

    pushed = jax.lax.map(one, (rows, jnp.arange(len(rows), dtype=jnp.int32)))
    pushed = pushed.reshape(-1, width)[:count].reshape(batch, length - 1, width) / count**0.5
    return jnp.pad(pushed, ((0, 0), (0, 1), (0, 0)))


def _stretched(loss: WindowLoss, movable: Movable, stretches: ByColumn) -> Float[Array, ""]:
    return loss.of_states(loss.transformed(stretch.stretched(stretches, movable)))


def _with_signs(
    loss: WindowLoss, movable: Movable, key: PRNGKeyArray, stretches: ByColumn
) -> Float[Array, "batch window hidden"]:
    return loss.transformed(stretch.stretched_signs(stretches, movable, key, loss.config.shapes()))
