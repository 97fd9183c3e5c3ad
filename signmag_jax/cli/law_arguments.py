"""What is typed after `signmag law NAME`, as the arguments of a law."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import typer

from . import perturbations
from .shared import flag
from .values import one_of, several

MOST_POINTS = 10_000

NUMBERS = ("rate", "n", "alpha", "rows", "outputs", "share", "fraction")
"""One number or several; of one law, one of these may have several."""

COLUMNS = ("x", "alpha_squared", "column_norm_squared")
"""One number a column."""

FLAGS = {"x": ("--input",), "n": ("--n", "--width"), "column_norm_squared": ("--norms-squared",)}
"""Arguments that are typed otherwise than they are called."""

HELPS = {
    "pool": "Columns of the pool, counted from 0",
    "network": "Layers between commas: dense, activations, rmsnorm, layernorm, residual(…), gate(a, b), "
    "serial(…), 4*residual(…), with arguments as in dense(scale=0.5, bias=0.1, weights=laplace); "
    "dense(fixed) without an error",
    "activation": "What follows the first matrix",
    "weights": "Law of the weights: gaussian, laplace, uniform, student_t:5, w.npy, or E|w|/σ as a number; "
    "of chains also one a layer, between commas",
    "perturbation": f"A weight error such as {perturbations.PERTURBATIONS}",
}
"""What is typed is not what the function takes: an index for a mask, a name for a function."""

EXAMPLES = {
    "rate": "0.01",
    "n": "2048",
    "alpha": "0.26",
    "rows": "64",
    "outputs": "64",
    "share": "0.3",
    "fraction": "0.05",
    "depth": "6",
    "x": "1,0.5,2",
    "alpha_squared": "0.5,0.25,0.25",
    "column_norm_squared": "1",
    "pool": "0",
    "perturbation": "flip:0.01",
    "network": "dense,relu,rmsnorm,dense",
}
"""A value of each, for the examples of the help."""
MANY_FLIPS = {"profile_width_expansion": {"rate": "0.5", "x": "1,1,2,2"}}
"""Other example values for laws that refuse those above: this expansion needs many flips in a row."""


def flags(name: str) -> tuple[str, ...]:
    """An argument as it is typed."""
    return FLAGS.get(name, (flag(name),))


def metavar(name: str) -> str:
    """What an argument takes, in a command's help."""
    if name in NUMBERS:
        return "NUMBER[,…]"
    return {
        "depth": "INTEGER",
        "scale": "NUMBER",
        "perturbation": "PERTURBATION",
        "pool": "COLUMN,…",
        "weights": "LAW",
        "network": "LAYER,…",
    }.get(name, "NUMBER,…" if name in COLUMNS else "NAME")


def join(name: str) -> Callable[[Iterable[str]], str] | None:
    """How an argument of several values is one text where it is typed several times."""
    return ",".join if name in (*NUMBERS, *COLUMNS, "pool", "weights") else None


def values(given: dict[str, Any]) -> dict[str, Any]:
    """The law's arguments as numbers; one value stays a scalar, several are a tuple."""
    import numpy as np

    arguments: dict[str, Any] = {}
    for name, text in given.items():
        if name in COLUMNS:
            arguments[name] = np.asarray(_column(name, text, float))
        elif name in NUMBERS:
            numbers = _several(name, text, int if name == "n" else float)
            arguments[name] = numbers[0] if len(numbers) == 1 else numbers
        elif name == "depth":
            arguments[name] = _depth(text)
        elif name == "scale":
            arguments[name] = one_of(text, float, "a number")
        elif name == "perturbation":
            arguments[name] = perturbations.parse(text)
        elif name == "weights":
            arguments[name] = _weights(text, float)
        elif name not in ("range", "pool"):
            arguments[name] = text
    if "range" in given:
        if "rate" in given:
            raise typer.BadParameter("--rate and --range exclude each other: give one of them")
        arguments["rate"] = _range(given["range"])
    if "pool" in given:
        arguments["pool"] = _mask(given["pool"], arguments)
    return arguments


def axis(arguments: dict[str, Any]) -> str | None:
    """The argument that has several values."""
    several = [key for key in NUMBERS if isinstance(arguments.get(key), tuple)]
    if len(several) > 1:
        raise typer.BadParameter(f"{typed(several)} have several values each: give several to one of them")
    return several[0] if several else None


def typed(names: Iterable[str]) -> str:
    """Arguments as the options that they are typed as."""
    return ", ".join(flags(name)[0] for name in names)


def exact(given: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments as the exact decimals that were typed: 0.01 is one hundredth, not its nearest float."""
    decimals: dict[str, Any] = {}
    for name, text in given.items():
        if name in NUMBERS:
            (decimals[name],) = _several(name, text, Fraction)
        elif name in COLUMNS:
            decimals[name] = _column(name, text, Fraction)
        elif name == "perturbation":
            decimals[name] = perturbations.exact(text)
        elif name == "weights":
            decimals[name] = _weights(text, Fraction)
        elif name == "scale":
            decimals[name] = repr(arguments[name])
    return arguments | decimals


def _weights(text: str, kind: Callable[[str], Any]) -> Any:
    """A law of weights by name or by b, or several, one a layer."""
    laws = []
    for part in text.split(","):
        try:
            laws.append(kind(part))
        except ValueError:
            laws.append(part.strip())
    return laws[0] if len(laws) == 1 else laws


def _several(name: str, text: str, kind: Callable[[str], Any]) -> tuple[Any, ...]:
    """The values between commas, with the option's name in its error."""
    try:
        return several(text, kind, "whole numbers" if kind is int else "numbers")
    except typer.BadParameter as error:
        raise typer.BadParameter(f"{typed([name])}: {error.message}") from None


def _depth(text: str) -> int:
    return one_of(text, int, "a whole number")


def _range(text: str) -> tuple[float, ...]:
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


def _column(name: str, text: str, kind: Any) -> Any:
    """A vector; of weight norms one number may stand for all."""
    entries = _several(name, text, kind)
    return entries[0] if name == "column_norm_squared" and len(entries) == 1 else entries


def _mask(text: str, arguments: dict[str, Any]) -> Any:
    import numpy as np

    columns = next((arguments[key] for key in ("alpha_squared", "x") if key in arguments), None)
    if columns is None:
        raise typer.BadParameter("--pool names columns of --alpha-squared or --input: give these too")
    mask = np.zeros(columns.shape, dtype=bool)
    for index in _several("pool", text, int):
        if not 0 <= index < mask.size:
            raise typer.BadParameter(f"--pool names columns from 0 to {mask.size - 1}, not {index}")
        mask[index] = True
    return mask
