"""`signmag measure metrics`: what one kind of error does to the predictions."""

from __future__ import annotations

from typing import Any

from signmag_jax.cli.request import Request

from . import lines
from .checks import one_number_of_seeds
from .tables import by_draw
from .verb import DRAWS, Rows, Verb, scored

PERTURBATION = "flip:0.01"


def _perturbation(request: Request) -> Any:
    from signmag_jax.cli.perturbations import parse

    return parse(request.perturbation or PERTURBATION)


def _check(request: Request) -> None:
    from signmag_jax.measure.metrics import SEEDS, check_draws

    one_number_of_seeds(request)
    check_draws(request.count, SEEDS)
    _perturbation(request)


def _run(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.metrics(
        model, tokens, _perturbation(request), seeds=request.count, **request.placed(source)
    )


def _summary(found: Any) -> dict[str, str]:
    values = {name: lines.mean(value) for name, value in found.values.items()}
    floor = ", ".join(f"{name} {value:.2g}" for name, value in found.noise_floor.items())
    return {"clean nll": lines.written(found.clean), **values, "noise floor (A/A)": floor}


def _rows(found: Any) -> Rows:
    return by_draw(found.samples, "metric", "value")


def verb() -> Verb:
    """The measurement."""
    from signmag_jax.measure.inputs import MINIMUM_WINDOWS

    return Verb(
        _run,
        _summary,
        scored("metrics_cost"),
        ("perturbation", *DRAWS),
        MINIMUM_WINDOWS,
        rows=_rows,
        check=_check,
    )
