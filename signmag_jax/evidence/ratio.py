"""Ratios of means over draws and windows, over samples, of two estimates; or why there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from .bootstrap import LEVEL, ConfidenceInterval, Table
from .errors import invalid
from .estimate import Estimate
from .result import Result
from .strata import Sum

SEPARATION = 3.0
FEWEST_DRAWS = 3.0
"""Draws of equal weight that an arm must exceed: with fewer, scatter cannot be told from luck."""
UNSEEN = 2.0
"""Standard errors that may hide in weights that were hardly ever drawn. Three expected hits scatter by
1/√3 of what they carry, so that an honest error leaves no more than √3 of itself."""
FARTHEST = 24
"""Doublings of a standard error, beyond which an interval has no end."""


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
    numerator: Table | Sum,
    denominator: Table | Sum,
    *,
    paired: bool = False,
    floor: float = 0.0,
    unseen: tuple[float, float] = (0.0, 0.0),
    separation: float = SEPARATION,
    provenance: Mapping[str, Any] | None = None,
    level: float = LEVEL,
) -> Ratio:
    """`mean(numerator) / mean(denominator)`, or why it is unresolved; never infinite.

    Args:
      numerator: values per draw and window, or a sum of several such means.
      denominator: values over the same windows.
      paired: whether row i of both tables belongs to the same draw; otherwise draws are independent. Windows
        are always shared.
      floor: noise floor of one value, added in quadrature to the denominator's standard error.
      unseen: part of either mean that is predicted to lie in what its draws hardly ever hit.
      separation: standard errors by which the denominator must differ from zero.
      provenance: carried into the estimate.
      level: coverage of the interval.

    Returns:
      The ratio of means with the standard error of its linearisation, and Fieller's interval with Student's
      quantile at Welch and Satterthwaite's degrees of freedom (Fieller, J. R. Stat. Soc. B 16, 1954).

    Raises:
      InvalidInput: if the tables are not finite or do not have the same windows (and draws, if paired).
    """
    top, bottom = Sum.of(numerator), Sum.of(denominator)
    _check_pair(top, bottom, paired)

    def gap(ratio: float) -> Sum:
        """Has mean zero at the true ratio."""
        return Sum((top.tables[0] - ratio * bottom.tables[0],)) if paired else top.minus(ratio, bottom)

    error = math.hypot(math.sqrt(bottom.variance), floor)
    reason = _not_separated(bottom, error, separation) or _too_few(top, bottom)
    reason = reason or _hidden(top, bottom, unseen)
    if reason:
        return Ratio(None, reason)
    value = top.value / bottom.value
    low, high = (_edge(gap, value, side, level) for side in (-1, 1))
    if not np.isfinite([low, high]).all():
        return Ratio(None, f"by so few draws the {level:.0%} interval of the denominator reaches zero")
    spread = math.sqrt(gap(value).variance) / abs(bottom.value)
    name, count = "ratio of means, draws and windows", min(top.units, bottom.units)
    estimate = Estimate(value, spread, count, "1", name, provenance or {})
    return Ratio(ConfidenceInterval(estimate, low, high, level))


def _check_pair(top: Sum, bottom: Sum, paired: bool) -> None:
    shapes = [[table.shape for table in each.tables] for each in (top, bottom)]
    alike = len(top.windows) == len(bottom.windows)
    if not alike or (paired and (shapes[0] != shapes[1] or len(shapes[0]) > 1)):
        raise invalid(
            "numerator and denominator over the same windows" + (" and draws" if paired else ""),
            tuple(shape[0] if len(shape) == 1 else tuple(shape) for shape in shapes),
            "evaluate both on the same windows",
        )


def _not_separated(bottom: Sum, error: float, separation: float) -> str:
    if abs(bottom.value) > separation * error:
        return ""
    return (
        f"the denominator {bottom.value:.3g} ± {error:.2g} is not separated from zero "
        f"by {separation:g} standard errors"
    )


def _too_few(top: Sum, bottom: Sum) -> str:
    for name, each in (("numerator", top), ("denominator", bottom)):
        if each.effective_draws <= FEWEST_DRAWS:
            return (
                f"{each.draws} draws of the {name} count as {each.effective_draws:.1f} of equal weight: "
                f"more than {FEWEST_DRAWS:g} are needed"
            )
    return ""


def _hidden(top: Sum, bottom: Sum, unseen: tuple[float, float]) -> str:
    for name, each, part in zip(("numerator", "denominator"), (top, bottom), unseen, strict=True):
        error = math.sqrt(each.variance)
        if part > UNSEEN * error:
            return (
                f"what the draws of the {name} hardly ever hit is predicted to carry {part:.2g} of its "
                f"{each.value:.2g}, more than {UNSEEN:g} standard errors of {error:.1g}"
            )
    return ""


def _edge(gap: Callable[[float], Sum], value: float, side: int, level: float) -> float:
    """The ratio nearest `value` on one side at which the gap's Student interval leaves zero, or infinity."""
    from scipy import optimize

    def outside(ratio: float) -> float:
        difference = gap(ratio)
        return abs(difference.value) - difference.times(level) * math.sqrt(difference.variance)

    step = math.sqrt(gap(value).variance) / abs(gap(value - 1).value - gap(value).value)
    if step <= abs(value) * np.finfo(np.float64).eps:
        return value
    for _ in range(FARTHEST):
        if outside(value + side * step) > 0:
            return optimize.brentq(outside, value, value + side * step)  # pyright: ignore[reportReturnType]
        step *= 2
    return math.copysign(math.inf, side)


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
