"""The arguments of an experiment: which values they may have, and what a record knows them by."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.errors import invalid

Dtype = Literal["float32", "float64"]
AtLeast1 = Annotated[int, 1]
AtLeast2 = Annotated[int, 2]
Numbers = float | Sequence[float] | np.ndarray
"""One value of an argument, or several in one run."""

# No size is larger: the square of this many numbers exceeds every memory, but no counter of bytes.
LARGEST = 2**24


def choose(argument: str, received: Any, choices: Any) -> None:
    """Raise `InvalidInput` unless `received` is one of the names of a `Literal`."""
    names = get_args(choices)
    if received not in names:
        raise invalid(f"{argument} in {names}", received, f"choose one of {', '.join(names)}")


def whole(argument: str, received: Any, low: int) -> None:
    """Raise `InvalidInput` unless `received` is an integer of at least `low`, and no absurd one."""
    if isinstance(received, bool) or not isinstance(received, int) or received < low:
        raise invalid(f"{argument} is an integer >= {low}", received, f"pass a whole number from {low} up")
    if received > LARGEST:
        raise invalid(f"{argument} <= {LARGEST}", received, "nothing of this size fits in memory")


def numbers(argument: str, received: Numbers, domain: Interval) -> np.ndarray:
    """One number or several, all inside the domain, as a float64 array of rank 0 or 1.

    Raises:
      InvalidInput: for anything else.
    """
    domain.require(argument, received)
    array = np.asarray(received, dtype=np.float64)
    if array.ndim > 1 or array.size == 0:
        raise invalid(
            f"{argument} is a number or a list of numbers", received, "pass one number or a flat list"
        )
    return array


class Arguments:
    """Base of dataclasses whose fields are arguments: sizes, choices and switches are checked as declared.

    Raises:
      InvalidInput: for a field that is out of its range.
    """

    def __post_init__(self) -> None:
        hints = _hints(type(self))
        for field in dataclasses.fields(self):  # pyright: ignore[reportArgumentType]
            name, value, hint = field.name, getattr(self, field.name), hints[field.name]
            if value is not None and (low := _lowest(hint)) is not None:
                whole(name, value, low)
            elif get_origin(hint) is Literal:
                choose(name, value, hint)
            elif hint is bool and not isinstance(value, bool):
                raise invalid(f"{name} is True or False", value, f"pass {name}=True or leave it out")

    def plain(self) -> dict[str, Any]:
        """The fields that JSON can hold, by which a record is known."""
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}  # pyright: ignore[reportArgumentType]
        return {name: value for name, value in values.items() if isinstance(value, int | float | str | None)}


def _lowest(hint: Any) -> int | None:
    """The lowest value of a size, also of one that may be None; None for what is no size."""
    sizes = (one for one in (hint, *get_args(hint)) if get_origin(one) is Annotated)
    return next((low for _, low in map(get_args, sizes)), None)


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)
