"""`signmag measure nll`."""

from __future__ import annotations

from typing import Any

from signmag_jax.cli.request import Request

from .lines import written
from .verb import Verb


def _run(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.nll(model, tokens, source=source)


def _summary(found: Any) -> dict[str, str]:
    from signmag_jax import measure

    return {"nll": written(found), "perplexity": written(measure.perplexity(found))}


def verb() -> Verb:
    """The measurement."""
    return Verb(_run, _summary, Request.passes)
