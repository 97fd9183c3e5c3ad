"""Synthetic column profiles: how the energy of an input spreads over its entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.errors import invalid

from .arguments import choose

Shape = Literal["lognormal", "student"]
Profile = Shape | Sequence[float] | np.ndarray
SPREAD = Interval(0.0, open_low=True, fix="pass the deviation of log s, or Student's degrees of freedom")
SQUARES = Interval(0.0, fix="pass squares")


@counting
def profile(shape: Profile, width: int, spread: float = 1.0) -> np.ndarray:
    """α_j², j = 1..n, ascending and of sum 1: the quantiles of a heavy-tailed law of column scales s.

    Quantiles at (j − ½)/n, and not draws, so that every network has the same columns.

    Args:
      shape: "lognormal", log s ~ N(0, spread²); "student", s = |t| with `spread` degrees of freedom; or
        the squares themselves, of length n, of which only ratios matter.
      width: number n of columns.
      spread: see `shape`; not used for squares.

    Raises:
      InvalidInput: for an unknown shape, or squares that are negative, all 0, or not n.
    """
    if not isinstance(shape, str):
        return _own(shape, width)
    from scipy.special import ndtri, stdtrit  # slow to import, and few ask for it

    choose("profile", shape, Shape)
    SPREAD.require("spread", spread)
    levels = (np.arange(width) + 0.5) / width
    # Over the largest scale before they are squared: a wide spread overflows otherwise.
    if shape == "lognormal":
        logarithms = spread * ndtri(levels)
        scales = np.exp(logarithms - logarithms[-1])
    else:
        scales = stdtrit(float(spread), (1 + levels) / 2)
        scales = scales / scales[-1]
    return scales**2 / np.sum(scales**2)


def _own(squares: Sequence[float] | np.ndarray, width: int) -> np.ndarray:
    SQUARES.require("profile", squares)
    array = np.asarray(squares, dtype=np.float64)
    if array.shape != (width,):
        raise invalid("profile has one square a column", array.shape, f"pass {width} numbers")
    if not np.any(array):
        raise invalid("profile != 0", "zeros", "pass an input with a direction")
    array = array / np.max(array)
    return array / np.sum(array)
