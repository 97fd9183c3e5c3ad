"""`signmag measure`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .measurements import VERBS, Request
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
PARTICULAR = ("calibration", "rates", "seeds", "layers", "matrices", "resume")


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
        int | None, typer.Option("--calibration", help="Windows before them that choose columns; 8.")
    ] = None,
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
    _refuse(name, locals())
    request = Request(
        model,
        text,
        window,
        windows,
        8 if calibration is None else calibration,
        numbers("--rates", rates, float),
        numbers("--seeds", seeds, int),
        numbers("--layers", layers, int),
        numbers("--matrices", matrices, str),
        dtype,
        seed,
        resume,
    )
    verb = VERBS[name]
    if window < 2 or windows < 1 or (calibration is not None and calibration < 1):
        raise typer.BadParameter("--window is at least 2, --windows and --calibration at least 1")
    if plot is not None and verb.plot is None:
        raise typer.BadParameter(f"{name} has no picture: leave --plot out")
    if plot is not None:
        from signmag_jax.report.figures import check_format

        check_format(plot)
    prepare(quiet=quiet, device=device)
    if dry_run:
        return _print(_cost(verb.cost(request)), json)
    found = verb.run(request)
    if plot is not None and verb.plot is not None:
        verb.plot(found, plot)
        remark(f"Written: {plot}", quiet=quiet)
    return _print(found.to_json() if json else verb.summary(found), json)


def _refuse(name: str, given: dict[str, Any]) -> None:
    strange = [
        option for option in PARTICULAR if given[option] is not None and option not in VERBS[name].options
    ]
    if strange:
        flags = ", ".join(f"--{option}" for option in strange)
        raise typer.BadParameter(f"{name} does not take {flags}: leave it out")


def _cost(passes: float) -> dict[str, Any]:
    from signmag_jax.evidence.provenance import threads

    return {
        "forward_passes_of_2048_tokens": round(passes, 2),
        "memory": "the weights in their dtype, plus about 1 GiB for activations of 8 windows of 512 tokens",
        "threads": threads(),
    }


def _print(plain: Any, json: bool) -> int:
    if json:
        emit(plain)
        return 0
    for key, value in plain.items():
        say(f"{key}: {value}")
    return 0
