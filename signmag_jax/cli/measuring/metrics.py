"""`signmag measure metrics`: what one kind of error does to the predictions."""

from __future__ import annotations

from pathlib import Path
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
    from signmag_jax.measure.errors import is_deterministic
    from signmag_jax.measure.metrics import DRAWS, check_draws

    one_number_of_seeds(request)
    # Whatever draws has a spread over draws.
    check_draws(request.count, DRAWS, 1 if is_deterministic(_perturbation(request)) else 2)


def _run(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.metrics(
        model, tokens, _perturbation(request), draws=request.count, **request.placed(source)
    )


def _summary(found: Any) -> dict[str, str]:
    values = {name: lines.mean(value) for name, value in found.values.items()}
    floor = ", ".join(f"{name} {value:.2g}" for name, value in found.noise_floor.items())
    return {"clean nll": lines.written(found.clean), **values, "noise floor (A/A)": floor}


def _rows(found: Any) -> Rows:
    return by_draw(found.samples, "metric", "value")


def _plot(found: Any, path: Path) -> None:
    from signmag_jax.report import figures, measured

    losses = {name: found.values[name] for name in ("delta_nll", "kl", "reverse_kl")}
    values = {name: (each.estimate.value, each.low, each.high) for name, each in losses.items() if each}
    figures.save(measured.bars(values, "nats per token", found.provenance["perturbation"]), path)


def verb() -> Verb:
    """The measurement."""
    from signmag_jax.measure.inputs import MINIMUM_WINDOWS

    return Verb(
        _run,
        _summary,
        scored("metrics_cost"),
        ("perturbation", *DRAWS),
        MINIMUM_WINDOWS,
        plot=_plot,
        rows=_rows,
        check=_check,
    )
