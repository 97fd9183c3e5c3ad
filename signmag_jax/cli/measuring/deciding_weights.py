"""`signmag measure deciding-weights`: single weights whose flip costs most, and what they explain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from signmag_jax.cli.request import Request

from . import lines, probes
from .verb import Rows, Verb

SHOWN = 10


def _check(request: Request) -> None:
    from signmag_jax.measure.deciding import check_counts

    probes.check(request)
    if request.columns is not None:
        check_counts(request.columns)


def _run(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    windows, inner = request.divided(tokens), request.placed(source, "linear-response")
    response = measure.linear_response(model, *windows, probes=probes.count(request), **inner)
    return measure.deciding_weights(
        model, *windows, response=response, **_sizes(request), **request.placed(source)
    )


def _sizes(request: Request) -> dict[str, int]:
    """How many weights are verified: `--columns`, where it is given."""
    return {} if request.columns is None else {"verified": request.columns}


def _summary(found: Any) -> dict[str, str]:
    summary = {}
    for name, interval in found.rank_correlation.items():
        value = "undefined" if interval is None else lines.correlation(interval)
        summary[f"rank correlation with the exact cost, {name}"] = value
    for rank, weight in enumerate(found.ranked()[:SHOWN], start=1):
        place = weight.place
        where = f"layer {place.layer} {place.name} [{place.row}, {place.column}]"
        summary[f"weight {rank}: {where}"] = f"ΔNLL {lines.written(weight.flip)}"
    return summary | {"part of the outlier pool's slope that they carry": lines.ratio(found.explained)}


def _rows(found: Any) -> Rows:
    """One row for each shortlisted weight; those that were not verified have no exact cost."""
    verified = {each.place: each for each in found.weights}
    return [
        {**place.to_json(), "shortlisted": cost, **(_exact(verified[place]) if place in verified else {})}
        for place, cost in found.shortlist
    ]


def _exact(weight: Any) -> dict[str, float]:
    parts = {name: getattr(weight, name) for name in ("first", "second", "flip")}
    return {
        label: float(value)
        for name, part in parts.items()
        for label, value in ((name, part.value), (f"{name}_se", part.standard_error))
    }


def _plot(found: Any, path: Path) -> None:
    from signmag_jax.report import figures, measured

    flips = [each.flip for each in found.weights]
    costs = [each.shortlisted for each in found.weights]
    series = {"verified": (costs, [e.value for e in flips], [e.standard_error for e in flips])}
    x = "predicted on calibration text, nats per token"
    figures.save(measured.points(series, x, "ΔNLL, nats per token", "Flipping one weight"), path)


def _cost(request: Request) -> float:
    from signmag_jax import measure

    weights = measure.deciding_weights_cost(
        request.calibration or 0, request.windows, request.window, **_sizes(request)
    )
    return weights + probes.cost(request)


def verb() -> Verb:
    """The measurement."""
    return Verb(
        _run,
        _summary,
        _cost,
        ("columns", *probes.OPTIONS),
        probes.FEWEST,
        plot=_plot,
        rows=_rows,
        check=_check,
        arrays=probes.ARRAYS,
    )
