"""How well a predictor ranks and scales a table of damages, with intervals and without leaving any out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from signmag_jax.evidence import ConfidenceInterval, Estimate, Result, bootstrap, invalid
from signmag_jax.evidence.result import named

FEWEST = 5
"""Items below which ranks say nothing."""
# 50 of them beyond either end of a 95% interval.
REPLICATES = 2000

ALIKE = 1e-6
"""Predictors of which no logarithm differs by more do not vary: they come from sums in float32."""

Items = Float[np.ndarray, " items"]
Table = Float[np.ndarray, "items windows"]
Some = Bool[np.ndarray, " resamples"]


@dataclass(frozen=True)
class Association(Result):
    """What a predictor says about damages.

    Args:
      rank_correlation: Spearman's, over all items; items and windows are resampled.
      slope: of log damage against log predictor over all items, by least squares; None where a logarithm
        does not exist.
      reason: why there is no slope.
    """

    rank_correlation: ConfidenceInterval
    slope: ConfidenceInterval | None = field(metadata=named("log_log_slope"))
    reason: str

    def lines(self, name: str) -> dict[str, str]:
        """Rank correlation and slope of damages with a predictor of that name."""
        slope = f"UNRESOLVED: {self.reason}" if self.slope is None else str(self.slope.estimate)
        return {f"{name}: rank correlation": str(self.rank_correlation), f"{name}: log-log slope": slope}

    def summary(self) -> dict[str, str]:
        """Rank correlation and slope."""
        return self.lines("predictor")


def associate(predictor: Items, damage: Table) -> Association:
    """Rank correlation and log-log slope of mean damages against a predictor.

    Args:
      predictor: one number an item, positive.
      damage: of each item (row) and window; none is left out, whatever its sign.

    Raises:
      InvalidInput: for fewer than 5 items, a predictor that is not positive, or values that are not finite.
    """
    predictor, damage = np.asarray(predictor, np.float64), bootstrap.checked(damage)
    if len(predictor) < FEWEST or not (predictor > 0).all() or not np.isfinite(predictor).all():
        raise invalid(f"at least {FEWEST} items with a positive predictor", predictor, "sample more columns")
    rng = np.random.default_rng(0)
    means = damage.mean(axis=1)
    # A fixed seed: the interval is a function of the table.
    items = rng.integers(0, len(predictor), (REPLICATES, len(predictor)))
    weights = bootstrap.resample(rng, damage.shape[1], REPLICATES)
    resampled = np.take_along_axis(weights @ damage.T, items, axis=1)
    # A resample of equal ranks only has no correlation, which is none.
    ranked = np.nan_to_num(spearman(predictor[items], resampled))
    rank = float(np.nan_to_num(spearman(predictor[None], means[None]))[0])
    name = f"Spearman's rank correlation over {len(predictor)} items"
    correlation = _interval(rank, ranked, len(predictor), name)
    positive = resampled.min(axis=1) > 0
    slopes = slope_of(np.log(predictor)[items], np.log(np.where(resampled > 0, resampled, 1.0)))
    exist = np.isfinite(slopes)
    if reason := _why_no_slope(means, positive, exist):
        return Association(correlation, None, reason)
    slope = float(slope_of(np.log(predictor)[None], np.log(means)[None])[0])
    name = f"least-squares slope of logarithms over {len(predictor)} items"
    return Association(correlation, _interval(slope, slopes[positive & exist], len(predictor), name), "")


def _why_no_slope(means: Items, positive: Some, exist: Some) -> str:
    """Why there is no slope, or "": from the damages, and from which resamples have logarithms and slopes."""
    if (means <= 0).any():
        return f"{int((means <= 0).sum())} of {len(means)} damages are not positive: a logarithm drops them"
    # An interval may do without a few resamples.
    if positive.mean() < bootstrap.LEVEL:
        return "damages are not positive in more than 5% of the resamples"
    if exist.mean() < bootstrap.LEVEL:
        return "the predictor does not vary in more than 5% of the resamples"
    return ""


def rank_correlation(predicted: Table, exact: Table) -> ConfidenceInterval | None:
    """Spearman's correlation of the means over windows, with a percentile interval; None if it is undefined.

    Items and windows are resampled, both with replacement (Owen, "The pigeonhole bootstrap", 2007).
    """
    rng = np.random.default_rng(0)
    count, windows = exact.shape
    centre = spearman(predicted.mean(axis=1)[None], exact.mean(axis=1)[None])[0]
    if not np.isfinite(centre):
        return None
    items = rng.integers(0, count, (REPLICATES, count))
    share = rng.multinomial(windows, np.full(windows, 1 / windows), REPLICATES) / windows
    means = (np.take_along_axis(table @ share.T, items.T, axis=0).T for table in (predicted, exact))
    ranked = spearman(*means)
    name = "Spearman's rank correlation, bootstrap over weights and windows"
    return _interval(centre, ranked[np.isfinite(ranked)], count, name)


def spearman(a: Float[np.ndarray, "some items"], b: Float[np.ndarray, "some items"]) -> Any:
    """Spearman's correlation, by row; NaN where all of a row are equal."""
    from scipy import stats  # slow to import, and few ask for it

    a, b = (stats.rankdata(x, axis=1) for x in (a, b))
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (a, b))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))


def slope_of(x: Float[np.ndarray, "some items"], y: Float[np.ndarray, "some items"]) -> Any:
    """Least-squares slope, by row; NaN where x does not vary, as in a resample of one item."""
    # Equal numbers less their rounded mean are not zero, and would make an enormous slope.
    varying = np.ptp(x, axis=1) > ALIKE
    x = x - x.mean(axis=1, keepdims=True)
    return np.divide((x * y).sum(axis=1), (x * x).sum(axis=1), out=np.full(len(x), np.nan), where=varying)


def _interval(
    value: float, replicates: Float[np.ndarray, " some"], count: int, name: str
) -> ConfidenceInterval:
    tail = (1 - bootstrap.LEVEL) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail])
    estimate = Estimate(value, replicates.std(), count, "1", name)
    return ConfidenceInterval(estimate, float(low), float(high), bootstrap.LEVEL)
