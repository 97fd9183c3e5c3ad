"""The map of columns: what sign flips cost in each input column, and which columns to protect first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from signmag_jax.evidence import invalid
from signmag_jax.models import SITE_OF, LanguageModel

from . import slopes
from .activations import Columns
from .inputs import Windows
from .predicted import LinearResponse
from .response import linear_response
from .slopes import Slopes

GAUSS_NEWTON, HESSIAN = "gauss_newton", "hessian"
SHOWN = 100
PROBES = 4


@dataclass(frozen=True)
class Column:
    """One input column of one matrix of one layer; slopes in nats per token per unit flip rate.

    Args:
      slope, standard_error: of the Gauss–Newton slope.
      hessian, hessian_error: of the slope with the whole second derivative.
      hessian_resolved: whether the latter is separated from zero by 3 standard errors.
      relative: slope per weight over the mean slope per weight of the whole map.
      outlier: whether it is an outlier column.
    """

    matrix: str
    layer: int
    column: int
    slope: float
    standard_error: float
    hessian: float
    hessian_error: float
    hessian_resolved: bool
    relative: float
    outlier: bool

    def to_json(self) -> dict[str, Any]:
        """A strict-JSON object."""
        return dict(vars(self))


@dataclass(frozen=True, eq=False)
class ColumnMap:
    """Result of `columns`.

    Args:
      matrices: slopes of each column by matrix, (layers, inputs).
      total: of everything together.
      outliers: the outlier columns, by site.
      depth: the layers that the arrays stand for.
      provenance: model, texts, seed, versions, device.
    """

    matrices: dict[str, Slopes]
    total: Slopes
    outliers: Columns
    depth: tuple[int, ...]
    provenance: Mapping[str, Any]

    @classmethod
    def of(cls, found: LinearResponse) -> ColumnMap:
        """The columns of a linear response."""
        return cls(found.columns, found.pools["all"], found.outliers, found.depth, found.provenance)

    def protect_first(self, count: int = SHOWN) -> list[Column]:
        """The columns that cost most when their signs flip, by Gauss–Newton slope, among those resolved.

        A single column's Hessian slope is seldom resolved: a probe of what it has beside the Gauss–Newton
        one holds the products with all other weights, while that is a sum of squares. It is `difference`.

        Raises:
          InvalidInput: for fewer than one.
        """
        if count < 1:
            raise invalid("count >= 1", count, "ask for at least one column")
        slope = self._flat(lambda each: np.asarray(each.gauss_newton.value))
        error = self._flat(lambda each: np.asarray(each.gauss_newton.standard_error))
        order = np.argsort(-np.where(slope > slopes.SEPARATION * error, slope, -np.inf), kind="stable")[
            :count
        ]
        return [self._column(int(i)) for i in order if slope[i] > slopes.SEPARATION * error[i]]

    def resolved_share(self) -> dict[str, float]:
        """Part of the columns whose slope is separated from zero by 3 standard errors, by kind of slope."""
        newton = self._flat(lambda each: slopes.separated(each.gauss_newton))
        hessian = self._flat(lambda each: each.resolved)
        return {GAUSS_NEWTON: float(newton.mean()), HESSIAN: float(hessian.mean())}

    def _flat(self, part: Any) -> np.ndarray:
        return np.concatenate([np.ravel(part(each)) for each in self.matrices.values()])

    def _column(self, index: int) -> Column:
        for name, each in self.matrices.items():
            if index >= each.weights.size:
                index -= each.weights.size
                continue
            at = np.unravel_index(index, each.weights.shape)
            layer, column = self.depth[int(at[0])], int(at[1])
            mean = self.total.gauss_newton.value / int(self.total.weights)
            return Column(
                name,
                layer,
                column,
                float(each.gauss_newton.value[at]),
                float(each.gauss_newton.standard_error[at]),
                float(each.slope.value[at]),
                float(each.slope.standard_error[at]),
                bool(np.asarray(each.resolved)[at]),
                float(each.gauss_newton.value[at] / int(each.weights[at]) / mean),
                bool(column in self.outliers[SITE_OF[name]][layer]),
            )
        raise IndexError(index)

    def to_json(self, count: int = SHOWN) -> dict[str, Any]:
        """A strict-JSON object: the first `count` to protect, and every column's two slopes with errors."""
        return {
            "protect_first": [column.to_json() for column in self.protect_first(count)],
            "resolved_share": self.resolved_share(),
            "total": self.total.to_json(),
            "matrices": {name: _both(each) for name, each in self.matrices.items()},
            "outliers": {site: chosen.tolist() for site, chosen in self.outliers.items()},
            "depth": list(self.depth),
            "provenance": dict(self.provenance),
        }


def _both(each: Slopes) -> dict[str, Any]:
    """Both slopes of every column, each with its error and whether it is resolved."""
    return {
        name: {
            "value": np.asarray(found.value).tolist(),
            "standard_error": np.asarray(found.standard_error).tolist(),
            "resolved": np.asarray(slopes.separated(found)).tolist(),
        }
        for name, found in ((GAUSS_NEWTON, each.gauss_newton), (HESSIAN, each.slope))
    }


def columns(
    model: LanguageModel, calibration: Windows, evaluation: Windows, *, probes: int = PROBES, **options: Any
) -> ColumnMap:
    """E ΔNLL per unit flip rate of every input column of every matrix, and which to protect first.

    Arguments, errors and records are those of `linear_response`, which measures all columns at once; at the
    same arguments the two share a folder of records.
    """
    return ColumnMap.of(linear_response(model, calibration, evaluation, probes=probes, **options))
