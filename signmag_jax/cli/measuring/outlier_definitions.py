"""`signmag measure outlier-definitions`: the leverage under several definitions of an outlier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from signmag_jax.cli.request import Request

from . import comparisons, lines
from .checks import one_rate_and_number
from .verb import DRAWS, Rows, Verb, calibration_passes


def _run(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.outlier_definitions(
        model,
        *request.divided(tokens),
        rate=request.rates[0],
        draws=request.count,
        **request.placed(source),
    )


def _summary(found: Any) -> dict[str, str]:
    summary = {}
    for name, each in found.definitions.items():
        counts = ", ".join(f"{site} {count:g}" for site, count in each.columns.items())
        summary[f"leverage, {name} (columns a layer: {counts})"] = lines.ratio(each.leverage)
    return summary


def _rows(found: Any) -> Rows:
    """ΔNLL of every draw and window under each definition that has a leverage."""
    return [
        {"definition": name, **row}
        for name, each in found.definitions.items()
        if each.found is not None
        for row in comparisons.rows(each.found)
    ]


def _plot(found: Any, path: Path) -> None:
    from signmag_jax.report import figures, measured

    clear = {
        name: each.leverage.interval for name, each in found.definitions.items() if each.leverage.resolved
    }
    values = {name: (each.estimate.value, each.low, each.high) for name, each in clear.items()}
    figures.save(measured.bars(values, "leverage", "Leverage by definition of an outlier"), path)


def _cost(request: Request) -> float:
    from signmag_jax import measure

    passes = measure.outlier_definitions_cost(
        request.windows, request.window, request.rates[0], request.count
    )
    return passes + 2 * calibration_passes(request)


def verb() -> Verb:
    """The measurement."""
    from signmag_jax.measure.inputs import MINIMUM_WINDOWS
    from signmag_jax.measure.outlier_definitions import RATE

    return Verb(
        _run,
        _summary,
        _cost,
        ("calibration", "rates", *DRAWS),
        MINIMUM_WINDOWS,
        (RATE,),
        plot=_plot,
        rows=_rows,
        check=one_rate_and_number,
    )
