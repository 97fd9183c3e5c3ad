"""What an error of a fixed direction costs: predicted to second order, and measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from signmag_jax.evidence import Estimate, Picture, Result
from signmag_jax.evidence.numbers import with_error
from signmag_jax.evidence.result import named

from . import slopes


@dataclass(frozen=True, eq=False)
class ErrorCost(Result):
    """Predicted cost of one deterministic error e at its actual size, in nats per token.

    Args:
      relative_norm: ‖e‖/‖w‖ over everything that takes part.
      first, second: `g·e` and `½ eᵀHe` of the errors in all matrices at once, exact on the windows.
      predicted: their sum.
      measured: ΔNLL with all errors applied.
      meant: whether the two agree within 25% or 3 standard errors: beyond that the quadratic model is not
        meant at this size.
      matrix_first: by kind of matrix, the sum of `each_first` over layers.
      matrix_second: likewise of `each_second`.
      each_first: by matrix, `g·e` of the error in that matrix of one layer alone, (layers,).
      each_second: by matrix, `½ eᵀHe` of the same, by random signs of the blocks, (layers,).
    """

    SHOWN = ("resolved",)

    relative_norm: float
    first: Estimate
    second: Estimate
    predicted: Estimate
    measured: Estimate
    meant: bool = field(metadata=named("quadratic_model_meant"))
    matrix_first: dict[str, Estimate]
    matrix_second: dict[str, Estimate]
    each_first: dict[str, Estimate]
    each_second: dict[str, Estimate]

    @property
    def resolved(self) -> dict[str, Any]:
        """Whether each layer's first and second order are separated from zero, by matrix."""
        return {
            name: {"first": slopes.separated(first), "second": slopes.separated(self.each_second[name])}
            for name, first in self.each_first.items()
        }


@dataclass(frozen=True, eq=False)
class ErrorResponse(Result):
    """Result of `error_response`: a cost for each error by name, the layers of its arrays, provenance."""

    errors: dict[str, ErrorCost]
    layers: tuple[int, ...]
    provenance: Mapping[str, Any]

    def summary(self) -> dict[str, str]:
        """Both orders, their sum and the measured cost of every error; both orders also by kind of matrix."""
        summary = {}
        for name, cost in self.errors.items():
            for part in ("first", "second", "predicted", "measured"):
                summary[f"{name}: {part}"] = str(getattr(cost, part))
            for part, by_matrix in (("first", cost.matrix_first), ("second", cost.matrix_second)):
                lines = (
                    f"{matrix} {with_error(float(one.value), float(one.standard_error))}"
                    for matrix, one in by_matrix.items()
                )
                summary[f"{name}: {part}, by matrix"] = "; ".join(lines)
            if not cost.meant:
                summary[f"{name}: predicted"] += "; not meant at this size of error"
        return summary

    def rows(self) -> list[dict[str, Any]]:
        """One row for each error, matrix and layer: both orders with their standard errors."""
        return [
            {"error": name, "matrix": matrix, "layer": layer}
            | first.cells("first", index)
            | cost.each_second[matrix].cells("second", index)
            for name, cost in self.errors.items()
            for matrix, first in cost.each_first.items()
            for index, layer in enumerate(self.layers)
        ]

    def picture(self) -> Picture:
        """Predicted and measured cost of every error."""
        values = {}
        for name, cost in self.errors.items():
            for part, estimate in (("predicted", cost.predicted), ("measured", cost.measured)):
                values[f"{name}, {part}"] = (estimate.value, *estimate.interval(2.0))
        title = "Errors of a fixed direction, to second order and as measured"
        return Picture("bars", {"values": values, "y": "ΔNLL, nats per token", "title": title})
