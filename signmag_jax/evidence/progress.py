"""Progress with time left, on a terminal only."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

_quiet = False
_active: Progress | None = None


def set_quiet(quiet: bool) -> None:
    """Silence every progress bar of this process (`--quiet`)."""
    global _quiet
    _quiet = quiet


@contextlib.contextmanager
def progress(description: str, total: int | None) -> Iterator[Callable[..., None]]:
    """A bar with time left on standard error; yields `advance(steps=1, note="")`.

    Bars nest: an inner one is shown below the outer one while it lasts. Nothing is printed where standard
    error is not a terminal, or after `set_quiet(True)`.
    """
    if _quiet or not sys.stderr.isatty():
        yield lambda steps=1, note="": None
        return
    with _display() as bars:
        task = bars.add_task(description, total=total, note="")
        try:
            yield lambda steps=1, note="": bars.update(task, advance=steps, note=note)
        finally:
            bars.remove_task(task)


@contextlib.contextmanager
def _display() -> Iterator[Progress]:
    """The one live display that a terminal can have, shared by nested bars."""
    global _active
    if _active is not None:
        yield _active
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        _active = bars
        try:
            yield bars
        finally:
            _active = None
