"""The diagonal of the Gauss–Newton matrix for every single weight, token by token: one backward pass.

Of `y = Wx` a token's derivative in w_ij is `x_j ∂_i`. Its square, `x_j² ∂_i²`, is summed over the tokens by
one product of squares. A gradient sums first, and its square has one sample for each window, not each token.
Left out is what different positions have in common, as far as attention carries it from one to the other:
nothing in the last layer's MLP, where the diagonal is exact.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence import keys
from signmag_jax.evidence.compiling import jit
from signmag_jax.evidence.precision import at_least_float32
from signmag_jax.evidence.progress import progress
from signmag_jax.models import LanguageModel, Llama
from signmag_jax.models.layers import apply_linear

from .curvature import Weights, WindowLoss, pushed_back
from .inputs import Windows


def token_fisher(model: LanguageModel, tokens: Windows, names: tuple[str, ...], seed: int) -> Weights:
    """G_ii of every weight of some matrices, in nats per token and unit of the weight squared.

    `E_t E_v x_j² (J_tᵀ v)_i²`, with v from `curvature.fisher`: random signs whose covariance is the
    cross-entropy's Hessian in the logits. Terms between different positions are left out.

    Args:
      model: from `models.load`.
      tokens: windows; one backward pass each.
      names: matrices.
      seed: of the random signs.
    """
    root = keys.fold(keys.root(seed), "token fisher")
    total: Any = {name: jnp.zeros(model.params["blocks"][name].shape, jnp.float32) for name in names}
    with progress("derivatives", len(tokens)) as advance:
        for index, window in enumerate(tokens):
            part = _diagonal(WindowLoss.of(model, window), names, keys.fold(root, index))
            for name in names:  # each before the next: no second copy of them all exists
                total[name] = _add(total[name], part.pop(name), len(tokens))
            advance()
    return total


def _diagonal_of(loss: WindowLoss, names: tuple[str, ...], key: PRNGKeyArray) -> Weights:
    def states(weights: Weights) -> Array:
        moved = {**loss.params, "blocks": {**loss.params["blocks"], **weights}}
        model = Llama.of_parameters(loss.config, moved)
        return model.run(loss.tokens, _squaring(names), keep_products=True)[0]

    final, pull = jax.vjp(states, loss.weights(names))
    return pull(pushed_back(loss.head, final, key))[0]


_diagonal = jit(_diagonal_of, static_argnums=1)


@functools.partial(jit, donate_argnums=0, static_argnums=2)
def _add(total: Array, part: Array, windows: int) -> Array:
    return total + part.astype(jnp.float32) / windows


def _squaring(names: tuple[str, ...]) -> Any:
    def transform(weight: Float[Array, "outputs inputs"], layer: Array, name: str) -> Any:
        del layer
        return (lambda x: _product(x, weight)) if name in names else weight

    return transform


@jax.custom_vjp
def _product(x: Float[Array, "*batch inputs"], weight: Float[Array, "outputs inputs"]) -> Array:
    """`x Wᵀ`, whose cotangent in W is the sum of squares and not the square of the sum."""
    return apply_linear(x, weight)


def _forward(x: Array, weight: Array) -> tuple[Array, tuple[Array, Array]]:
    return apply_linear(x, weight), (x, weight)


def _backward(kept: tuple[Array, Array], moved: Array) -> tuple[Array, Array]:
    x, weight = kept
    # Squares of half precisions would vanish.
    wide = at_least_float32(x.dtype)
    squares = jnp.einsum(
        "bto,bti->oi",
        moved.astype(wide) ** 2,
        x.astype(wide) ** 2,
        precision=jax.lax.Precision.HIGHEST,
    )
    return apply_linear(moved, weight.T), squares.astype(weight.dtype)


_product.defvjp(_forward, _backward)
