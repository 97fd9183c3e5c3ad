"""What flips in a column cost in second order by four laws, all from one forward and backward pass.

A weight that multiplies input x_j into output i is read at every token t of a window, where the loss has the
gradient g_ti in that output. Its Gauss–Newton diagonal is `D_ij = E (Σ_t x_tj g_ti)²`, labels drawn from
the model. Leaving out what different tokens have in common, it is `E Σ_t x_tj² g_ti²`; without what input
and gradient have in common at one token, `Σ_t E[x_j²] E[g_i²]`; and with outputs that all matter alike, α_j².
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
from signmag_jax.models import Transform
from signmag_jax.models.layers import apply_linear

from .activations import energy_shares
from .curvature import WindowLoss, pushed_back

OUTPUTS_ALIKE, FACTORISED, TOKENWISE, EXACT = "outputs_alike", "factorised", "tokenwise", "gauss_newton"
LAWS = (OUTPUTS_ALIKE, FACTORISED, TOKENWISE, EXACT)
"""The four laws, from the one that leaves out most to the one that leaves out nothing."""

Taps = dict[str, Float[Array, "layers laws _"]]
"""Zeros, one for each number that a backward pass is to leave behind, by matrix."""


@functools.partial(jit, static_argnums=(1, 3))
def column_costs(
    loss: WindowLoss, names: tuple[str, ...], key: PRNGKeyArray, draws: int
) -> dict[str, Float[Array, "draws layers laws _"]]:
    """`Σ_i D_ij w_ij²` of each input column of each layer by each of `LAWS`, by matrix.

    The gradients are those of the mean loss of the window; that of `OUTPUTS_ALIKE` is a share of energy times
    squared weights. No array of tokens × outputs × inputs exists: `Σ_t x_tj² g_ti²` is a product of squared
    matrices, and the exact diagonal the square of a window's own gradient.

    Args:
      loss: of one window.
      names: of the matrices.
      key: of the draws, each from the key folded with its number.
      draws: of random signs of the logits, which stand for labels, see `curvature.fisher`.
    """
    weights = loss.weights(names)
    none = {name: jnp.zeros((len(w), len(LAWS), w.shape[2]), _wide(w)) for name, w in weights.items()}
    states, pull = jax.vjp(lambda taps: loss.transformed(_tapped(taps)), none)

    def one(draw: Array) -> Taps:
        return pull(pushed_back(loss.head, states, keys.fold(key, draw)))[0]

    return jax.lax.map(one, jnp.arange(draws, dtype=jnp.int32))


def _tapped(taps: Taps) -> Transform:
    """The model as it is, whose backward pass leaves the costs in the place of the taps' gradient."""

    def transform(weight: Float[Array, "outputs inputs"], layer: Array, name: str) -> Any:
        return (lambda x: _product(x, weight, taps[name][layer])) if name in taps else weight

    return transform


# A rule of its own: costs need the layer's input beside its output's gradient, which meet only here.
@jax.custom_vjp
def _product(
    x: Float[Array, "batch tokens inputs"],
    weight: Float[Array, "outputs inputs"],
    tap: Float[Array, "laws inputs"],
) -> Float[Array, "batch tokens outputs"]:
    del tap
    return apply_linear(x, weight)


def _forward(x: Array, weight: Array, tap: Array) -> tuple[Array, tuple[Array, Array]]:
    return _product(x, weight, tap), (x, weight)


def _backward(kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array, Array]:
    x, weight = kept
    # No gradient of the weights is asked for.
    return apply_linear(gradient, weight.T), jnp.zeros_like(weight), _costs(x, weight, gradient)


_product.defvjp(_forward, _backward)


def _costs(x: Array, weight: Array, gradient: Array) -> Float[Array, "laws inputs"]:
    wide = _wide(x)
    x, gradient = (a.reshape(-1, a.shape[-1]).astype(wide) for a in (x, gradient))
    size, inputs, slopes = weight.astype(wide) ** 2, x**2, gradient**2
    # In rows: what a column costs for each unit of its input's square, at every token and at all.
    each = apply_linear(slopes, size.T)
    return jnp.stack(
        [
            energy_shares(x).mean(axis=0) * size.sum(axis=0),
            inputs.mean(axis=0) * each.sum(axis=0),
            (inputs * each).sum(axis=0),
            (apply_linear(gradient.T, x.T) ** 2 * size).sum(axis=0),
        ]
    )


def _wide(x: Array) -> Any:
    return at_least_float32(x.dtype)
