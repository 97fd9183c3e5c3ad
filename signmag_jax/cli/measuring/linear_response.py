"""`signmag measure linear-response`: slopes of the loss in the flip rate, by exact derivatives."""

from __future__ import annotations

from typing import Any

from signmag_jax.cli.request import Request

from . import lines, probes
from .verb import Verb


def _run(request: Request) -> Any:
    from signmag_jax import measure

    return probes.probed(request, measure.linear_response)


def _summary(found: Any) -> dict[str, str]:
    summary = {}
    for pool, slopes in found.pools.items():
        for name in ("slope", "first", "second", "singles", "gauss_newton"):
            label = name.replace("_", "–")
            summary[f"{pool}, {int(slopes.weights)} weights: {label}"] = lines.written(getattr(slopes, name))
        if not slopes.resolved:
            summary[f"{pool}: slope"] = "UNRESOLVED: not separated from zero by 3 standard errors"
        summary[f"{pool}: linear to 10% below rate"] = f"{found.linear_below(pool):.2g}"
    return summary | {"predicted count-matched leverage": lines.ratio(found.leverage)}


def verb() -> Verb:
    """The measurement."""
    return Verb(_run, _summary, probes.cost, probes.OPTIONS, probes.FEWEST, check=probes.check)
