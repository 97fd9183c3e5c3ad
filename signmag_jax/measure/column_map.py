"""The map of columns: what sign flips cost in each input column, and which columns to protect first."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Unpack

import numpy as np
from jaxtyping import Float

from signmag_jax.evidence import Estimate, Picture, Result, invalid
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.numbers import with_error
from signmag_jax.evidence.result import KEPT_OUT
from signmag_jax.models import SITE_OF, LanguageModel

from . import slopes as judged
from .activations import Columns
from .inputs import Windows
from .place import Place
from .predicted import LinearResponse
from .response import linear_response
from .setup import Options
from .slopes import Slopes
from .suspects import Suspect

GAUSS_NEWTON, HESSIAN = "gauss_newton", "hessian"
PROTECTED = 100
SUMMARISED = 10
PERTURBATION = "sign flips"
"""What the ranking is for: another perturbation has another order."""
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
      flipped: its weights that were flipped one by one, as rows, with the exact cost of each flip.
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
    flipped: tuple[tuple[int, Estimate], ...]

    @property
    def clear(self) -> bool:
        """Whether its slope is separated from zero by 3 standard errors."""
        return bool(self.slope > judged.SEPARATION * self.standard_error)

    @property
    def flips(self) -> float:
        """The part of its slope that is exact on these windows: of the weights that were flipped."""
        return sum((float(flip.value) for _, flip in self.flipped), 0.0)

    def __str__(self) -> str:
        where = f"layer {self.layer} {self.matrix} column {self.column}: "
        cost = f"{with_error(self.slope, self.standard_error)}, {self.relative:.3g} times the mean weight's"
        notes = [
            f"the flip of [{row}, {self.column}] alone {with_error(flip.value, flip.standard_error)}"
            for row, flip in self.flipped
        ]
        notes += ["an outlier column"] if self.outlier else []
        notes += [] if self.clear else ["not separated from zero by 3 standard errors"]
        return where + "; ".join([cost, *notes])


@dataclass(frozen=True, eq=False)
class ColumnMap(Result):
    """Result of `columns`.

    Args:
      matrices: slopes of each column by matrix, (layers, inputs).
      total: of all matrices and layers.
      outliers: the outlier columns, by site.
      layers: those that the arrays stand for.
      flips: the weights that were flipped one by one on the evaluation windows, and what that cost.
      suspects: the weights among which they were chosen.
      provenance: model, texts, seed, versions, device.
      perturbation: what the ranking is for.
    """

    SHOWN = ("protect_first", "resolved_share", "missed", "slopes")

    matrices: dict[str, Slopes] = field(metadata=KEPT_OUT)
    total: Slopes
    outliers: Columns
    layers: tuple[int, ...]
    flips: tuple[tuple[Place, Estimate], ...]
    suspects: tuple[Suspect, ...]
    provenance: Mapping[str, Any]
    perturbation: str = PERTURBATION

    @classmethod
    def of(cls, response: LinearResponse) -> ColumnMap:
        """The columns of a linear response."""
        flips = tuple(zip(response.singles, map(_flip, response.costs), strict=True))
        return cls(
            response.columns,
            response.pools["all"],
            response.outliers,
            response.taking_part,
            flips,
            response.suspects,
            response.provenance,
        )

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
            self._flipped.get((name, layer, column), ()),
        )

    @functools.cached_property
    def _flipped(self) -> dict[tuple[str, int, int], tuple[tuple[int, Estimate], ...]]:
        """The rows that were flipped one by one, the costliest first, by matrix, layer and column."""
        inside: dict[tuple[str, int, int], tuple[tuple[int, Estimate], ...]] = {}
        for place, flip in sorted(self.flips, key=lambda one: -float(one[1].value)):
            at = (place.name, place.layer, place.column)
            inside[at] = (*inside.get(at, ()), (place.row, flip))
        return inside

    @property
    def _mean(self) -> float:
        """The Gauss–Newton slope of a weight in the mean."""
        return float(self.total.gauss_newton.value) / int(self.total.weights)

    def protect_first(self, count: int = PROTECTED) -> list[Column]:
        """The columns that cost most when their signs flip, by Gauss–Newton slope.

        Among those resolved, and those above all that are not whose slope is mostly that of weights that were
        flipped one by one: exact on every window, it may differ much between windows.

        A single column's Hessian slope is seldom resolved: a probe of what it has beside the Gauss–Newton
        one holds the products with all other weights, while that is a sum of squares. It is `difference`.

        Raises:
          InvalidInput: for fewer than one.
        """
        if count < 1:
            raise invalid("count >= 1", count, "ask for at least one column")
        flipped = [one for one in self.every if not one.clear and 0 < one.slope < 2 * one.flips]
        others = (one.slope for one in self.every if not one.clear and one not in flipped)
        least = max(others, default=0.0)
        known = [one for one in self.every if one.clear or (one in flipped and one.slope > least)]
        return sorted(known, key=lambda one: -one.slope)[:count]

    def missed(self) -> float | None:
        """The largest cost, on calibration text, of a suspect that was not flipped on the evaluation windows.

        Columns of a smaller slope may change places with that one's; None where no suspects were tried.
        """
        flipped = {place for place, _ in self.flips}
        return max((one.cost for one in self.suspects if one.place not in flipped), default=None)

    def resolved_share(self) -> dict[str, float]:
        """Part of the columns whose slope is separated from zero by 3 standard errors, by kind of slope."""
        newton = [np.ravel(each.gauss_newton_resolved) for each in self.matrices.values()]
        hessian = [np.ravel(each.resolved) for each in self.matrices.values()]
        kinds = {GAUSS_NEWTON: newton, HESSIAN: hessian}
        return {kind: float(np.concatenate(parts).mean()) for kind, parts in kinds.items()}

    def summary(self) -> dict[str, str]:
        """How many columns are resolved, which to protect first, and what may have been missed."""
        lines = {f"resolved columns, {kind}": f"{share:.1%}" for kind, share in self.resolved_share().items()}
        missed = self.missed() or 0.0
        for rank, column in enumerate(self.protect_first(SUMMARISED), start=1):
            # Of what was not flipped on these windows, something may cost as much.
            note = "; its rank is uncertain" if column.slope < missed else ""
            lines[f"against {self.perturbation} protect {rank}"] = f"{column}{note}"
        return lines | {"looked at": self._looked_at(), "may be missed": self._unseen()}

    def _looked_at(self) -> str:
        if not self.suspects:
            return f"{len(self.flips)} single weights, flipped on the evaluation windows"
        kinds = ", ".join(dict.fromkeys(kind for one in self.suspects for kind in one.criteria))
        return (
            f"{len(self.suspects)} single weights ({kinds}), flipped on a little calibration text; "
            f"of these the costliest {len(self.flips)} on the evaluation windows"
        )

    def _unseen(self) -> str:
        missed = self.missed()
        beyond = "what no criterion names counts with its derivatives, which do not see saturated units"
        return beyond if missed is None else f"a flip of {missed:.2g} nat/token at most among those; {beyond}"

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
        tables = {}
        for name, each in self.matrices.items():
            value, clear = np.asarray(each.gauss_newton.value), judged.separated(each.gauss_newton)
            clear &= value > 0
            # 1 where nothing is shown: what is not resolved may have no logarithm.
            relative = np.where(clear, value / np.asarray(each.weights) / self._mean, 1.0)
            tables[name] = np.where(clear, np.log10(relative), UNRESOLVED)
        label = "log10 of the slope per weight over the mean; black: not resolved"
        return Picture("maps", {"tables": tables, "label": label, "layers": self.layers})

    def slopes(self) -> dict[str, Any]:
        """Both slopes of every column, each with its error and whether it is resolved, by matrix."""
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


def _flip(costs: Float[np.ndarray, " windows"]) -> Estimate:
    return judged.mean(costs[None], "nat/token", "single flip")


@counting
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
