"""`signmag measure quantization`: what sign and ternary weights keep of every matrix's direction."""

from __future__ import annotations

from typing import Any

from signmag_jax.cli.request import Request

from .lines import written
from .verb import PLACES, Verb


def _run(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.quantization(
        model, tokens, layers=request.layers, matrices=request.matrices, seed=request.seed, source=source
    )


def _summary(found: Any) -> dict[str, str]:
    lines = {}
    for quantizer in found.alignments:
        for which in ("rows", "spherical", "real"):
            lines[f"cos², {quantizer}, {which}"] = written(found.overall(quantizer, which))
    return lines


def verb() -> Verb:
    """The measurement."""
    from signmag_jax.measure.inputs import FEWEST_CALIBRATION

    return Verb(_run, _summary, Request.passes, PLACES, FEWEST_CALIBRATION)
