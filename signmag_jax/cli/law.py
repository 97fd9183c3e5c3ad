"""`signmag law`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import Json, Plot, Quiet, UnusedSeed, emit, numbers, prepare, remark, say
from .perturbations import PERTURBATIONS, parse


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("law")(law)


def law(
    name: Annotated[str | None, typer.Argument(help="The law; without one, all are listed.")] = None,
    rate: Annotated[str | None, typer.Option("--rate", help="Flip rate, or several: 0.01,0.05.")] = None,
    n: Annotated[str | None, typer.Option("--n", "--width", help="Width, or several.")] = None,
    alpha: Annotated[
        str | None, typer.Option("--alpha", help="Amplitude of an input entry, or several.")
    ] = None,
    rows: Annotated[str | None, typer.Option("--rows", help="Rows of the matrix, or several.")] = None,
    outputs: Annotated[str | None, typer.Option("--outputs", help="Outputs behind them, or several.")] = None,
    depth: Annotated[int | None, typer.Option("--depth", help="Layers.")] = None,
    residual: Annotated[bool | None, typer.Option("--residual", help="Chains with skips.")] = None,
    x: Annotated[str | None, typer.Option("--input", help="Entries of one input: 1,0.5,2.")] = None,
    scale: Annotated[
        float | None, typer.Option("--scale", help="Standard deviation of pre-activations.")
    ] = None,
    chain: Annotated[str | None, typer.Option("--chain", help="Kind of chain.")] = None,
    layers: Annotated[str | None, typer.Option("--layers", help="Perturbed layers: all or first.")] = None,
    activation: Annotated[str | None, typer.Option("--activation", help="relu, ...")] = None,
    perturbation: Annotated[str | None, typer.Option("--perturbation", help=f"{PERTURBATIONS}.")] = None,
    over: Annotated[
        str | None, typer.Option("--range", help="START:STOP:COUNT for the rate, in equal factors.")
    ] = None,
    digits: Annotated[
        int | None, typer.Option("--digits", help="Also a rigorous ball of this many digits.")
    ] = None,
    plot: Plot = None,
    json: Json = False,
    seed: UnusedSeed = 0,
    quiet: Quiet = False,
) -> int:
    """Evaluate a law of the theory.

    Example: signmag law transverse_ratio --rate 0.01
    """
    given = {key: value for key, value in locals().items() if value is not None}
    prepare(quiet=quiet)
    from signmag_jax import theory
    from signmag_jax.theory.registry import find

    if name is None:
        return _list(theory.LAWS, json)
    found = find(name)
    arguments = _arguments(given)
    if over is not None:
        arguments["rate"] = _range(over)
    estimate = theory.estimate(found, **arguments)
    result = {"law": found.name, "formula": found.doc, "source": found.source, **estimate.to_json()}
    if found.expansion is not None:
        result["expansion"] = _expansion(found.expansion, arguments)
    if digits is not None:
        balls = theory.enclose(found.name, digits=digits, **_exact(given, arguments))
        result["enclosure"] = [_ball(ball) for ball in balls] if isinstance(balls, list) else _ball(balls)
    if plot is not None:
        _plot(found, arguments, estimate, plot)
        remark(f"Written: {plot}", quiet=quiet)
    if json:
        emit(result)
    else:
        _print(result, arguments)
    return 0


def _expansion(law: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The law's expansion at the same arguments, where it has one."""
    import numpy as np

    from signmag_jax import theory

    found = theory.LAWS[law]
    return {"law": law, "formula": found.doc, "value": np.asarray(found(**arguments)).tolist()}


def _list(laws: Any, json: bool) -> int:
    plain = [
        {"name": law.name, "arguments": list(law.arguments), "formula": law.doc, "source": law.source}
        for law in laws.values()
    ]
    if json:
        emit(plain)
        return 0
    for law in plain:
        say(f"{law['name']}({', '.join(law['arguments'])}): {law['formula']}")
    return 0


def _arguments(given: dict[str, Any]) -> dict[str, Any]:
    """The law's arguments as numbers; one value stays a scalar, several become an array."""
    import numpy as np

    arguments = {
        key: given[key]
        for key in ("depth", "residual", "chain", "layers", "activation", "scale")
        if key in given
    }
    if "x" in given:
        arguments["x"] = np.asarray(numbers("--input", given["x"], float))
    for key in ("rate", "n", "alpha", "rows", "outputs"):
        if key in given:
            values = numbers(f"--{key}", given[key], int if key == "n" else float)
            arguments[key] = values[0] if len(values) == 1 else np.asarray(values)
    if "perturbation" in given:
        arguments["perturbation"] = parse(given["perturbation"])
    return arguments


def _range(text: str) -> Any:
    import numpy as np

    try:
        start, stop, count = text.split(":")
        values = np.geomspace(float(start), float(stop), max(int(count), 2))
        if int(count) < 2:
            raise ValueError(count)
    except ValueError:
        raise typer.BadParameter(f"--range takes START:STOP:COUNT, like 1e-4:0.5:20, not {text!r}") from None
    return values


def _ball(ball: Any) -> dict[str, str]:
    return {"midpoint": ball.midpoint, "radius": ball.radius}


def _exact(given: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments as the exact decimals that were typed: 0.01 is one hundredth, not its nearest float."""
    from fractions import Fraction

    exact: dict[str, Any] = {}
    for key in ("rate", "n", "alpha", "rows", "outputs"):
        if key in given:
            (value, *more) = numbers(f"--{key}", given[key], Fraction)
            if more:
                raise typer.BadParameter(f"--digits encloses one value: give one --{key}")
            exact[key] = value
    typed = ("perturbation", "depth", "residual", "chain", "layers", "activation", "scale", "x")
    return exact | {key: arguments[key] for key in typed if key in arguments}


def _print(result: dict[str, Any], arguments: dict[str, Any]) -> None:
    import numpy as np

    say(f"{result['law']}: {result['formula']}")
    axis = next((key for key, value in arguments.items() if key != "x" and np.ndim(value)), None)
    values = np.asarray(result["value"])
    if axis is not None and values.shape[:1] == np.shape(arguments[axis]):
        for place, value in zip(arguments[axis], values, strict=True):
            say(f"{axis} = {place:.6g}: {_written(value)}")
    else:
        say(_written(values))
    if "expansion" in result:
        say(f"expansion: {_written(np.asarray(result['expansion']['value']))}")
    balls = result.get("enclosure") or []
    for ball in balls if isinstance(balls, list) else [balls]:
        say(f"enclosed: {ball['midpoint']} ± {ball['radius']}")


def _written(value: Any) -> str:
    import numpy as np

    return ", ".join(f"{item:.15g}" for item in np.ravel(value))


def _plot(found: Any, arguments: dict[str, Any], estimate: Any, path: Path) -> None:
    import numpy as np

    from signmag_jax.report import figures

    axis = next((key for key, value in arguments.items() if key != "x" and np.ndim(value)), None)
    values = np.asarray(estimate.value)
    if axis is None:
        axis, places = "layer", np.arange(1, values.size + 1)
        values = values.ravel()
    else:
        places = np.asarray(arguments[axis])
    figures.save(figures.curve(axis, places, values, found.name, log=axis != "layer"), path)
