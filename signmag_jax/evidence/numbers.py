"""How a number with its error is written for a reader."""

from __future__ import annotations

import math

# Beyond it a float64 has no digits of the size of the error.
LARGEST_RATIO = 1e15


def with_error(value: float, error: float) -> str:
    """Value with its standard error on the last digits: 2.6448(13); an exact value with six digits.

    >>> with_error(2.64481, 0.0013)
    '2.6448(13)'
    >>> with_error(2.0, 0.0)
    '2'
    """
    if error == 0:
        return f"{value:.7g}"
    decimals = 1 - math.floor(math.log10(error))
    if not -6 <= decimals <= 10 or abs(value) > LARGEST_RATIO * error:
        return f"{value:.4g} ± {error:.1e}"
    digits = round(error * 10**decimals)
    if digits == 100:
        decimals, digits = decimals - 1, 10
    if decimals <= 0:
        return f"{round(value, decimals):.0f}({round(error, decimals):.0f})"
    if decimals > 9:
        return f"{value:.4g} ± {error:.1e}"
    shown = f"{digits / 10**decimals:.{decimals}f}" if error >= 1 else str(digits)
    return f"{value:.{decimals}f}({shown})"
