"""`signmag measure linear-response`: slopes of the loss in the flip rate, by exact derivatives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from signmag_jax.cli.request import Request

from . import lines, probes
from .verb import Rows, Verb

PARTS = ("slope", "first", "second", "singles", "gauss_newton")


def _run(request: Request) -> Any:
    from signmag_jax import measure

    return probes.probed(request, measure.linear_response)


def _summary(found: Any) -> dict[str, str]:
    summary = {}
    for pool, slopes in found.pools.items():
        for name in PARTS:
            label = name.replace("_", "–")
            summary[f"{pool}, {int(slopes.weights)} weights: {label}"] = lines.written(getattr(slopes, name))
        if not slopes.resolved:
            summary[f"{pool}: slope"] = "UNRESOLVED: not separated from zero by 3 standard errors"
        summary[f"{pool}: linear to 10% below rate"] = f"{found.linear_below(pool):.2g}"
    return summary | {
        "predicted count-matched leverage": lines.ratio(found.leverage),
        "part of the outlier pool's slope that single weights carry": lines.ratio(found.share_of_singles()),
    }


def _rows(found: Any) -> Rows:
    """One row for each pool, then for each matrix of each layer: slopes with errors."""
    pools = [{"pool": pool, **_flat(slopes, ())} for pool, slopes in found.pools.items()]
    return pools + [
        {"pool": "all", "matrix": name, "layer": layer, **_flat(slopes, index)}
        for name, slopes in found.each.items()
        for index, layer in enumerate(found.depth)
    ]


def _flat(slopes: Any, at: Any) -> dict[str, Any]:
    import numpy as np

    flat: dict[str, Any] = {"weights": int(slopes.weights[at])}
    for part in PARTS:
        estimate = getattr(slopes, part)
        for name, value in ((part, estimate.value), (f"{part}_se", estimate.standard_error)):
            flat[name] = float(np.asarray(value)[at])
    return flat


def _plot(found: Any, path: Path) -> None:
    from signmag_jax.report import figures, measured

    series = {
        name: (slopes.slope.value / slopes.weights, slopes.slope.standard_error / slopes.weights)
        for name, slopes in found.each.items()
    }
    y = "nats per token per unit flip rate and weight"
    title = "Slope of the loss in the flip rate"
    figures.save(measured.curves(series, "layer", y, title, found.depth), path)


def verb() -> Verb:
    """The measurement."""
    return probes.verb(_run, _summary, _plot, _rows)
