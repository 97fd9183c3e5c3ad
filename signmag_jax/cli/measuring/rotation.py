"""`signmag measure rotation`: the same function without outlier columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from signmag_jax.cli.request import Request

from . import lines
from .checks import one_rate_and_number
from .tables import by_draw
from .verb import Rows, Verb, scored


def _run(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.rotation(
        model,
        *request.divided(tokens),
        rate=request.rates[0],
        draws=request.count,
        **request.seeded(source),
    )


def _summary(found: Any) -> dict[str, str]:
    import numpy as np

    summary = {"nll rotated − trained": lines.written(found.difference)}
    for which, table in found.largest.items():
        for site, values in table.items():
            summary[f"largest nα² at {site}, median over layers, {which}"] = f"{np.median(values):.4g}"
    for name, values in found.total.items():
        summary[f"Σα²‖w‖² of {name}, rotated over trained, median"] = f"{np.median(values):.3g}"
    for which, flips in found.flips.items():
        summary[f"ΔNLL of flips, {which}"] = lines.mean(flips.values["delta_nll"])
    return summary


def _rows(found: Any) -> Rows:
    """The metrics of every draw and window, of the trained and of the rotated model."""
    return [
        row
        for which, flips in found.flips.items()
        for row in by_draw(flips.samples, "metric", "value", model=which)
    ]


def _plot(found: Any, path: Path) -> None:
    from signmag_jax.report import figures, measured

    series = {
        f"{which}, {site}": (values, None)
        for which, table in found.largest.items()
        for site, values in table.items()
    }
    layers = range(len(next(iter(series.values()))[0]))
    title = "The largest column before and after a rotation"
    figures.save(measured.curves(series, "layer", "largest nα²", title, layers, log=True), path)


def verb() -> Verb:
    """The measurement."""
    from signmag_jax.measure.inputs import MINIMUM_WINDOWS
    from signmag_jax.measure.rotation import RATE

    return Verb(
        _run,
        _summary,
        scored("rotation_cost"),
        ("calibration", "rates", "draws", "resume"),
        MINIMUM_WINDOWS,
        (RATE,),
        plot=_plot,
        rows=_rows,
        check=one_rate_and_number,
        arrays=2,
    )
