"""Crossed bootstrap over random draws and text windows: intervals for means.

A table of losses has two random axes: which weights were hit (draws) and which text was read (windows).
Every cell of a row shares its draw and every cell of a column its window, so the cells are not independent
and both axes are resampled, each on its own (Owen, "The pigeonhole bootstrap", Ann. Appl. Stat. 2007).
An axis of n is resampled n−1 times with replacement (Rao and Wu, JASA 1988), which makes the variance of
both main effects unbiased. The interaction would be counted three times; so the spread of the replicates
is scaled to the variance components (Searle, Casella and McCulloch, 1992, ch. 4; negative ones set to 0).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from .errors import invalid
from .estimate import Estimate
from .result import Result

Table = Float[np.ndarray, "_ _"]
"""Draws × windows."""

REPLICATES = 4000
LEVEL = 0.95


@dataclass(frozen=True)
class ConfidenceInterval(Result):
    """An estimate with a percentile interval `[low, high]` of coverage `level`."""

    estimate: Estimate
    low: float
    high: float
    level: float

    def __str__(self) -> str:
        return f"{self.estimate}, {self.level:.0%} interval [{self.low:.3g}, {self.high:.3g}]"


def mean(
    samples: Table,
    *,
    unit: str = "1",
    provenance: Mapping[str, Any] | None = None,
    level: float = LEVEL,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> ConfidenceInterval:
    """Mean over draws and windows with its crossed-bootstrap standard error and interval.

    Args:
      samples: one value per draw (row) and window (column); an axis of length 1 is not resampled.
      unit: unit of the values.
      provenance: carried into the estimate.
      level: coverage of the interval.
      replicates: bootstrap replicates.
      seed: of the resampling.

    Returns:
      The mean; the interval is a percentile interval, widened from normal to Student tails.

    Raises:
      InvalidInput: if the table is not finite or has a single cell.
    """
    samples = checked(samples)
    rng = np.random.default_rng(seed)
    draws, windows = (resample(rng, size, replicates) for size in samples.shape)
    spread = math.sqrt(components(samples).total)
    resampled = scaled(weighted(samples, draws, windows), float(samples.mean()), spread)
    variances = [main_effect(samples.mean(axis=1)), main_effect(samples.mean(axis=0))]
    low, high = percentiles(resampled, variances, level)
    estimate = Estimate(
        samples.mean(), spread, units(samples), unit, "mean, crossed bootstrap", provenance or {}
    )
    return ConfidenceInterval(estimate, low, high, level)


def checked(samples: Table) -> Table:
    samples = np.asarray(samples, dtype=np.float64)
    if samples.ndim != 2 or samples.size < 2:
        raise invalid(
            "a table of draws × windows with at least 2 cells", samples.shape, "add draws or windows"
        )
    if not np.isfinite(samples).all():
        raise invalid("finite samples", "NaN or infinity", "leave undefined draws out and say how many")
    return samples


def resample(rng: np.random.Generator, size: int, replicates: int) -> Float[np.ndarray, "replicates size"]:
    if size == 1:
        return np.ones((replicates, 1))
    # As counts: a product with them is the mean of each resample.
    return rng.multinomial(size - 1, np.full(size, 1 / size), size=replicates) / (size - 1)


def weighted(
    samples: Table,
    draws: Float[np.ndarray, "replicates draws"],
    windows: Float[np.ndarray, "replicates windows"],
) -> Float[np.ndarray, " replicates"]:
    return ((draws @ samples) * windows).sum(axis=1)


@dataclass(frozen=True)
class Components:
    """Variance of a table's mean, by source: draws, windows, and single cells (their interaction)."""

    draws: Any
    windows: Any
    cells: Any

    @property
    def total(self) -> Any:
        """Variance of the mean of the table."""
        return self.draws + self.windows + self.cells


def components(samples: Float[np.ndarray, "draws windows ..."]) -> Components:
    """Analysis of variance of a two-way table, or of many at once.

    With a single row or column there is nothing to separate.
    """
    by_draw, by_window = samples.mean(axis=1, keepdims=True), samples.mean(axis=0, keepdims=True)
    rows, columns = main_effect(by_draw[:, 0])[0], main_effect(by_window[0])[0]
    draws, windows = samples.shape[:2]
    if min(draws, windows) == 1:
        return Components(rows, columns, 0.0)
    rest = samples - by_draw - by_window + samples.mean(axis=(0, 1))
    cells = (rest**2).sum(axis=(0, 1)) / ((draws - 1) * (windows - 1) * draws * windows)
    # Each marginal variance holds the interaction once.
    return Components(np.maximum(rows - cells, 0.0), np.maximum(columns - cells, 0.0), cells)


def scaled(
    resampled: Float[np.ndarray, " replicates"], centre: float, spread: float
) -> Float[np.ndarray, " replicates"]:
    """Replicates around `centre` with the standard deviation `spread`."""
    # Their own spread counts the interaction three times (see above): it is set to that of the components.
    raw = float(resampled.std())
    return centre + (resampled - centre) * (spread / raw if raw > 0 else 1.0)


def main_effect(marginal: Float[np.ndarray, "n ..."]) -> tuple[Any, int]:
    """Variance of the mean of `marginal` along its first axis, and its degrees of freedom."""
    if len(marginal) == 1:
        return np.zeros(marginal.shape[1:])[()], 0
    return marginal.var(axis=0, ddof=1) / len(marginal), len(marginal) - 1


def percentiles(
    resampled: Float[np.ndarray, " replicates"], variances: list[tuple[float, int]], level: float
) -> tuple[float, float]:
    """Percentiles whose normal quantile equals Student's at Welch and Satterthwaite's degrees of freedom."""
    from scipy import stats

    total = sum(variance for variance, _ in variances)
    spread = sum(variance**2 / freedom for variance, freedom in variances if freedom)
    tail = (1 - level) / 2
    if total > 0 and spread > 0:
        tail = float(stats.norm.cdf(stats.t.ppf(tail, total**2 / spread)))
    # "lower" and "higher" never interpolate between a finite replicate and an infinite one.
    low = float(np.quantile(resampled, tail, method="lower"))
    return low, float(np.quantile(resampled, 1 - tail, method="higher"))


def units(samples: Table) -> int:
    """Independent units behind the scarcer of the resampled axes."""
    return min(size for size in samples.shape if size > 1)
