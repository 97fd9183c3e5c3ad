"""`signmag simulate`."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer

from .options import Device, DryRun, Json, Plot, Quiet, Resume, Seed, numbers, prepare, remark

RUN_OPTIONS = ("networks", "standard_error", "max_networks", "seconds", "seed", "resume")


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("simulate")(simulate)


def simulate(
    name: Annotated[str, typer.Argument(help="The experiment; an unknown name lists them.")],
    width: Annotated[int, typer.Option("--width", help="Length of the input.")] = 256,
    rate: Annotated[str | None, typer.Option("--rate", help="Flip rate, or several: 0.01,0.05.")] = None,
    depth: Annotated[int | None, typer.Option("--depth", help="Layers of a chain.")] = None,
    residual: Annotated[bool | None, typer.Option("--residual", help="Chains with skips.")] = None,
    activation: Annotated[str | None, typer.Option("--activation", help="relu, silu, gelu, ...")] = None,
    layers: Annotated[str | None, typer.Option("--layers", help="Perturbed layers: all or first.")] = None,
    second_layer: Annotated[
        str | None, typer.Option("--second-layer", help="integrated, explicit or none.")
    ] = None,
    scale: Annotated[
        str | None, typer.Option("--scale", help="Pre-activations of a chain: unit, paper.")
    ] = None,
    alpha: Annotated[float | None, typer.Option("--alpha", help="Amplitude of a single flip.")] = None,
    hidden: Annotated[int | None, typer.Option("--hidden", help="Rows of the perturbed matrix.")] = None,
    rows: Annotated[int | None, typer.Option("--rows", help="Rows of a single matrix.")] = None,
    inputs: Annotated[int | None, typer.Option("--inputs", help="Inputs of each network.")] = None,
    networks: Annotated[int | None, typer.Option("--networks", help="Stop at this many networks.")] = None,
    standard_error: Annotated[
        float | None, typer.Option("--standard-error", help="Stop at this standard error.")
    ] = None,
    max_networks: Annotated[
        int | None, typer.Option("--max-networks", help="Give up beyond this many.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="Stop at this time (not reproducible).")
    ] = None,
    dtype: Annotated[str | None, typer.Option("--dtype", help="float32 or float64.")] = None,
    device: Device = "auto",
    dry_run: DryRun = False,
    resume: Resume = None,
    plot: Plot = None,
    seed: Seed = 0,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Simulate Gaussian networks until a standard error, a number of networks or a time is reached.

    Example: signmag simulate block --width 256 --rate 0.02 --standard-error 0.005
    """
    given = {key: value for key, value in locals().items() if value is not None}
    prepare(quiet=quiet, device=device)
    from signmag_jax import simulate as room

    if name not in room.EXPERIMENTS:
        raise typer.BadParameter(f"no experiment {name!r}: choose from {', '.join(room.EXPERIMENTS)}")
    function = room.EXPERIMENTS[name]
    arguments = _arguments(name, function, given)
    if dry_run:
        return _show(_cost(room, name, arguments), json)
    found = function(**arguments)
    if plot is not None:
        _plot(found, name, arguments, plot)
        remark(f"Written: {plot}", quiet=quiet)
    if json:
        emit(found.to_json())
        return 0
    return _summary(found)


def _arguments(name: str, function: Any, given: dict[str, Any]) -> dict[str, Any]:
    """The options that this experiment takes; one that it does not take is refused by name."""
    takes = set(inspect.signature(function).parameters) | set(RUN_OPTIONS)
    ours = {"name", "device", "dry_run", "plot", "json", "quiet"}
    options = {key: value for key, value in given.items() if key not in ours}
    if "rate" in options:
        values = numbers("--rate", options["rate"], float)
        options["rate"] = values[0] if len(values) == 1 else list(values)
    strange = [key for key in options if key not in takes]
    if strange:
        raise typer.BadParameter(f"{name} does not take {_flags(strange)}: leave it out")
    needed = [
        key
        for key, parameter in inspect.signature(function).parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind is not parameter.VAR_KEYWORD
        and key not in options
    ]
    if needed:
        raise typer.BadParameter(f"{name} needs {_flags(needed)}")
    return options


def _flags(names: list[str]) -> str:
    return ", ".join("--" + name.replace("_", "-") for name in names)


def _summary(found: Any) -> int:
    """Every estimate of the result on a line of its own."""
    from signmag_jax.report.numbers import with_error

    for name, plain in _leaves(found.to_json()):
        value, error = plain["value"], plain["standard_error"]
        cells = [with_error(*pair) for pair in zip(_flat(value), _flat(error), strict=True)]
        say(f"{name}: {', '.join(cells)} (n = {plain['n']}; {plain['estimator']})")
    return 0


def _leaves(plain: Any, name: str = "") -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(plain, dict):
        return []
    if "standard_error" in plain:
        return [(name, plain)]
    return [leaf for key, item in plain.items() for leaf in _leaves(item, f"{name}.{key}".lstrip("."))]


def _flat(value: Any) -> list[float]:
    return [number for item in value for number in _flat(item)] if isinstance(value, list) else [value]


def _plot(found: Any, name: str, arguments: dict[str, Any], path: Path) -> None:
    """The primary estimate along rates or layers."""
    import numpy as np

    from signmag_jax.report import figures

    title, plain = _leaves(found.to_json())[0]
    value, error = np.asarray(plain["value"]), np.asarray(plain["standard_error"])
    rates = np.atleast_1d(arguments.get("rate", np.nan))
    if value.ndim and value.shape[-1] != rates.size:
        axis, places = "layer", np.arange(1, value.shape[-1] + 1)
    else:
        axis, places = "rate", rates
        value, error = np.atleast_1d(value), np.atleast_1d(error)
    if value.ndim > 1:
        value, error = value[0], error[0]
    figures.save(figures.estimates(axis, places, value, error, f"{name}: {title}"), path)
