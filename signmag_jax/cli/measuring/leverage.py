"""`signmag measure leverage`: flips in outlier columns against as many elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from signmag_jax.cli.request import Request

from . import comparisons
from .verb import DRAWS, Verb, calibration_passes


def _run(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.leverage(
        model,
        *request.divided(tokens),
        rates=request.rates,
        draws=request.draws,
        **request.placed(source),
    )


def _summary(found: Any) -> dict[str, str]:
    floor = {"noise floor": f"{found.noise_floor:.2g} nat/token"}
    return floor | comparisons.summary(found.rates, "leverage")


def _plot(found: Any, path: Path) -> None:
    comparisons.plot(found, "leverage", "Sign flips in outlier columns against the rest", path)


def _cost(request: Request) -> float:
    from signmag_jax import measure

    passes = measure.leverage_cost(request.windows, request.window, request.rates, request.draws)
    return passes + calibration_passes(request)


def verb() -> Verb:
    """The measurement."""
    from signmag_jax.measure.inputs import MINIMUM_WINDOWS
    from signmag_jax.measure.leverage import RATES

    return Verb(
        _run,
        _summary,
        _cost,
        ("calibration", "rates", *DRAWS),
        MINIMUM_WINDOWS,
        RATES,
        _plot,
        comparisons.rows,
    )
