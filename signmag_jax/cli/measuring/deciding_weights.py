"""`signmag measure deciding-weights`: the single weights whose flip costs most."""

from __future__ import annotations

from typing import Any

from signmag_jax.cli.request import Request

from . import lines
from .verb import PLACES, Verb

SHOWN = 10


def _run(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.deciding_weights(
        model, *request.divided(tokens), **_sizes(request), **request.placed(source)
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
    return summary


def _cost(request: Request) -> float:
    from signmag_jax import measure

    return measure.deciding_weights_cost(
        request.calibration or 0, request.windows, request.window, **_sizes(request)
    )


def verb() -> Verb:
    """The measurement."""
    return Verb(_run, _summary, _cost, ("columns", "calibration", *PLACES, "resume"), 2)
