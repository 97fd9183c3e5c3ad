"""`signmag measure error-response`: what shifts, pruning and quantisation cost, by exact derivatives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from signmag_jax.cli.request import Request

from . import lines
from .checks import one_number_of_seeds
from .verb import DRAWS, Rows, Verb

ARRAYS = 5
"""Weights, an error, the error with random signs, the gradient and its derivative along that."""
PARTS = ("first", "second", "predicted", "measured")


def _errors(request: Request) -> dict[str, Any]:
    """The error asked for, or the measurement's own."""
    from signmag_jax.cli.perturbations import parse
    from signmag_jax.measure.errors import ERRORS

    asked = request.perturbation
    return dict(ERRORS) if asked is None else {asked: parse(asked)}


def _probes(request: Request) -> int:
    from signmag_jax.measure.errors import PROBES

    return PROBES if request.count is None else request.count


def _check(request: Request) -> None:
    from signmag_jax.measure.errors import PROBES, check_deterministic
    from signmag_jax.measure.metrics import check_draws

    one_number_of_seeds(request)
    check_draws(request.count, PROBES, 2)
    for name, error in _errors(request).items():
        check_deterministic(name, error)


def _run(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.error_response(
        model, tokens, _errors(request), probes=_probes(request), **request.placed(source)
    )


def _summary(found: Any) -> dict[str, str]:
    summary = {}
    for name, cost in found.errors.items():
        for part in PARTS:
            summary[f"{name}: {part}"] = lines.written(getattr(cost, part))
        if not cost.meant:
            summary[f"{name}: predicted"] += "; not meant at this size of error"
    return summary


def _rows(found: Any) -> Rows:
    """One row for each error, matrix and layer: both orders with their errors."""
    return [
        {
            "error": name,
            "matrix": matrix,
            "layer": layer,
            "first": float(first.value[index]),
            "first_se": float(first.standard_error[index]),
            "second": float(cost.each_second[matrix].value[index]),
            "second_se": float(cost.each_second[matrix].standard_error[index]),
        }
        for name, cost in found.errors.items()
        for matrix, first in cost.each_first.items()
        for index, layer in enumerate(found.depth)
    ]


def _plot(found: Any, path: Path) -> None:
    from signmag_jax.report import figures, measured

    values = {}
    for name, cost in found.errors.items():
        for part in ("predicted", "measured"):
            estimate = getattr(cost, part)
            reach = 2 * estimate.standard_error
            values[f"{name}, {part}"] = estimate.value, estimate.value - reach, estimate.value + reach
    title = "Errors of a fixed direction, to second order and in place"
    figures.save(measured.bars(values, "ΔNLL, nats per token", title), path)


def _cost(request: Request) -> float:
    from signmag_jax import measure

    return measure.error_response_cost(
        request.windows, request.window, len(_errors(request)), _probes(request)
    )


def verb() -> Verb:
    """The measurement."""
    return Verb(
        _run,
        _summary,
        _cost,
        ("perturbation", *DRAWS),
        2,
        plot=_plot,
        rows=_rows,
        check=_check,
        arrays=ARRAYS,
    )
