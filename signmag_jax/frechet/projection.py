"""The radial and the transverse part of a vector."""

from typing import NamedTuple

import jax
from jaxtyping import Array, Float

from .inputs import Rows, accept
from .normalisation import mean, normalised, wide_copies


class Split(NamedTuple):
    """δ = radial + transverse, with radial ∥ y and transverse ⟂ y."""

    radial: Float[Array, "*batch features"]
    transverse: Float[Array, "*batch features"]


def split(y: Rows, delta: Rows) -> Split:
    """Split δ along y: radial = y⟨y,δ⟩/‖y‖², transverse = δ − radial, along the last axis.

    Args:
      y: rows that set the directions, none of them zero.
      delta: of the shape of `y`.

    Returns:
      Two arrays of the shape and dtype of `y`.

    Raises:
      InvalidInput: for a concrete row of zeros in `y`, which has no direction. Traced input gives NaN.
    """
    rows, _, along = accept(y, None, 0.0, delta)
    return _split(rows, along)


@jax.jit
def _split(y: Array, delta: Array) -> Split:
    wide, d = wide_copies(y, delta)
    n, _ = normalised(wide, 0.0)
    radial = n * mean(n * d)
    transverse = d - radial
    # One more projection removes what rounding left along y when δ is almost radial.
    left = n * mean(n * transverse)
    return Split((radial + left).astype(y.dtype), (transverse - left).astype(y.dtype))
