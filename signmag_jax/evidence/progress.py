"""Progress with time left, on a terminal or in a notebook, and lines that stay."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .threads import check_abandoned

if TYPE_CHECKING:
    from rich.progress import Progress

_quiet = False
_active: Progress | None = None


def set_quiet(quiet: bool) -> None:
    """Silence every progress bar of this process (`--quiet`)."""
    global _quiet
    _quiet = quiet


def shown() -> bool:
    """Whether bars are shown: on a terminal and in a notebook, unless silenced."""
    return not _quiet and (_in_notebook() or (sys.stderr is not None and sys.stderr.isatty()))


def _in_notebook() -> bool:
    if "IPython" not in sys.modules:  # then there is no need to load what draws bars
        return False
    from .notebook import in_notebook

    return in_notebook()


def tell(text: str) -> None:
    """A line that stays on standard error, above the bars if there are any; none where they are silenced."""
    if _quiet or sys.stderr is None:
        return
    if _active is not None:
        _active.console.print(text, markup=False, highlight=False, soft_wrap=True)
    else:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


@contextlib.contextmanager
def progress(description: str, total: int | None) -> Iterator[Callable[..., None]]:
    """A bar with time left; yields `advance(steps=1, note="")`.

    Bars nest: an inner one is shown below the outer one while it lasts. They are on standard error where that
    is a terminal, and in the output of a notebook's cell; elsewhere, and after `set_quiet(True)`, nothing is
    printed. Each step is also where work in a thread that
    nobody waits for any more comes to its end.
    """
    if not shown():
        yield lambda steps=1, note="": check_abandoned()
        return
    with _display() as bars:
        task = bars.add_task(description, total=total, note="")

        def advance(steps: int = 1, note: str = "") -> None:
            check_abandoned()
            bars.update(task, advance=steps, note=note)

        try:
            yield advance
        finally:
            bars.remove_task(task)


@contextlib.contextmanager
def _display() -> Iterator[Progress]:
    """The one live display that a terminal or a cell can have, shared by nested bars."""
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
    kind: type[Progress] = Progress
    if _in_notebook():
        from .notebook import NotebookBars as kind
    with kind(*columns, console=Console(stderr=True), transient=True) as bars:
        _active = bars
        try:
            yield bars
        finally:
            _active = None
