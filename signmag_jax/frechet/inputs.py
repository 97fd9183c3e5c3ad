"""What the functions of normalisations take: arrays, or lists and integers that become arrays, checked."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Num

from signmag_jax.evidence import invalid
from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import floating, is_traced

EPS = Interval(0.0, fix="pass the finite eps >= 0 of the normalisation")

Rows = Num[Array, "*batch features"] | Num[np.ndarray, "*batch features"] | Sequence[Any]
Gain = Num[Array, "..."] | Num[np.ndarray, "..."] | Sequence[Any] | None


def accept(
    y: Rows, gain: Gain, eps: ArrayLike, *directions: Rows, centred: bool = False
) -> tuple[Array, ...]:
    """(y, gain, *directions) as floating-point arrays, the gain 1 where there is none.

    A centred normalisation takes the mean away first: what may not be 0 is what y has beyond it. Lists and
    integers take JAX's default precision.

    Raises:
      InvalidInput: for anything but real numbers, rows without features, a direction or gain of another
        shape, eps that is not one number, and, where it is concrete, eps < 0 or a row of zeros with eps = 0.
    """
    rows = floating("y", y)
    if rows.ndim == 0 or rows.shape[-1] == 0:
        raise invalid("y has rows of at least 1 feature", rows.shape, "pass the input of the normalisation")
    along = tuple(floating("direction", direction) for direction in directions)
    for direction in along:
        if direction.shape != rows.shape:
            raise invalid(
                "direction.shape == y.shape", (direction.shape, rows.shape), "give one for each row"
            )
    factor = jnp.ones(rows.shape[-1], dtype=rows.dtype) if gain is None else floating("gain", gain)
    if factor.shape != rows.shape[-1:]:
        raise invalid("gain.shape == (features,)", (factor.shape, rows.shape), "pass one factor a feature")
    if centred:
        _check_defined(rows - rows[..., :1], eps, "entries of y that differ", "a row of equal entries")
    else:
        _check_defined(rows, eps, "y != 0", "a row of zeros")
    return rows, factor, *along


def _check_defined(rows: Array, eps: ArrayLike, needed: str, found: str) -> None:
    if np.ndim(eps) != 0:
        raise invalid("eps is one number", np.shape(eps), EPS.fix)
    if is_traced(eps):
        return
    EPS.require("eps", eps)
    # With eps > 0 there is an N at zero; a traced row cannot be looked at, and gives NaN.
    if np.any(np.asarray(eps) > 0) or is_traced(rows):
        return
    # XLA flushes subnormal numbers to zero, so a row of them counts as one of zeros.
    tiny = float(jnp.finfo(rows.dtype).tiny)
    if np.any(np.max(np.abs(np.asarray(rows)), axis=-1) < tiny):
        raise invalid(f"{needed} where eps == 0", found, "drop the row, or pass the model's eps > 0")
