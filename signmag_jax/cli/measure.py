"""`signmag measure`."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer

from .options import (
    Device,
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
    check_plot,
    filled,
    flags,
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
NAMES = (
    "nll, alpha, leverage, quantization, all-columns, metrics, outlier-flips, column-flips, flip-energies, "
    "trained-chain, quantization-report, outlier-definitions, rotation, linear-response, columns, "
    "deciding-weights, error-response"
)
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
    prepare(quiet=quiet, device=device)
    measurement = _measurement(name, given)
    if calibration is None and "calibration" in _parameters(measurement):
        calibration = DEFAULT_CALIBRATION
    request = Request(
        model,
        text,
        window,
        windows,
        calibration,
        () if rates is None else several("--rates", rates, float),
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
        mesh_axes(mesh),
    )
    request.check(measurement.fewest)
    options = _options(measurement, request)
    if measurement.check is not None:
        measurement.check(**measurement.defaults() | options)
    check_plot(plot)
    check_parquet(parquet)
    if dry_run:
        return show(_cost(measurement, request, options), json)
    model_, windows_, source = request.load()
    texts = [windows_] if request.calibration is None else [*request.divided(windows_)]
    if name == "trained-chain":
        texts = []
    result = measurement.function(model_, *texts, **options, **_common(measurement, request, source))
    if plot is not None and (picture := result.picture()):
        from signmag_jax.report import figures, measured

        figures.save(measured.draw(picture), plot)
        remark(f"Written: {plot}", quiet=quiet)
    if parquet is not None:
        write_parquet(result.rows(), parquet)
        remark(f"Written: {parquet}", quiet=quiet)
    return show(result.to_json() if json else result.summary(), json)


def _parameters(measurement: Any) -> Any:
    return inspect.signature(measurement.function).parameters


def _measurement(name: str, given: dict[str, Any]) -> Any:
    """The measurement of that name, unless an option was given that it does not take."""
    from signmag_jax.measure.registry import MEASUREMENTS

    if name not in MEASUREMENTS:
        raise typer.BadParameter(f"no measurement {name!r}: choose from {NAMES}")
    known = {*_parameters(MEASUREMENTS[name]), "mask"}
    takes = {one for one, names in ALIASES.items() if known & set(names)}
    strange = [one for one in PARTICULAR if given[one] is not None and one not in known | takes]
    if strange:
        raise typer.BadParameter(f"{name} does not take {flags(strange)}: leave it out")
    return MEASUREMENTS[name]


ALIASES = {
    "rates": ("rate",),
    "draws": ("probes",),
    "columns": ("verified",),
    "matrices": ("matrix",),
    "perturbation": ("errors",),
}


def _options(measurement: Any, request: Request) -> dict[str, Any]:
    """The options that were given, by the names of the function."""
    from .perturbations import parse

    asked = request.perturbation
    values = {
        "rates": request.rates or None,
        "rate": request.rates[0] if request.rates else None,
        "draws": request.draws,
        "probes": request.count,
        "layers": request.layers,
        "matrices": request.matrices,
        "matrix": request.matrices[0] if request.matrices else None,
        "columns": request.columns,
        "verified": request.columns,
        "quantizers": request.quantizers,
        "scales": request.scales,
        "perturbation": None if asked is None else parse(asked),
        "errors": None if asked is None else {asked: parse(asked)},
    }
    known = _parameters(measurement)
    return {name: value for name, value in values.items() if value is not None and name in known}


def _common(measurement: Any, request: Request, source: Any) -> dict[str, Any]:
    values = {"seed": request.seed, "resume": request.resume, "source": source}
    return {name: value for name, value in values.items() if name in _parameters(measurement)}


def _draws(draws: tuple[int, ...] | None) -> int | tuple[int, ...] | None:
    """`--draws` as the measurements take it: one number for all rates, or one for each."""
    return draws[0] if draws is not None and len(draws) == 1 else draws


def _cost(measurement: Any, request: Request, options: dict[str, Any]) -> dict[str, Any]:
    """What a run would take, as far as a model and a text tell that need not be fetched."""
    from signmag_jax.evidence.provenance import threads

    reading = request.open(fetch=False)
    config = None if reading is None else reading.checkpoint.config
    return {
        "forward_passes_of_2048_tokens": round(
            measurement.passes(
                windows=request.windows,
                window=request.window,
                calibration=request.calibration or 0,
                **options,
            ),
            2,
        ),
        "memory": _memory(measurement.arrays, request, config),
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
