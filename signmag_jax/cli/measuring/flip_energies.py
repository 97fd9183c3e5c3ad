"""`signmag measure flip-energies`: what flips in one column add to a layer's outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from signmag_jax.cli.request import Request

from . import lines, places
from .checks import one_rate_and_number
from .places import Several
from .tables import by_draw
from .verb import PLACES, Rows, Verb


def _run(request: Request) -> Several:
    from signmag_jax import measure

    return places.everywhere(
        request, measure.flip_energies, rate=request.rates[0], draws=request.count, seed=request.seed
    )


def _summary(found: Several) -> dict[str, str]:
    summary = {}
    for each in found.results:
        for level, association in each.association.items():
            summary |= lines.association(f"{places.title(each.sample)}, {level}", association)
    return summary


def _rows(found: Several) -> Rows:
    def cells(each: Any, index: int) -> Rows:
        tables = {level: table[index] for level, table in each.samples.items()}
        return by_draw(tables, "level", "energy", flips=each.flips)

    return places.rows(found, cells)


def _plot(found: Several, path: Path) -> None:
    from signmag_jax.report import figures, measured

    each = found.results[0]
    series = {
        level: (each.sample.predictor, energy.value, energy.standard_error)
        for level, energy in each.energy.items()
    }
    title = f"{places.title(each.sample)}: {each.flips} flips in one column"
    figures.save(measured.points(series, "α²‖w‖²", "energy of the change over the signal's", title), path)


def _cost(request: Request) -> float:
    from signmag_jax import measure

    columns = places.columns(request)
    # How many layers the model has is not known yet; ten is few.
    one = measure.flip_energies_cost(request.windows, request.window, 10, columns, request.count)
    return places.cost(request, one)


def verb() -> Verb:
    """The measurement."""
    from signmag_jax.measure.flip_energies import RATE
    from signmag_jax.measure.inputs import FEWEST_CALIBRATION

    return Verb(
        _run,
        _summary,
        _cost,
        ("calibration", "columns", "rates", "draws", *PLACES, "resume"),
        FEWEST_CALIBRATION,
        (RATE,),
        _plot,
        _rows,
        one_rate_and_number,
    )
