"""Quantisers per tensor, per row, and in groups of neighbouring weights of a row."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from signmag_jax.evidence import invalid
from signmag_jax.perturb import Perturbation

TENSOR, ROW = "tensor", "row"
Scale = str | int
"""What shares one scale (and threshold): "tensor", "row", or that many neighbours in a row."""


def check_scales(scales: Sequence[Scale]) -> tuple[Scale, ...]:
    """Distinct granularities; numbers may come as text.

    Raises:
      InvalidInput: for anything but "tensor", "row" or a group of at least 2.
    """
    sizes = tuple(int(scale) if str(scale).isdecimal() else scale for scale in scales)
    strange = [
        scale for scale in sizes if (scale < 2 if isinstance(scale, int) else scale not in (TENSOR, ROW))
    ]
    if strange or not sizes or len(set(sizes)) < len(sizes):
        raise invalid(
            'distinct scales: "tensor", "row" or a group of 32, 64, 128', tuple(scales), "name some"
        )
    return sizes


def quantized(
    quantizer: Perturbation, weight: Float[Array, "outputs inputs"], scale: Scale
) -> Float[Array, "outputs inputs"]:
    """A quantiser that does not draw, with statistics of its own in each tensor, row or group.

    Where a row is not a multiple of the group, its last group is shorter.
    """
    # No key matters to a quantiser that does not draw.
    key = jax.random.key(0)
    if scale == TENSOR:
        return quantizer.apply(key, weight)
    width = weight.shape[1]
    size = width if scale == ROW else min(int(scale), width)
    # The rows of whole groups as one table of groups; what is left over is a table of its own.
    whole = width - width % size
    pieces = [_each(quantizer, weight[:, :whole].reshape(-1, size)).reshape(-1, whole)]
    if whole < width:
        pieces.append(_each(quantizer, weight[:, whole:]))
    return jnp.concatenate(pieces, axis=1)


def _each(quantizer: Perturbation, groups: Float[Array, "groups size"]) -> Float[Array, "groups size"]:
    key = jax.random.key(0)
    return jax.vmap(lambda group: quantizer.apply(key, group))(groups)
