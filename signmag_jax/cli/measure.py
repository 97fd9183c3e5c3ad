"""`signmag measure`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import (
    Device,
    DryRun,
    Json,
    Model,
    Plot,
    Quiet,
    Resume,
    Seed,
    Text,
    emit,
    numbers,
    prepare,
    remark,
    say,
)

LIST = "Comma-separated"


@dataclass(frozen=True)
class Request:
    """What was asked for, after parsing."""

    model: str | None
    text: str | None
    window: int
    windows: int
    calibration: int
    rates: tuple[float, ...] | None
    seeds: tuple[int, ...] | None
    layers: tuple[int, ...] | None
    matrices: tuple[str, ...] | None
    dtype: str
    seed: int
    resume: Path | None


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("measure")(measure)


def measure(
    name: Annotated[str, typer.Argument(help="nll, alpha, quantization, leverage or all-columns.")],
    model: Model = None,
    text: Text = None,
    window: Annotated[int, typer.Option("--window", help="Tokens of a window.")] = 512,
    windows: Annotated[int, typer.Option("--windows", help="Windows that are scored.")] = 8,
    calibration: Annotated[
        int,
        typer.Option(
            "--calibration", help="Windows before them that choose columns (leverage, all-columns)."
        ),
    ] = 8,
    rates: Annotated[str | None, typer.Option("--rates", help=f"{LIST}: 0.001,0.005,0.05.")] = None,
    seeds: Annotated[str | None, typer.Option("--seeds", help="Draws: one number, or one per rate.")] = None,
    layers: Annotated[str | None, typer.Option("--layers", help=f"{LIST}: 0,1,29. Default: all.")] = None,
    matrices: Annotated[str | None, typer.Option("--matrices", help=f"{LIST}: q_proj,down_proj.")] = None,
    dtype: Annotated[str, typer.Option("--dtype", help="Precision of the weights.")] = "float32",
    device: Device = "auto",
    dry_run: DryRun = False,
    resume: Resume = None,
    plot: Plot = None,
    seed: Seed = 0,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Measure a trained model: loss, concentration of its inputs, quantisation error, leverage of columns.

    Example: signmag measure nll --text FILE --window 1024 --windows 1
    """
    if name not in VERBS:
        raise typer.BadParameter(f"no measurement {name!r}: choose from {', '.join(VERBS)}")
    request = Request(
        model,
        text,
        window,
        windows,
        calibration,
        numbers("--rates", rates, float),
        numbers("--seeds", seeds, int),
        numbers("--layers", layers, int),
        numbers("--matrices", matrices, str),
        dtype,
        seed,
        resume,
    )
    verb = VERBS[name]
    prepare(quiet=quiet, device=device)
    if dry_run:
        return _print(verb.cost(request), json)
    if plot is not None and verb.plot is None:
        raise typer.BadParameter(f"{name} has no picture: leave --plot out")
    found = verb.run(request)
    if plot is not None and verb.plot is not None:
        verb.plot(found, plot)
        remark(f"Written: {plot}", quiet=quiet)
    return _print(found.to_json() if json else verb.summary(found), json)


def _print(plain: Any, json: bool) -> int:
    if json:
        emit(plain)
        return 0
    for key, value in plain.items():
        say(f"{key}: {value}")
    return 0


def _load(request: Request, count: int) -> tuple[Any, Any, dict[str, str]]:
    """Model, `count` windows from the start of the text, and the text's identity."""
    from signmag_jax import models

    chosen = models.text.load(request.text)
    model = models.load(request.model, dtype=request.dtype)
    tokens = models.text.windows(model.tokenizer.encode(chosen.content), request.window, count)
    return model, tokens, {"text": chosen.source, "text_sha256": chosen.sha256}


def _written(estimate: Any) -> str:
    from signmag_jax.report.numbers import with_error

    number = with_error(estimate.value, estimate.standard_error)
    return f"{number} {estimate.unit} (n = {estimate.n}; {estimate.estimator})"
