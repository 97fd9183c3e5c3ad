"""Ratios of means over draws and windows, over samples, of two estimates; or why there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from .bootstrap import (
    LEVEL,
    REPLICATES,
    ConfidenceInterval,
    Table,
    checked,
    components,
    main_effect,
    percentiles,
    resample,
    units,
    weighted,
)
from .errors import invalid
from .estimate import Estimate
from .result import Result

SEPARATION = 3.0
DOMINANT_SHARE = 0.5


@dataclass(frozen=True)
class Ratio(Result):
    """A ratio of means, or the reason in words why the data do not determine one."""

    SHOWN = ("resolved",)

    interval: ConfidenceInterval | None
    reason: str = ""

    @property
    def resolved(self) -> bool:
        """Whether there is a number."""
        return self.interval is not None

    def __str__(self) -> str:
        return f"UNRESOLVED: {self.reason}" if self.interval is None else str(self.interval.estimate)


def ratio_of_means(
    numerator: Table,
    denominator: Table,
    *,
    paired: bool = False,
    floor: float = 0.0,
    separation: float = SEPARATION,
    provenance: Mapping[str, Any] | None = None,
    level: float = LEVEL,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Ratio:
    """`mean(numerator) / mean(denominator)`, or why it is unresolved; never infinite.

    Args:
      numerator: values per draw and window.
      denominator: values over the same windows.
      paired: whether row i of both tables belongs to the same draw; otherwise draws are resampled
        independently. Windows are always shared.
      floor: noise floor of one value, added in quadrature to the denominator's standard error.
      separation: standard errors by which the denominator must differ from zero.
      provenance: carried into the estimate.
      level: coverage of the interval.
      replicates: bootstrap replicates.
      seed: of the resampling.

    Returns:
      The ratio of means with the standard error of its linearisation and a percentile interval.

    Raises:
      InvalidInput: if the tables are not finite or do not have the same windows (and draws, if paired).
    """
    numerator, denominator = checked(numerator), checked(denominator)
    _check_pair(numerator, denominator, paired)
    rng = np.random.default_rng(seed)
    windows = resample(rng, numerator.shape[1], replicates)
    above = resample(rng, numerator.shape[0], replicates)
    below = above if paired else resample(rng, denominator.shape[0], replicates)
    error = math.hypot(math.sqrt(components(denominator).total), floor)
    reason = _why_unresolved(numerator, denominator, error, separation)
    if reason:
        return Ratio(None, reason)
    centre = float(numerator.mean()), float(denominator.mean())
    ratio = centre[0] / centre[1]
    top, bottom = weighted(numerator, above, windows), weighted(denominator, below, windows)
    spread = math.sqrt(_variance(numerator, denominator, ratio, paired))
    raw = float((top - ratio * bottom).std())
    shrink = spread / raw if raw > spread else 1.0
    top, bottom = (c + shrink * (each - c) for c, each in zip(centre, (top, bottom), strict=True))
    low, high = percentiles(
        _one_sided(top, bottom, centre[1]), _ratio_effects(numerator, denominator, ratio, paired), level
    )
    if not np.isfinite([low, high]).all():
        return Ratio(None, f"resamples of the denominator change sign within the {level:.0%} interval")
    count = min(units(numerator), units(denominator))
    estimate = Estimate(
        ratio, spread / abs(centre[1]), count, "1", "ratio of means, crossed bootstrap", provenance or {}
    )
    return Ratio(ConfidenceInterval(estimate, low, high, level))


def _check_pair(numerator: Table, denominator: Table, paired: bool) -> None:
    if numerator.shape[1] != denominator.shape[1] or (paired and len(numerator) != len(denominator)):
        raise invalid(
            "numerator and denominator over the same windows" + (" and draws" if paired else ""),
            (numerator.shape, denominator.shape),
            "evaluate both on the same windows",
        )


def _why_unresolved(numerator: Table, denominator: Table, error: float, separation: float) -> str:
    centre = float(denominator.mean())
    if abs(centre) <= separation * error:
        return (
            f"the denominator {centre:.3g} ± {error:.2g} is not separated from zero "
            f"by {separation:g} standard errors"
        )
    for name, samples in (("numerator", numerator), ("denominator", denominator)):
        share = dominant_share(samples)
        if share > DOMINANT_SHARE:
            return f"one of {len(samples)} draws carries {min(share, 9.99):.0%} of the {name}'s mean"
    return ""


def dominant_share(samples: Table) -> float:
    """Largest absolute contribution of one draw to the mean over draws, as a part of it (1 draw: 0)."""
    rows = samples.mean(axis=1)
    if len(rows) == 1 or not rows.any():
        return 0.0
    total = abs(float(rows.sum()))
    return float(np.abs(rows).max()) / max(total, np.finfo(np.float64).tiny)


def _ratio_effects(
    numerator: Table, denominator: Table, ratio: float, paired: bool
) -> list[tuple[float, int]]:
    windows = main_effect(numerator.mean(axis=0) - ratio * denominator.mean(axis=0))
    if paired:
        return [windows, main_effect(numerator.mean(axis=1) - ratio * denominator.mean(axis=1))]
    return [windows, main_effect(numerator.mean(axis=1)), main_effect(ratio * denominator.mean(axis=1))]


def _variance(numerator: Table, denominator: Table, ratio: float, paired: bool) -> float:
    """Variance of mean(numerator) − ratio · mean(denominator)."""
    if paired:
        return components(numerator - ratio * denominator).total
    above, below = components(numerator), components(ratio * denominator)
    cells = above.cells + below.cells
    windows = main_effect(numerator.mean(axis=0) - ratio * denominator.mean(axis=0))[0]
    return above.draws + below.draws + max(windows - cells, 0.0) + cells


def _one_sided(
    top: Float[np.ndarray, " replicates"], bottom: Float[np.ndarray, " replicates"], centre: float
) -> Float[np.ndarray, " replicates"]:
    """Ratios, with a replicate whose denominator has the wrong sign counted as infinite."""
    valid = bottom * centre > 0
    quotient = np.divide(top, bottom, out=np.full_like(top, np.inf), where=valid)
    return np.where(valid, quotient, np.copysign(np.inf, top * centre))


def paired_ratio(numerator: Table, denominator: Table) -> Ratio:
    """The ratio of two tables probes × windows of the same probes, or why it is unresolved.

    The units are the means of windows, or the probes of a single window.
    """

    def across(table: Table) -> Table:
        return (table.mean(axis=0) if table.shape[1] > 1 else table[:, 0])[None]

    return ratio_of_means(across(numerator), across(denominator), paired=True)


def ratio_over_samples(
    numerator: Float[np.ndarray, "samples ..."],
    denominator: Float[np.ndarray, "samples ..."],
    *,
    estimator: str,
) -> Estimate:
    """`mean(numerator) / mean(denominator)` over the first axis, for many ratios at once."""
    centre, count = denominator.mean(axis=0), len(numerator)
    ratio = numerator.mean(axis=0) / centre
    residual = (numerator - ratio * denominator).std(axis=0, ddof=1) / centre
    return Estimate(ratio, residual / np.sqrt(count), count, "1", estimator)


def ratio_of_estimates(numerator: Estimate, denominator: Estimate, *, estimator: str) -> Estimate:
    """The ratio of two estimates, their errors taken as independent (delta method)."""
    value = float(numerator.value) / float(denominator.value)
    parts = [float(one.standard_error) / float(one.value) for one in (numerator, denominator)]
    known = [one.n for one in (numerator, denominator) if one.n]
    source = {"numerator": dict(numerator.provenance), "denominator": dict(denominator.provenance)}
    return Estimate(value, abs(value) * math.hypot(*parts), min(known, default=0), "1", estimator, source)
