"""From the text of a command line to the values that a function takes."""

from __future__ import annotations

import contextlib
import functools
import itertools
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from .perturbations import parse as perturbation

LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class Kind:
    """What an option takes.

    Args:
      metavar: the value in a command's help.
      parse: from the text; None for a flag, which has no value.
      join: the values of an option that is given several times as one; None where the last one counts.
    """

    metavar: str
    parse: Callable[[str], Any] | None
    join: Callable[[Sequence[Any]], Any] | None = None


FLAG = Kind("", None)


def filled(text: str) -> str:
    """The text of an option, which a shell's empty variable must not pass for."""
    if not text.strip():
        raise typer.BadParameter("it is empty: give a value")
    return text


def path(text: str) -> Path:
    """A path; an empty one would mean the current folder."""
    from signmag_jax.evidence.files import user_path

    return user_path(filled(text))


def one_of(text: str, kind: Callable[[str], Any], what: str) -> Any:
    """One value of a kind; `what` names the kind if it is none."""
    try:
        return kind(filled(text))
    except (ValueError, ZeroDivisionError):
        raise typer.BadParameter(f"it takes {what}, not {text!r}") from None


def several(text: str, kind: Callable[[str], Any], what: str) -> tuple[Any, ...]:
    """The values between commas."""
    try:
        return tuple(kind(filled(part.strip())) for part in text.split(","))
    except (ValueError, ZeroDivisionError, typer.BadParameter):
        raise typer.BadParameter(f"it takes {what} separated by commas, not {text!r}") from None


def seed(text: str) -> int:
    """A root seed."""
    number = one_of(text, int, "a whole number")
    if not 0 <= number <= LARGEST_SEED:
        raise typer.BadParameter(f"--seed lies between 0 and {LARGEST_SEED}, not at {number}")
    return number


def mesh(text: str) -> dict[str, int]:
    """The sizes of a mesh's axes by name."""
    parts = [part.partition("=") for part in filled(text).split(",")]
    sizes = {name.strip(): size.strip() for name, _, size in parts}
    numbers = all(size.isdecimal() and len(size) < 7 for size in sizes.values())
    if not set(sizes) <= {"data", "tensor"} or len(sizes) < len(parts) or not numbers:
        raise typer.BadParameter(f"--mesh takes data=2, tensor=4 or data=2,tensor=4, not {text[:80]!r}")
    return {name: int(size) for name, size in sizes.items()}


def share(text: str) -> tuple[int, int]:
    """I of N: which share of the work."""
    from signmag_jax.simulate import parse_share

    return parse_share(text)


# The parser of one value, how an option of one and of several shows, and what its error calls them.
SCALARS: dict[Any, tuple[Callable[[str], Any], str, str, str]] = {
    int: (int, "INTEGER", "a whole number", "whole numbers"),
    float: (float, "NUMBER", "a number", "numbers"),
    str: (str, "NAME", "a name", "names"),
    Path: (path, "PATH", "a path", "paths"),
}


def kind_of(annotation: Any) -> Kind | None:
    """What an argument of this type takes on the command line; None where it cannot be typed."""
    single, listed = _arms(annotation)
    if _is(bool, single):
        return FLAG
    if any(map(_is_perturbation, single)):
        return Kind("PERTURBATION", perturbation)
    arms = [*single, *listed]
    choices = [choice for arm in arms if typing.get_origin(arm) is typing.Literal for choice in arm.__args__]
    scalars = [kind for kind in (Path, int, float, str) if _is(kind, arms)]
    if not scalars and not choices:
        return None
    # A name of a file is a path; where a number may be a name too, the text says which.
    base = scalars[0] if scalars else str
    parse, metavar, what, many = SCALARS[base]
    if choices:
        # What is none of them may still be a number or a name, where the type has one beside them.
        by_text = {str(choice): choice for choice in choices}
        metavar, what = "|".join(by_text), " or ".join(by_text)
        many = what
        parse = functools.partial(_first, by_text, scalars)
    elif len(scalars) > 1 and base is not Path:
        parse, metavar, what, many = functools.partial(_first, {}, scalars), "VALUE", "a value", "values"
    if not listed:
        return Kind(metavar, lambda text: one_of(text, parse, what))
    if single:
        return Kind(f"{metavar}[,…]", lambda text: several(text, parse, many), _alone_or_list)
    return Kind(f"{metavar},…", lambda text: several(text, parse, many), chained)


def _arms(annotation: Any) -> tuple[list[Any], list[Any]]:
    """The types of which a value may be one, and those of which it may be a sequence."""
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    single, listed = [], []
    for arm in annotation.__args__ if union else (annotation,):
        origin = typing.get_origin(arm)
        if isinstance(origin, type) and issubclass(origin, Sequence):
            some, more = _arms(arm.__args__[0])
            listed += some + more
        elif isinstance(arm, type) or origin is typing.Literal:
            single.append(arm)
    known = [
        [
            arm
            for arm in arms
            if arm in SCALARS or arm is bool or not isinstance(arm, type) or _is_perturbation(arm)
        ]
        for arms in (single, listed)
    ]
    return known[0], known[1]


def _is_perturbation(arm: Any) -> bool:
    # By its name: only type checkers import it where it is not needed.
    return getattr(arm, "__name__", "") == "Perturbation"


def _is(kind: type, arms: list[Any]) -> bool:
    return any(arm is kind for arm in arms)


def _first(by_text: dict[str, Any], scalars: list[Any], text: str) -> Any:
    """The choice that a text is, or its value as the first kind that it is of."""
    if text in by_text:
        return by_text[text]
    for kind in scalars:
        with contextlib.suppress(ValueError):
            return SCALARS[kind][0](text)
    raise ValueError(text)


def chained(given: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The values of an option that is given several times: --layers 1 --layers 2 is --layers 1,2."""
    return tuple(itertools.chain.from_iterable(given))


def _alone_or_list(given: Sequence[tuple[Any, ...]]) -> Any:
    values = chained(given)
    return values[0] if len(values) == 1 else list(values)


def merged(given: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One mapping of all that several options give by name."""
    return {name: value for each in given for name, value in each.items()}


def perturbations(text: str) -> tuple[Any, ...]:
    """Several perturbations, between commas."""
    return tuple(map(perturbation, filled(text).split(",")))
