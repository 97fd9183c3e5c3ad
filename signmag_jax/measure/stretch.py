"""Derivatives along whole columns of the weights, without a gradient of any single weight.

Stretch column j of a matrix by s_j: `y = W(x + s∘x)`. At s = 0 the derivative of the loss in s_j is
`Σ_a g_aj w_aj`. Let the stretched part be another matrix U, `y = Wx + U(s∘x)`: then the second derivative in
s_j and along all stretches together is `Σ_a u_aj (Hu)_aj`. So sums over columns, which is all that is asked
for, need no outer product of activations with cotangents, which would be half of the work.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt32

from signmag_jax.evidence import keys
from signmag_jax.models import LanguageModel, Transform
from signmag_jax.models.layers import apply_linear

from .place import Place

Stretches = Mapping[str, Float[Array, "layers _"]]
"""One stretch for each input column of each layer, by matrix."""

BITS = 32


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Movable:
    """Which weights the derivatives are taken along.

    Args:
      names: their matrices.
      layers: 1 for a layer that takes part, else 0.
      fixed: per matrix, layers, rows and columns of single weights that do not (their cost is known exactly);
        a row past the last stands for none.
    """

    names: tuple[str, ...] = field(metadata={"static": True})
    layers: Float[Array, " layers"]
    fixed: dict[str, tuple[Int[Array, " some"], Int[Array, " some"], Int[Array, " some"]]]

    @classmethod
    def of(
        cls, model: LanguageModel, names: Sequence[str], layers: Sequence[int], fixed: Sequence[Place] = ()
    ) -> Movable:
        """All weights of these matrices and layers, but for the `fixed` ones."""
        taking_part = np.isin(np.arange(model.config.layers), layers)
        by_matrix = {}
        for name in names if fixed else ():
            # One entry for each of all places; those of other matrices point past the last row.
            past = model.config.shapes()[name][0]
            parts = [(p.layer, p.row if p.name == name else past, p.column) for p in fixed]
            by_matrix[name] = tuple(jnp.asarray(part, jnp.int32) for part in zip(*parts, strict=True))
        return cls(tuple(names), jnp.asarray(taking_part, model.params["embed"].dtype), by_matrix)

    def weights(self, weights: dict[str, Any]) -> dict[str, Float[Array, "layers _ _"]]:
        """The weights that take part; zeros where they do not."""
        kept = {name: w * self.layers.astype(w.dtype)[:, None, None] for name, w in weights.items()}
        return {
            name: w.at[self.fixed[name]].set(0.0, mode="drop") if name in self.fixed else w
            for name, w in kept.items()
        }

    def columns(self, table: Stretches) -> dict[str, Float[Array, "layers _"]]:
        """A number for each column, zero in layers that take no part."""
        return {name: x * self.layers.astype(x.dtype)[:, None] for name, x in table.items()}

    def none(self, params: Mapping[str, Any]) -> dict[str, Float[Array, "layers _"]]:
        """Stretches of zero."""
        weights = {name: params["blocks"][name] for name in self.names}
        return {name: jnp.zeros((len(w), w.shape[2]), w.dtype) for name, w in weights.items()}

    def all(self, params: Mapping[str, Any]) -> dict[str, Float[Array, "layers _"]]:
        """Stretches of one in the layers that take part."""
        return self.columns({name: jnp.ones_like(zero) for name, zero in self.none(params).items()})


def stretched(stretches: Stretches, movable: Movable) -> Transform:
    """The transform `W(x + s∘x)`, in which fixed weights are not stretched; for derivatives at s = 0."""

    def transform(weight: Float[Array, "outputs inputs"], layer: Array, name: str) -> Any:
        if name not in stretches:
            return weight
        stretch = stretches[name][layer][None, None]

        def product(x: Float[Array, "batch tokens inputs"]) -> Float[Array, "batch tokens outputs"]:
            moved = stretch * x
            # One product for both terms: W(x + s∘x), not Wx + W(s∘x).
            y = apply_linear(x + moved, weight)
            if name not in movable.fixed:
                return y
            rows, columns = _here(weight, layer, movable.fixed[name])
            amount = weight.at[rows, columns].get(mode="fill", fill_value=0.0)
            return y.at[..., rows].add(-moved[..., columns] * amount[None, None], mode="drop")

        return product

    return transform


def stretched_signs(
    stretches: Stretches, movable: Movable, key: PRNGKeyArray, shapes: Mapping[str, tuple[int, ...]]
) -> Transform:
    """The transform `Wx + U(s∘x)`, at s = 0 only, U being W with random signs and without fixed weights."""

    # All layers' are drawn before the first: a loop over layers would draw again in its backward pass, and be
    # slower to compile.
    sizes = {name: math.prod(shapes[name]) for name in stretches}
    words = _words(key, sizes, len(next(iter(stretches.values()))))

    def transform(weight: Float[Array, "outputs inputs"], layer: Array, name: str) -> Any:
        if name not in stretches:
            return weight
        along = weight * unpacked(words[name][layer], weight.shape, weight.dtype)
        if name in movable.fixed:
            along = along.at[_here(weight, layer, movable.fixed[name])].set(0.0, mode="drop")
        stretch = stretches[name][layer][None, None]
        return lambda x: apply_linear(x, weight) + _stretched(x, stretch, along)

    return transform


def _words(
    key: PRNGKeyArray, sizes: Mapping[str, int], layers: int
) -> dict[str, UInt32[Array, "layers words 1"]]:
    """The signs of so many weights of each matrix in each layer.

    By matrix and layer, so that a probe of some of them is a part of the probe of all. All keys are folded at
    once, and what is of one size is drawn at once: matrix by matrix it is a third of a GPU's program.
    """
    own = dict(zip(sizes, keys.each(key, tuple(sizes), np.arange(layers)), strict=True))
    words: dict[str, UInt32[Array, "layers words 1"]] = {}
    for size in set(sizes.values()):
        names = [name for name in sizes if sizes[name] == size]
        drawn = jax.vmap(jax.vmap(lambda one, size=size: packed(one, (size,))))
        words |= dict(zip(names, drawn(jnp.stack([own[name] for name in names])), strict=True))
    return words


def signs(key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> Array:
    """Independent random signs, 32 of each random word: drawing them costs next to nothing."""
    return unpacked(packed(key, shape), shape, dtype)


def packed(key: PRNGKeyArray, shape: tuple[int, ...]) -> UInt32[Array, "words 1"]:
    """The random words that hold the signs of an array of this shape."""
    return jax.random.bits(key, (-(-math.prod(shape) // BITS), 1), jnp.uint32)


def unpacked(words: UInt32[Array, "words 1"], shape: tuple[int, ...], dtype: Any) -> Array:
    """The signs that random words hold, in that shape."""
    # A column of words against a row of shifts: each word gives the 32 signs of its row.
    drawn = (words >> jnp.arange(BITS, dtype=jnp.uint32)[None]) & 1
    return (1 - 2 * drawn.reshape(-1)[: math.prod(shape)].reshape(shape).astype(jnp.int8)).astype(dtype)


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
