"""`signmag measure all-columns`: flips against magnitude shifts of equal norm, over all columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from signmag_jax.cli.request import Request

from . import comparisons
from .verb import DRAWS, Verb


def _run(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.all_columns(
        model, tokens, rates=request.rates, draws=request.draws, **request.placed(source)
    )


def _summary(found: Any) -> dict[str, str]:
    return comparisons.summary(found.rates, "flips over shifts")


def _plot(found: Any, path: Path) -> None:
    title = "Sign flips against magnitude shifts of equal norm"
    comparisons.plot(found, "flips over shifts", title, path)


def _cost(request: Request) -> float:
    from signmag_jax import measure

    return measure.all_columns_cost(request.windows, request.window, request.rates, request.draws)


def verb() -> Verb:
    """The measurement."""
    from signmag_jax.measure.all_columns import RATES
    from signmag_jax.measure.inputs import MINIMUM_WINDOWS

    return Verb(_run, _summary, _cost, ("rates", *DRAWS), MINIMUM_WINDOWS, RATES, _plot, comparisons.rows)
