"""`signmag law`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from . import law_arguments
from .options import Json, Plot, Quiet, UnusedSeed, check_plot, emit, prepare, remark, say
from .perturbations import PERTURBATIONS

OURS = ("name", "digits", "plot", "json", "seed", "quiet")
MOST_LAYERS = 1_000_000


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("law")(law)


def law(
    name: Annotated[str | None, typer.Argument(help="The law; without one, all are listed.")] = None,
    rate: Annotated[
        str | None,
        typer.Option("--rate", help="Flip rate, or several: 0.01,0.05. One option may have several values."),
    ] = None,
    n: Annotated[str | None, typer.Option("--n", "--width", help="Width, or several.")] = None,
    alpha: Annotated[
        str | None, typer.Option("--alpha", help="Amplitude of an input entry, or several.")
    ] = None,
    rows: Annotated[str | None, typer.Option("--rows", help="Rows of the matrix, or several.")] = None,
    outputs: Annotated[str | None, typer.Option("--outputs", help="Outputs behind them, or several.")] = None,
    depth: Annotated[
        int | None, typer.Option("--depth", min=1, max=MOST_LAYERS, help="Layers, one number.")
    ] = None,
    residual: Annotated[bool | None, typer.Option("--residual", help="Chains with skips.")] = None,
    x: Annotated[str | None, typer.Option("--input", help="Entries of one input: 1,0.5,2.")] = None,
    scale: Annotated[
        float | None, typer.Option("--scale", help="Standard deviation of pre-activations, one number.")
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
    share: Annotated[
        str | None, typer.Option("--share", help="The pool's share of the variance, or several.")
    ] = None,
    fraction: Annotated[
        str | None, typer.Option("--fraction", help="The pool's part of the columns, or several.")
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
        int | None,
        typer.Option(
            "--digits", min=1, max=1000, help="Also a rigorous ball of this many digits, around one value."
        ),
    ] = None,
    plot: Plot = None,
    json: Json = False,
    seed: UnusedSeed = 0,
    quiet: Quiet = False,
) -> int:
    """Evaluate a law of the theory.

    Example: signmag law transverse_ratio --rate 0.01
    """
    given = {key: value for key, value in locals().items() if value is not None and key not in OURS}
    prepare(quiet=quiet)
    from signmag_jax import theory
    from signmag_jax.theory.registry import find

    if name is None:
        if given:
            raise typer.BadParameter(f"without a law there is no use for {law_arguments.typed(given)}")
        return _list(theory.LAWS, json)
    found = find(name)
    arguments = law_arguments.values(given)
    axis = law_arguments.axis(arguments)
    if axis is not None and digits is not None:
        raise typer.BadParameter(f"--digits encloses one value: give one {law_arguments.typed([axis])}")
    check_plot(plot)
    estimate = _estimate(found, arguments, axis)
    result = {"law": found.name, "formula": found.doc, "source": found.source, **estimate.to_json()}
    if axis is not None:
        result["along"] = {axis: list(arguments[axis])}
    # An option that the expansion does not know, as an activation, leaves none.
    if found.expansion is not None and set(arguments) <= set(theory.LAWS[found.expansion].arguments):
        result["expansion"] = _expansion(theory.LAWS[found.expansion], arguments, axis)
    if digits is not None:
        balls = theory.enclose(found.name, digits=digits, **law_arguments.exact(given, arguments))
        result["enclosure"] = [_ball(ball) for ball in balls] if isinstance(balls, list) else _ball(balls)
    if plot is not None:
        _plot(found.name, axis, arguments, estimate, plot)
        remark(f"Written: {plot}", quiet=quiet)
    if json:
        emit(result)
    else:
        _print(result, axis)
    return 0


def _estimate(law: Any, arguments: dict[str, Any], axis: str | None) -> Any:
    """The law's value; along `axis`, the result's first, it is called once for each place.

    Not every law takes an array in every argument, and those that do order their results in various ways.
    """
    import numpy as np

    from signmag_jax import theory
    from signmag_jax.evidence import Estimate

    if axis is None:
        return theory.estimate(law, **arguments)
    first, *rest = ({**arguments, axis: value} for value in arguments[axis])
    found = theory.estimate(law, **first)
    named = {**found.provenance["arguments"], axis: list(arguments[axis])}
    return Estimate.exact(
        np.stack([found.value, *(law(**each) for each in rest)]),
        unit=found.unit,
        estimator=found.estimator,
        provenance={**found.provenance, "arguments": named},
    )


def _expansion(law: Any, arguments: dict[str, Any], axis: str | None) -> dict[str, Any]:
    """A law's expansion at the same arguments."""
    value = _estimate(law, arguments, axis).to_json()["value"]
    return {"law": law.name, "formula": law.doc, "value": value}


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


def _print(result: dict[str, Any], axis: str | None) -> None:
    say(f"{result['law']}: {result['formula']}")
    if axis is None:
        say(_written(result["value"]))
    else:
        for place, value in zip(result["along"][axis], result["value"], strict=True):
            say(f"{axis} = {place:.6g}: {_written(value)}")
    if "expansion" in result:
        say(f"expansion: {_written(result['expansion']['value'])}")
    balls = result.get("enclosure") or []
    for ball in balls if isinstance(balls, list) else [balls]:
        say(f"enclosed: {ball['midpoint']} ± {ball['radius']}")


def _written(value: Any) -> str:
    import numpy as np

    return ", ".join(f"{item:.15g}" for item in np.ravel(value))


def _plot(name: str, axis: str | None, arguments: dict[str, Any], estimate: Any, path: Path) -> None:
    """A curve along the argument with several values, or along the layers of a chain."""
    import numpy as np

    from signmag_jax.report import figures

    values = np.asarray(estimate.value)
    if values.size < 2:
        raise typer.BadParameter("--plot draws several values: give several of an argument, or --range")
    places = np.arange(1, values.size + 1) if axis is None else np.asarray(arguments[axis])
    figures.save(figures.curve(axis or "layer", places, values, name, log=axis is not None), path)
