"""Quantisers per tensor, per row, and in groups of neighbouring weights of a row."""

from __future__ import annotations

from collections.abc import Sequence

import jax
from jaxtyping import Array, Float

from signmag_jax.evidence import invalid
from signmag_jax.evidence.counts import counting
from signmag_jax.perturb import Grouped, Perturbation
from signmag_jax.perturb.grouped import ROW

TENSOR = "tensor"
Scale = str | int
"""What shares one scale (and threshold): "tensor", "row", or that many neighbours in a row."""


def check_scales(scales: Sequence[Scale]) -> tuple[Scale, ...]:
    """Distinct granularities; numbers may come as text.

    Raises:
      InvalidInput: for anything but "tensor", "row" or a group of 2 or more.
    """
    sizes = tuple(int(scale) if str(scale).isdecimal() else scale for scale in scales)
    strange = [
        scale for scale in sizes if (scale < 2 if isinstance(scale, int) else scale not in (TENSOR, ROW))
    ]
    if strange or not sizes or len(set(sizes)) < len(sizes):
        raise invalid(
            'distinct scales: "tensor", "row" or a group of 2 or more',
            tuple(scales),
            "name some",
        )
    return sizes


@counting
def quantized(
    quantizer: Perturbation, weight: Float[Array, "outputs inputs"], scale: Scale
) -> Float[Array, "outputs inputs"]:
    """A quantiser that does not draw, with statistics of its own in each tensor, row or group."""
    # No key matters to a quantiser that does not draw.
    each = quantizer if scale == TENSOR else Grouped(quantizer, scale)
    return each.apply(jax.random.key(0), weight)
