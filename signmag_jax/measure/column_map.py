"""The map of columns: what sign flips cost in each input column, and which columns to protect first."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Unpack

import numpy as np

from signmag_jax.evidence import Picture, Result, invalid
from signmag_jax.evidence.numbers import with_error
from signmag_jax.evidence.result import KEPT_OUT
from signmag_jax.models import SITE_OF, LanguageModel

from . import slopes as judged
from .activations import Columns
from .inputs import Windows
from .predicted import LinearResponse
from .response import linear_response
from .setup import Options
from .slopes import Slopes

GAUSS_NEWTON, HESSIAN = "gauss_newton", "hessian"
PROTECTED = 100
SUMMARISED = 10
# log10 of a slope per weight over the mean: what is not resolved stays at the bottom of the picture.
UNRESOLVED = -1.0
PROBES = 4


@dataclass(frozen=True)
class Column(Result):
    """One input column of one matrix of one layer; slopes in nats per token per unit flip rate.

    Args:
      matrix, layer, column: which.
      weights: how many it has.
      slope, standard_error: of the Gauss–Newton slope.
      hessian, hessian_error: of the slope with the whole second derivative.
      hessian_resolved: whether the latter is separated from zero by 3 standard errors.
      relative: slope per weight over the mean slope per weight of the whole map.
      outlier: whether it is an outlier column.
    """

    matrix: str
    layer: int
    column: int
    weights: int = field(metadata=KEPT_OUT)
    slope: float
    standard_error: float
    hessian: float
    hessian_error: float
    hessian_resolved: bool
    relative: float
    outlier: bool


@dataclass(frozen=True, eq=False)
class ColumnMap(Result):
    """Result of `columns`.

    Args:
      matrices: slopes of each column by matrix, (layers, inputs).
      total: of all matrices and layers.
      outliers: the outlier columns, by site.
      layers: those that the arrays stand for.
      provenance: model, texts, seed, versions, device.
    """

    SHOWN = ("protect_first", "resolved_share", "slopes")

    matrices: dict[str, Slopes] = field(metadata=KEPT_OUT)
    total: Slopes
    outliers: Columns
    layers: tuple[int, ...]
    provenance: Mapping[str, Any]

    @classmethod
    def of(cls, response: LinearResponse) -> ColumnMap:
        """The columns of a linear response."""
        total = response.pools["all"]
        return cls(response.columns, total, response.outliers, response.taking_part, response.provenance)

    @functools.cached_property
    def every(self) -> tuple[Column, ...]:
        """Every column, matrix after matrix."""
        return tuple(
            self._column(name, slopes, at)
            for name, slopes in self.matrices.items()
            for at in np.ndindex(slopes.weights.shape)
        )

    def _column(self, name: str, slopes: Slopes, at: tuple[int, ...]) -> Column:
        newton, hessian, weights = slopes.gauss_newton, slopes.slope, int(slopes.weights[at])
        layer, column = self.layers[at[0]], at[1]
        return Column(
            name,
            layer,
            column,
            weights,
            float(newton.value[at]),
            float(newton.standard_error[at]),
            float(hessian.value[at]),
            float(hessian.standard_error[at]),
            bool(np.asarray(slopes.resolved)[at]),
            float(newton.value[at] / weights / self._mean),
            bool(column in self.outliers[SITE_OF[name]][layer]),
        )

    @property
    def _mean(self) -> float:
        """The Gauss–Newton slope of a weight in the mean."""
        return float(self.total.gauss_newton.value) / int(self.total.weights)

    def protect_first(self, count: int = PROTECTED) -> list[Column]:
        """The columns that cost most when their signs flip, by Gauss–Newton slope, among those resolved.

        A single column's Hessian slope is seldom resolved: a probe of what it has beside the Gauss–Newton
        one holds the products with all other weights, while that is a sum of squares. It is `difference`.

        Raises:
          InvalidInput: for fewer than one.
        """
        if count < 1:
            raise invalid("count >= 1", count, "ask for at least one column")
        clear = [one for one in self.every if one.slope > judged.SEPARATION * one.standard_error]
        return sorted(clear, key=lambda one: -one.slope)[:count]

    def resolved_share(self) -> dict[str, float]:
        """Part of the columns whose slope is separated from zero by 3 standard errors, by kind of slope."""
        newton = [np.ravel(each.gauss_newton_resolved) for each in self.matrices.values()]
        hessian = [np.ravel(each.resolved) for each in self.matrices.values()]
        kinds = {GAUSS_NEWTON: newton, HESSIAN: hessian}
        return {kind: float(np.concatenate(parts).mean()) for kind, parts in kinds.items()}

    def summary(self) -> dict[str, str]:
        """How many columns are resolved, and which to protect first."""
        lines = {f"resolved columns, {kind}": f"{share:.1%}" for kind, share in self.resolved_share().items()}
        for rank, column in enumerate(self.protect_first(SUMMARISED), start=1):
            where = f"layer {column.layer} {column.matrix} column {column.column}"
            note = ", an outlier column" if column.outlier else ""
            cost = with_error(column.slope, column.standard_error)
            lines[f"protect {rank}"] = f"{where}: {cost}, {column.relative:.3g} times the mean weight's{note}"
        return lines

    def rows(self) -> list[dict[str, Any]]:
        """One row for each input column: both slopes with their standard errors."""
        return [
            {
                "matrix": one.matrix,
                "layer": one.layer,
                "column": one.column,
                "weights": one.weights,
                GAUSS_NEWTON: one.slope,
                f"{GAUSS_NEWTON}_se": one.standard_error,
                HESSIAN: one.hessian,
                f"{HESSIAN}_se": one.hessian_error,
                "outlier": one.outlier,
            }
            for one in self.every
        ]

    def picture(self) -> Picture:
        """The slope per weight of every column over the mean, where it is resolved."""
        pictures = {}
        for name, each in self.matrices.items():
            value, clear = np.asarray(each.gauss_newton.value), judged.separated(each.gauss_newton)
            clear &= value > 0
            # 1 where nothing is shown: what is not resolved may have no logarithm.
            relative = np.where(clear, value / np.asarray(each.weights) / self._mean, 1.0)
            pictures[name] = np.where(clear, np.log10(relative), UNRESOLVED)
        label = "log10 of the slope per weight over the mean; black: not resolved"
        return Picture("maps", {"pictures": pictures, "label": label, "layers": self.layers})

    def slopes(self) -> dict[str, Any]:
        """By matrix, both slopes of every column, each with its error and whether it is resolved."""
        return {
            name: {
                kind: {
                    "value": slope.value,
                    "standard_error": slope.standard_error,
                    "resolved": judged.separated(slope),
                }
                for kind, slope in ((GAUSS_NEWTON, each.gauss_newton), (HESSIAN, each.slope))
            }
            for name, each in self.matrices.items()
        }


def columns(
    model: LanguageModel,
    calibration: Windows,
    evaluation: Windows,
    *,
    probes: int = PROBES,
    **options: Unpack[Options],
) -> ColumnMap:
    """E ΔNLL per unit flip rate of every input column of every matrix, and which to protect first.

    Errors and records are those of `linear_response`, which measures all columns at once; at the same
    arguments the two share a folder of records.

    Args:
      model: from `models.load`.
      calibration: windows that choose the outlier columns and the single weights (at least 2).
      evaluation: other windows, on which everything is scored.
      probes: number of random probes of the second derivative in each window, at least 2.
      options: as in `Options`; others of `linear_response` are passed on as well.
    """
    return ColumnMap.of(linear_response(model, calibration, evaluation, probes=probes, **options))
