"""What is typed after `signmag law NAME`, as the arguments of a law."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import typer

from .options import several
from .perturbations import parse

NUMBERS = {
    "rate": "--rate",
    "n": "--n",
    "alpha": "--alpha",
    "rows": "--rows",
    "outputs": "--outputs",
    "share": "--share",
    "fraction": "--fraction",
}
"""One number or several; several make an array."""

COLUMNS = {"x": "--input", "alpha_squared": "--alpha-squared", "column_norm_squared": "--norms-squared"}
"""One number a column."""

AS_TYPED = ("depth", "residual", "chain", "layers", "activation", "scale", "matching", "measure")


def values(given: dict[str, Any]) -> dict[str, Any]:
    """The law's arguments as numbers; one value stays a scalar, several become an array."""
    import numpy as np

    arguments = {key: given[key] for key in AS_TYPED if key in given}
    for key, option in COLUMNS.items():
        if key in given:
            arguments[key] = np.asarray(_column(given, key, option, float))
    for key, option in NUMBERS.items():
        if key in given:
            found = several(option, given[key], int if key == "n" else float)
            arguments[key] = found[0] if len(found) == 1 else np.asarray(found)
    if "perturbation" in given:
        arguments["perturbation"] = parse(given["perturbation"])
    if "pool" in given:
        arguments["pool"] = _mask(given["pool"], arguments)
    return arguments


def exact(given: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments as the exact decimals that were typed: 0.01 is one hundredth, not its nearest float."""
    found: dict[str, Any] = {}
    for key, option in NUMBERS.items():
        if key in given:
            (value, *more) = several(option, given[key], Fraction)
            if more:
                raise typer.BadParameter(f"--digits encloses one value: give one {option}")
            found[key] = value
    for key, option in COLUMNS.items():
        if key in given:
            found[key] = _column(given, key, option, Fraction)
    return found | {key: value for key, value in arguments.items() if key not in found}


def over(text: str) -> Any:
    """The values of `--range`."""
    import numpy as np

    try:
        start, stop, count = text.split(":")
        places = np.geomspace(float(start), float(stop), max(int(count), 2))
        if int(count) < 2:
            raise ValueError(count)
    except ValueError:
        raise typer.BadParameter(f"--range takes START:STOP:COUNT, like 1e-4:0.5:20, not {text!r}") from None
    return places


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
