"""`signmag measure`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .measuring import MEASUREMENTS, Verb
from .options import (
    Device,
    Distributed,
    DryRun,
    Json,
    Mask,
    MeshShape,
    Model,
    Parquet,
    Plot,
    Quiet,
    Resume,
    Revision,
    Seed,
    Text,
    check_file,
    check_plot,
    filled,
    flags,
    joined,
    mesh_axes,
    prepare,
    remark,
    several,
    show,
)
from .parquet import check_parquet, write_parquet
from .request import Request

LIST = "Comma-separated"
DEFAULT_CALIBRATION = 8
NAMES = ", ".join(MEASUREMENTS)
PARTICULAR = (
    "calibration",
    "rates",
    "draws",
    "layers",
    "matrices",
    "resume",
    "columns",
    "quantizers",
    "scales",
    "perturbation",
    "mask",
)


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("measure")(measure)


def measure(
    name: Annotated[str, typer.Argument(help=f"{NAMES}.")],
    model: Model = None,
    revision: Revision = None,
    text: Text = None,
    window: Annotated[int, typer.Option("--window", help="Tokens of a window.")] = 512,
    windows: Annotated[int, typer.Option("--windows", help="Windows that are scored.")] = 8,
    calibration: Annotated[
        int | None,
        typer.Option(
            "--calibration", help=f"Windows before them that choose columns; {DEFAULT_CALIBRATION}."
        ),
    ] = None,
    rates: Annotated[str | None, typer.Option("--rates", help=f"{LIST}: 0.001,0.005,0.05.")] = None,
    draws: Annotated[str | None, typer.Option("--draws", help="Draws: one number, or one per rate.")] = None,
    layers: Annotated[str | None, typer.Option("--layers", help=f"{LIST}: 0,1,29. Default: all.")] = None,
    matrices: Annotated[str | None, typer.Option("--matrices", help=f"{LIST}: q_proj,down_proj.")] = None,
    columns: Annotated[
        int | None, typer.Option("--columns", help="Columns sampled of a matrix, or weights verified.")
    ] = None,
    quantizers: Annotated[
        str | None, typer.Option("--quantizers", help=f"{LIST}: sign,ternary,bitnet. Default: all.")
    ] = None,
    scales: Annotated[
        str | None,
        typer.Option("--scales", help=f"{LIST}: tensor,row,32,64,128. What shares one scale; tensor."),
    ] = None,
    perturbation: Annotated[
        str | None, typer.Option("--perturbation", parser=filled, help="flip:0.01, sign, ternary, ...")
    ] = None,
    mask: Mask = None,
    parquet: Parquet = None,
    dtype: Annotated[str, typer.Option("--dtype", help="Precision of the weights.")] = "float32",
    device: Device = "auto",
    mesh: MeshShape = None,
    distributed: Distributed = False,
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
    given = locals()
    index, count = joined(distributed=distributed and not dry_run, device=device)
    prepare(quiet=quiet, device=device)
    verb = _verb(name, given)
    if calibration is None and "calibration" in verb.options:
        calibration = DEFAULT_CALIBRATION
    request = Request(
        model,
        text,
        window,
        windows,
        calibration,
        verb.rates if rates is None else several("--rates", rates, float),
        _draws(several("--draws", draws, int)),
        several("--layers", layers, int),
        several("--matrices", matrices),
        dtype,
        seed,
        resume,
        columns,
        several("--quantizers", quantizers),
        several("--scales", scales),
        perturbation,
        mask,
        revision,
        mesh_axes(mesh) if mesh is not None or count == 1 else _all_devices(),
    )
    request.check(verb.fewest)
    if verb.check is not None:
        verb.check(request)
    if plot is not None and verb.plot is None:
        raise typer.BadParameter(f"{name} has no picture: leave --plot out")
    check_plot(plot)
    check_file("--mask", mask)
    if parquet is not None and verb.rows is None:
        raise typer.BadParameter(f"{name} has no table: leave --parquet out")
    check_parquet(parquet)
    if dry_run:
        return show(_cost(verb, request), json)
    found = verb.run(request)
    if index:
        return 0  # all processes hold the same numbers; the first one shows them
    if plot is not None and verb.plot is not None:
        verb.plot(found, plot)
        remark(f"Written: {plot}", quiet=quiet)
    if parquet is not None and verb.rows is not None:
        write_parquet(verb.rows(found), parquet)
        remark(f"Written: {parquet}", quiet=quiet)
    return show(found.to_json() if json else verb.summary(found), json)


def _all_devices() -> dict[str, int]:
    """A mesh over the devices of all processes, which share the windows."""
    import jax

    return {"data": jax.device_count()}


def _verb(name: str, given: dict[str, Any]) -> Verb:
    """The measurement of that name, unless an option was given that it does not take."""
    if name not in MEASUREMENTS:
        raise typer.BadParameter(f"no measurement {name!r}: choose from {NAMES}")
    verb: Verb = MEASUREMENTS[name].verb()
    strange = [one for one in PARTICULAR if given[one] is not None and one not in verb.options]
    if strange:
        raise typer.BadParameter(f"{name} does not take {flags(strange)}: leave it out")
    return verb


def _draws(draws: tuple[int, ...] | None) -> int | tuple[int, ...] | None:
    """`--draws` as the measurements take it: one number for all rates, or one for each."""
    return draws[0] if draws is not None and len(draws) == 1 else draws


def _cost(verb: Verb, request: Request) -> dict[str, Any]:
    """What a run would take, as far as a model and a text tell that need not be fetched."""
    from signmag_jax.evidence.provenance import threads

    reading = request.open(fetch=False)
    return {
        "forward_passes_of_2048_tokens": round(verb.cost(request), 2),
        "memory": _memory(verb.arrays, request, None if reading is None else reading.checkpoint.config),
        "threads": threads(),
    }


def _memory(arrays: int, request: Request, config: Any) -> str:
    """Weights and what is as large as they are; activations grow with the tokens of all windows."""
    from signmag_jax.models.memory import count_parameters

    size = f"the weights in {request.dtype}"
    if config is not None:
        import jax.numpy as jnp

        count = count_parameters(config)
        size = f"{count * jnp.dtype(request.dtype).itemsize / 2**30:.2f} GiB ({count:,} {size[4:]})"
    times = f"{arrays} times " if arrays > 1 else ""
    return f"about {times}{size}, plus about 1 GiB for activations of 8 windows of 512 tokens"
