"""`signmag measure rotation`: the same function without outlier columns."""

from __future__ import annotations

from typing import Any

from signmag_jax.cli.request import Request

from . import lines
from .checks import one_rate_and_number
from .verb import Verb, scored


def _run(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.rotation(
        model,
        *request.divided(tokens),
        rate=request.rates[0],
        seeds=request.count,
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


def verb() -> Verb:
    """The measurement."""
    from signmag_jax.measure.inputs import MINIMUM_WINDOWS
    from signmag_jax.measure.rotation import RATE

    return Verb(
        _run,
        _summary,
        scored("rotation_cost"),
        ("calibration", "rates", "seeds", "resume"),
        MINIMUM_WINDOWS,
        (RATE,),
        check=one_rate_and_number,
    )
