"""What trials of matrices at single widths say of the costs that derivatives predict."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

FAR = 2.0
"""A trial that cost so many times its prediction takes its place."""
BROKEN = 1e9
"""Cost of a loss that is not finite: the worst that there is, and still a number for a choice."""

Cell = tuple[int, int]
"""An item and an option of it."""


def with_trials(
    predicted: Float[np.ndarray, "items options"], tried: Mapping[Cell, float]
) -> Float[np.ndarray, "items options"]:
    """The predicted costs, but what trials found where that is far more: derivatives miss large errors.

    A trial says nothing but its own cost, which takes the place of its prediction and adds nothing to what
    others found. Of options that were not tried, predictions fall short by the largest factor of one that
    errs less, and none costs less than such a one was found to. What errs less is what was predicted to, and
    of equal options the wider: ternary errs less than 2 bits up to the largest weight, and takes fewer.

    Args:
      predicted: not negative; options from the narrowest.
      tried: what was tried; it may be anything but a number.
    """
    costs = predicted.copy()
    for item in {item for item, _ in tried}:
        factor, least = 1.0, 0.0
        for option in sorted(range(predicted.shape[1]), key=lambda at: (predicted[item, at], -at)):
            expected, cost = predicted[item, option], tried.get((item, option))
            if cost is None:
                costs[item, option] = max(expected * factor, least)
                continue
            cost = cost if math.isfinite(cost) else BROKEN
            if cost > FAR * expected:
                costs[item, option] = cost
                least = max(least, cost)
                factor = max(factor, cost / expected if expected > 0 and cost < BROKEN else 1.0)
    return costs
