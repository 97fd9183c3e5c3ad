"""`signmag law`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from . import law_arguments
from .options import Json, Plot, Quiet, UnusedSeed, emit, prepare, remark, say
from .perturbations import PERTURBATIONS


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
    alpha_squared: Annotated[
        str | None, typer.Option("--alpha-squared", help="α² of each column: 0.5,0.25,0.25.")
    ] = None,
    column_norm_squared: Annotated[
        str | None, typer.Option("--norms-squared", help="‖W_·j‖² of each column, or one number for all.")
    ] = None,
    pool: Annotated[str | None, typer.Option("--pool", help="Columns in the pool, from 0: 0,2.")] = None,
    matching: Annotated[
        str | None, typer.Option("--matching", help="What the arms share: rate, count or energy.")
    ] = None,
    measure: Annotated[str | None, typer.Option("--measure", help="Damage: energy or transverse.")] = None,
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
    arguments = law_arguments.values(given)
    if over is not None:
        arguments["rate"] = law_arguments.over(over)
    estimate = theory.estimate(found, **arguments)
    result = {"law": found.name, "formula": found.doc, "source": found.source, **estimate.to_json()}
    if found.expansion is not None:
        result["expansion"] = _expansion(found.expansion, arguments)
    if digits is not None:
        balls = theory.enclose(found.name, digits=digits, **law_arguments.exact(given, arguments))
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


def _ball(ball: Any) -> dict[str, str]:
    return {"midpoint": ball.midpoint, "radius": ball.radius}


def _print(result: dict[str, Any], arguments: dict[str, Any]) -> None:
    import numpy as np

    say(f"{result['law']}: {result['formula']}")
    axis = _axis(arguments)
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


def _axis(arguments: dict[str, Any]) -> str | None:
    """The argument that takes several values, if one does."""
    import numpy as np

    return next((key for key in law_arguments.NUMBERS if np.ndim(arguments.get(key, 0))), None)


def _written(value: Any) -> str:
    import numpy as np

    return ", ".join(f"{item:.15g}" for item in np.ravel(value))


def _plot(found: Any, arguments: dict[str, Any], estimate: Any, path: Path) -> None:
    import numpy as np

    from signmag_jax.report import figures

    axis = _axis(arguments)
    values = np.asarray(estimate.value)
    if axis is None:
        axis, places = "layer", np.arange(1, values.size + 1)
        values = values.ravel()
    else:
        places = np.asarray(arguments[axis])
    figures.save(figures.curve(axis, places, values, found.name, log=axis != "layer"), path)
