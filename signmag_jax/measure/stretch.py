"""Derivatives along whole columns of the weights, without a gradient of any single weight.

Stretch column j of a matrix by s_j: `y = W(x + s∘x)`. At s = 0 the derivative of the loss in s_j is
`Σ_a g_aj w_aj`. Let the stretched part be another matrix U, `y = Wx + U(s∘x)`: then the second derivative in
s_j and along all stretches together is `Σ_a u_aj (Hu)_aj`. So sums over columns, which is all that is asked
for, need no outer product of activations with cotangents, which would be half of the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from signmag_jax.evidence import keys
from signmag_jax.models import Transform
from signmag_jax.models.layers import apply_linear

Stretches = Mapping[str, Float[Array, "layers _"]]
"""One stretch for each input column of each layer, by matrix."""

BITS = 32


class Movable(NamedTuple):
    """Which weights the derivatives are taken along.

    Args:
      layers: 1 for a layer that takes part, else 0.
      fixed: per matrix, layers, rows and columns of single weights that do not (their cost is known exactly);
        a row past the last stands for none.
    """

    layers: Float[Array, " layers"]
    fixed: dict[str, tuple[Int[Array, " some"], Int[Array, " some"], Int[Array, " some"]]]


def none(params: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Float[Array, "layers _"]]:
    """Stretches of zero."""
    blocks = params["blocks"]
    return {name: jnp.zeros((len(blocks[name]), blocks[name].shape[2]), blocks[name].dtype) for name in names}


def everywhere(
    params: Mapping[str, Any], names: tuple[str, ...], movable: Movable
) -> dict[str, Float[Array, "layers _"]]:
    """Stretches of one in the layers that take part."""
    return {
        name: zero + movable.layers.astype(zero.dtype)[:, None] for name, zero in none(params, names).items()
    }


def stretched(stretches: Stretches, movable: Movable) -> Transform:
    """The transform `W(x + s∘x)`, in which fixed weights are not stretched; for derivatives at s = 0."""

    def transform(weight: Float[Array, "outputs inputs"], layer: Array, name: str) -> Any:
        if name not in stretches:
            return weight
        stretch = stretches[name][layer][None, None]

        def product(x: Float[Array, "batch tokens inputs"]) -> Float[Array, "batch tokens outputs"]:
            moved = stretch * x
            y = apply_linear(x + moved, weight)
            if name not in movable.fixed:
                return y
            rows, columns = _here(weight, layer, movable.fixed[name])
            amount = weight.at[rows, columns].get(mode="fill", fill_value=0.0)
            return y.at[..., rows].add(-moved[..., columns] * amount[None, None], mode="drop")

        return product

    return transform


def stretched_signs(stretches: Stretches, movable: Movable, key: PRNGKeyArray) -> Transform:
    """The transform `Wx + U(s∘x)`, at s = 0 only, U being W with random signs and without fixed weights."""

    def transform(weight: Float[Array, "outputs inputs"], layer: Array, name: str) -> Any:
        if name not in stretches:
            return weight
        along = weight * signs(keys.fold(key, name, layer), weight.shape, weight.dtype)
        if name in movable.fixed:
            along = along.at[_here(weight, layer, movable.fixed[name])].set(0.0, mode="drop")
        stretch = stretches[name][layer][None, None]
        return lambda x: apply_linear(x, weight) + _stretched(x, stretch, along)

    return transform


def signs(key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> Array:
    """Independent random signs, 32 of each random word: drawing them costs next to nothing."""
    count = 1
    for size in shape:
        count *= size
    words = jax.random.bits(key, (-(-count // BITS), 1), jnp.uint32)
    drawn = (words >> jnp.arange(BITS, dtype=jnp.uint32)[None]) & 1
    return (1 - 2 * drawn.reshape(-1)[:count].reshape(shape).astype(jnp.int8)).astype(dtype)


@jax.custom_jvp
def _stretched(x: Array, stretch: Array, along: Array) -> Array:
    """`U(s∘x)` at s = 0: nothing is multiplied, but all derivatives are those of the product.

    Only a gradient that is taken last sees them: JAX's reverse pass is not made to be differentiated again
    through a custom rule.
    """
    del stretch
    return jnp.zeros((*x.shape[:-1], len(along)), x.dtype)


@_stretched.defjvp
def _(primals: tuple[Array, Array, Array], tangents: tuple[Array, Array, Array]) -> tuple[Array, Array]:
    x, stretch, along = primals
    dx, dstretch, _ = tangents  # U does not move
    return _stretched(x, stretch, along), apply_linear(dstretch * x + stretch * dx, along)


def _here(
    weight: Float[Array, "outputs inputs"],
    layer: Array,
    fixed: tuple[Int[Array, " some"], Int[Array, " some"], Int[Array, " some"]],
) -> tuple[Int[Array, " some"], Int[Array, " some"]]:
    """Rows and columns of the fixed weights; the row is past the last for those of other layers."""
    layers, rows, columns = fixed
    return jnp.where(layers == layer.astype(layers.dtype), rows, len(weight)), columns
