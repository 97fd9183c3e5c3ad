"""What is typed after `signmag law NAME`, as the arguments of a law."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import typer

from . import perturbations
from .options import flags, several

NUMBERS = {
    "rate": "--rate",
    "n": "--n",
    "alpha": "--alpha",
    "rows": "--rows",
    "outputs": "--outputs",
    "share": "--share",
    "fraction": "--fraction",
}
"""One number or several; of one law, one of these may have several."""

COLUMNS = {"x": "--input", "alpha_squared": "--alpha-squared", "column_norm_squared": "--norms-squared"}
"""One number a column."""

OTHERS = {"over": "--range"}
MOST_POINTS = 10_000

AS_TYPED = ("depth", "residual", "chain", "layers", "activation", "scale", "matching", "measure")


def values(given: dict[str, Any]) -> dict[str, Any]:
    """The law's arguments as numbers; one value stays a scalar, several are a tuple."""
    import numpy as np

    arguments = {key: given[key] for key in AS_TYPED if key in given}
    for key, option in COLUMNS.items():
        if key in given:
            arguments[key] = np.asarray(_column(given, key, option, float))
    for key, option in NUMBERS.items():
        if key in given:
            found = several(option, given[key], int if key == "n" else float)
            arguments[key] = found[0] if len(found) == 1 else found
    if "over" in given:
        if "rate" in given:
            raise typer.BadParameter("--rate and --range exclude each other: give one of them")
        arguments["rate"] = _over(given["over"])
    if "perturbation" in given:
        arguments["perturbation"] = perturbations.parse(given["perturbation"])
    if "pool" in given:
        arguments["pool"] = _mask(given["pool"], arguments)
    return arguments


def axis(arguments: dict[str, Any]) -> str | None:
    """The argument that has several values."""
    found = [key for key in NUMBERS if isinstance(arguments.get(key), tuple)]
    if len(found) > 1:
        raise typer.BadParameter(f"{typed(found)} have several values each: give several to one of them")
    return found[0] if found else None


def typed(names: Iterable[str]) -> str:
    """Arguments as the options that they are typed as."""
    options = {**NUMBERS, **COLUMNS, **OTHERS}
    return ", ".join(options.get(name, flags([name])) for name in names)


def exact(given: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments as the exact decimals that were typed: 0.01 is one hundredth, not its nearest float."""
    found: dict[str, Any] = {}
    for key, option in NUMBERS.items():
        if key in given:
            (found[key],) = several(option, given[key], Fraction)
    for key, option in COLUMNS.items():
        if key in given:
            found[key] = _column(given, key, option, Fraction)
    if "perturbation" in given:
        found["perturbation"] = perturbations.exact(given["perturbation"])
    if "scale" in given:
        found["scale"] = repr(given["scale"])
    return found | {key: value for key, value in arguments.items() if key not in found}


def _over(text: str) -> tuple[float, ...]:
    """The values of `--range`, in equal factors."""
    import numpy as np

    try:
        start, stop, count = text.split(":")
        if not 2 <= int(count) <= MOST_POINTS:
            raise ValueError(count)
        with np.errstate(all="raise"):
            return tuple(np.geomspace(float(start), float(stop), int(count)).tolist())
    except (ValueError, FloatingPointError):
        raise typer.BadParameter(
            f"--range takes START:STOP:COUNT with 2 to {MOST_POINTS} points, like 1e-4:0.5:20, not {text!r}"
        ) from None


def _column(given: dict[str, Any], key: str, option: str, kind: Any) -> Any:
    """A vector; of weight norms one number may stand for all."""
    found = several(option, given[key], kind)
    return found[0] if key == "column_norm_squared" and len(found) == 1 else found


def _mask(text: str, arguments: dict[str, Any]) -> Any:
    import numpy as np

    columns = next((arguments[key] for key in ("alpha_squared", "x") if key in arguments), None)
    if columns is None:
        raise typer.BadParameter("--pool names columns of --alpha-squared or --input: give these too")
    mask = np.zeros(columns.shape, dtype=bool)
    for place in several("--pool", text, int):
        if not 0 <= place < mask.size:
            raise typer.BadParameter(f"--pool names columns from 0 to {mask.size - 1}, not {place}")
        mask[place] = True
    return mask
