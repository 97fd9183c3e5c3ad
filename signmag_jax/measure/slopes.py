"""Slopes of the loss in the flip rate: sums over sets of weights, with the errors of probes and windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from signmag_jax.evidence import Estimate, Result
from signmag_jax.evidence.bootstrap import components
from signmag_jax.evidence.ratio import SEPARATION

UNIT = "nat/token per unit flip rate"
PARTS = ("slope", "first", "second", "singles", "gauss_newton")

Sum = Callable[[str, Float[np.ndarray, "... layers inputs"]], Any]
"""Sums the columns of one matrix that belong to a set, keeping the leading axes; 0 where it has none."""


@dataclass(frozen=True, eq=False)
class Cells:
    """What was measured, by matrix, in nats per token; layers are those that take part.

    Args:
      first: `Σ −2 g w` of each column, (windows, layers, inputs).
      newton: `Σ 2 G_ii w²`, a probe of it in each window, (probes, windows, layers, inputs); G is the
        Gauss–Newton matrix.
      residual: `Σ 2 (H − G)_ii w²`, in the same shape, by independent probes.
      singles: exact cost of the weights that were flipped one by one, in their columns, like `first`. They
        are in none of the other parts.
      outputs: weights of a column.
    """

    first: dict[str, Float[np.ndarray, "windows layers _"]]
    newton: dict[str, Float[np.ndarray, "probes windows layers _"]]
    residual: dict[str, Float[np.ndarray, "probes windows layers _"]]
    singles: dict[str, Float[np.ndarray, "windows layers _"]]
    outputs: dict[str, int]


@dataclass(frozen=True, eq=False)
class Slopes(Result):
    """`d E ΔNLL / d rate` at rate 0 of one or more sets of weights; all arrays have one shape.

    Args:
      slope: first + second + singles.
      first: `Σ −2 g w`.
      second: `Σ 2 H_ii w²`.
      singles: exact cost of the weights flipped one by one.
      gauss_newton: first + singles + `Σ 2 G_ii w²`, G the Gauss–Newton matrix; less noisy.
      difference: `Σ 2 (H − G)_ii w²`, what the Gauss–Newton slope leaves out.
      probe_error: the part of `slope`'s standard error that more probes on the same text would remove.
      weights: how many weights.
    """

    SHOWN = ("resolved", "gauss_newton_resolved")

    slope: Estimate
    first: Estimate
    second: Estimate
    singles: Estimate
    gauss_newton: Estimate
    difference: Estimate
    probe_error: Any
    weights: Int[np.ndarray, ...]

    @classmethod
    def of(cls, cells: Cells, total: Sum) -> Slopes:
        """Sum the cells over the set, then judge the sums: errors of columns are not independent."""
        first, newton, residual, singles = (
            added(total, getattr(cells, part)) for part in ("first", "newton", "residual", "singles")
        )
        second = second_of(cells, total)
        # Exact on each window, so the same for every probe.
        known = (first + singles)[None]
        # A table of the columns' heights, summed like a slope: any set counts its own weights.
        sizes = sum(
            total(name, np.full(table.shape[-2:], cells.outputs[name])) for name, table in cells.first.items()
        )
        return cls(
            slope=_estimate(known + second, "gradient, probes and single flips"),
            first=_estimate(first[None], "gradient"),
            second=_estimate(second, "Gauss–Newton and residual probes"),
            singles=_estimate(singles[None], "single flips"),
            gauss_newton=_estimate(known + newton, "gradient, Gauss–Newton probes and single flips"),
            difference=_estimate(residual, "residual probes"),
            probe_error=_probe_error(second),
            weights=np.asarray(sizes, np.int64),
        )

    @property
    def resolved(self) -> Any:
        """Whether each slope is separated from zero by 3 standard errors."""
        return separated(self.slope)

    @property
    def gauss_newton_resolved(self) -> Any:
        """Whether each Gauss–Newton slope is separated from zero by 3 standard errors."""
        return separated(self.gauss_newton)

    def row(self, at: Any = ()) -> dict[str, Any]:
        """The slopes of one set, as the cells of a table."""
        flat: dict[str, Any] = {"weights": int(self.weights[at])}
        for part in PARTS:
            flat |= getattr(self, part).cells(part, at)
        return flat


def separated(estimate: Estimate) -> Any:
    """Whether each value lies more than 3 standard errors from zero."""
    return np.abs(estimate.value) > SEPARATION * np.asarray(estimate.standard_error)


def table_of(cells: Cells, total: Sum) -> Float[np.ndarray, "probes windows ..."]:
    """The slope of every probe and window, for ratios of slopes."""
    known = added(total, cells.first) + added(total, cells.singles)
    return known[None] + second_of(cells, total)


def second_of(cells: Cells, total: Sum) -> Float[np.ndarray, "probes windows ..."]:
    """The second-order part of the slope of every probe and window."""
    return added(total, cells.newton) + added(total, cells.residual)


def added(total: Sum, tables: Mapping[str, Any]) -> Any:
    """The sum over all matrices of what belongs to a set."""
    return sum(total(name, table) for name, table in tables.items())


def _estimate(table: Float[np.ndarray, "probes windows ..."], what: str) -> Estimate:
    probes, windows = table.shape[:2]
    axes = [f"{n} {axis}" for n, axis in ((probes, "probes"), (windows, "windows")) if n > 1]
    name = f"{what}; error over {' and '.join(axes)}" if axes else f"{what}, exact on one window"
    return mean(table, UNIT, name)


def mean(table: Float[np.ndarray, "probes windows ..."], unit: str, estimator: str) -> Estimate:
    """The mean over probes and windows with its crossed error; windows are the independent units."""
    return Estimate(table.mean(axis=(0, 1)), standard_error(table), table.shape[1], unit, estimator)


def standard_error(table: Float[np.ndarray, "probes windows ..."]) -> Any:
    """The crossed standard error of the mean over probes and windows."""
    return np.sqrt(components(table).total)


def _probe_error(table: Float[np.ndarray, "probes windows ..."]) -> Any:
    """Scatter of the probes within each window: all probes are independent."""
    # Within a window, since what windows differ by does not go with more probes of them.
    probes, windows = table.shape[:2]
    return np.sqrt(table.var(axis=0, ddof=1).mean(axis=0) / (probes * windows))
