"""Where an argument may lie, stated once: as a test, as an error and as text."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import invalid


def reals(value: Any) -> np.ndarray:
    """A number, or an array or list of them, in float64.

    Raises:
      TypeError, ValueError, OverflowError: for anything else. NumPy would drop an imaginary part and what is
        masked, count a date in days, and read text.
    """
    if _is_masked(value):
        raise TypeError("something is masked")
    array = np.asarray(value)
    # Objects, such as fractions, say each what they are.
    kinds = (
        {np.asarray(one).dtype.kind for one in array.flat} if array.dtype == object else {array.dtype.kind}
    )
    if kinds & set("cmMSTU"):
        raise TypeError("not real numbers")
    return np.asarray(array, dtype=np.float64)


def _is_masked(value: Any) -> bool:
    parts = value if isinstance(value, list | tuple) else ()
    return np.ma.is_masked(value) or any(map(_is_masked, parts))


@dataclass(frozen=True)
class Interval:
    """An interval of the real line; infinite values are never inside.

    Args:
      low: lower end.
      high: upper end.
      open_low: whether `low` itself is outside.
      open_high: whether `high` itself is outside.
      normal: whether numbers that are not 0 and that processors may count as 0 are outside.
      fix: what a user should pass instead.
    """

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    normal: bool = False
    fix: str = "pass a finite real number"

    def contains(self, value: Any) -> Any:
        """Elementwise test, for NumPy and for (traced) JAX arrays; NaN is outside."""
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        inside = above & below & (abs(value) < math.inf)
        return inside & ((abs(value) >= sys.float_info.min) | (value == 0)) if self.normal else inside

    def require(self, name: str, value: Any) -> None:
        """Raise `InvalidInput` unless every element of a concrete `value` is a number inside."""
        try:
            array = reals(value)
        except (TypeError, ValueError, OverflowError):
            raise invalid(self.describe(name), value, self.fix) from None
        inside = self.contains(array)
        if not np.all(inside):
            raise invalid(self.describe(name), float(array[~inside].flat[0]), self.fix)

    def describe(self, name: str) -> str:
        """The invariant as text: `0 < rate <= 0.5`."""
        left = "" if self.low == -math.inf else f"{self.low:g} {'<' if self.open_low else '<='} "
        right = "" if self.high == math.inf else f" {'<' if self.open_high else '<='} {self.high:g}"
        text = f"{left}{name}{right}" if left or right else f"{name} is finite"
        return f"{text}, 0 or at least 2.3e-308 in size" if self.normal else text
