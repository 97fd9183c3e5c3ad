"""Counts, sizes and seeds that NumPy or JAX holds, taken for the whole numbers that they are."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

Called = TypeVar("Called", bound=Callable[..., Any])


def counting(called: Called) -> Called:
    """A function that is given Python's integers in place of NumPy's and JAX's.

    Sizes and seeds are keys of caches, static arguments of programs and parts of what a record is known by,
    and all of these tell the two apart. True, 2.0, traced numbers and arrays stay what they are, but for
    arrays of rank 0; lists and tuples are looked into.
    """

    @functools.wraps(called)
    def call(*arguments: Any, **named: Any) -> Any:
        given = {name: whole(value) for name, value in named.items()}
        return call.__wrapped__(*map(whole, arguments), **given)  # pyright: ignore[reportFunctionMemberAccess]

    return call  # pyright: ignore[reportReturnType]


def whole(value: Any) -> Any:
    """Python's integer for any other, also in lists and tuples; all else as it is."""
    if type(value) in (list, tuple):
        return type(value)(map(whole, value))
    if isinstance(value, bool) or np.ma.is_masked(value):
        return value
    try:
        return operator.index(value)
    except TypeError:
        return value
