"""Leaving out one window after the other: errors of statistics that are no means of windows."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Int

from .bootstrap import LEVEL, ConfidenceInterval
from .estimate import Estimate


def jackknife(
    statistic: Callable[[Int[np.ndarray, " some"]], float], count: int, estimator: str
) -> ConfidenceInterval | None:
    """A statistic of windows, with its jackknife error and Student's interval; None where it is not finite.

    Args:
      statistic: smooth in means over windows, of which it is given the numbers.
      count: windows, at least 2.
      estimator: the statistic's name.

    Source:
      Efron and Stein 1981, Ann. Statist. 9: the squared error is not too small in the mean.
    """
    from scipy import stats  # slow to import, and few ask for it

    every = np.arange(count)
    value = statistic(every)
    without = np.array([statistic(np.delete(every, left)) for left in every])
    if not np.isfinite([value, *without]).all():
        return None
    error = math.sqrt((count - 1) * without.var())
    reach = error * float(stats.t.ppf((1 + LEVEL) / 2, count - 1))
    estimate = Estimate(value, error, count, "1", f"{estimator}, jackknife over windows")
    return ConfidenceInterval(estimate, value - reach, value + reach, LEVEL)
