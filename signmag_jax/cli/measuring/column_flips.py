"""`signmag measure column-flips`: whole columns, one at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from signmag_jax.cli.request import Request

from . import lines, places
from .places import Several
from .verb import PLACES, Rows, Verb


def _run(request: Request) -> Several:
    from signmag_jax import measure

    return places.everywhere(request, measure.column_flips)


def _summary(found: Several) -> dict[str, str]:
    summary = {}
    for each in found.results:
        place = places.title(each.sample)
        means = each.samples.mean(axis=1)
        top = int(means.argmax())
        summary[f"{place}: most costly of {len(means)} columns"] = (
            f"column {each.sample.columns[top]}, ΔNLL {lines.written(each.damage[top].estimate)}"
        )
        summary[f"{place}: columns whose flip lowers the loss"] = str(int((means < 0).sum()))
        summary |= lines.association(f"{place}, α²‖w‖²", each.association)
        summary |= lines.association(f"{place}, α² alone", each.by_alpha)
    return summary


def _rows(found: Several) -> Rows:
    def cells(each: Any, index: int) -> Rows:
        return [
            {"window": window, "delta_nll": float(value)} for window, value in enumerate(each.samples[index])
        ]

    return places.rows(found, cells)


def _plot(found: Several, path: Path) -> None:
    from signmag_jax.report import figures, measured

    series = {
        places.title(each.sample): (
            each.sample.predictor,
            each.samples.mean(axis=1),
            [damage.estimate.standard_error for damage in each.damage],
        )
        for each in found.results
    }
    title = "Flipping one whole column"
    figures.save(measured.points(series, "α²‖w‖²", "ΔNLL, nats per token", title), path)


def _cost(request: Request) -> float:
    from signmag_jax import measure

    columns = places.columns(request)
    return places.cost(request, measure.column_flips_cost(request.windows, request.window, columns))


def verb() -> Verb:
    """The measurement."""
    from signmag_jax.measure.inputs import MINIMUM_WINDOWS

    return Verb(
        _run,
        _summary,
        _cost,
        ("calibration", "columns", *PLACES, "resume"),
        MINIMUM_WINDOWS,
        plot=_plot,
        rows=_rows,
    )
