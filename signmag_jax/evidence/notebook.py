"""Progress in a notebook: one output of its cell, written anew as work goes on, and empty at the end."""

from __future__ import annotations

import io
import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import Progress

PAUSE = 0.2
"""Seconds between two updates: each is a message to the page."""
WIDTH = 80


def in_notebook() -> bool:
    """Whether a kernel runs this, which shows what IPython displays."""
    shell = sys.modules.get("IPython")
    return shell is not None and hasattr(shell.get_ipython(), "kernel")


class NotebookBars(Progress):
    """Bars whose text is displayed: a page cannot move a terminal's cursor."""

    _handle: Any
    _written = 0.0

    def start(self) -> None:
        """Make the output."""
        from IPython.display import display  # pyright: ignore[reportMissingImports]

        self._handle = display({"text/plain": ""}, raw=True, display_id=True)

    def stop(self) -> None:
        """Leave an empty output."""
        self._write("")

    def refresh(self) -> None:
        """Write the bars, unless they were written just now."""
        if time.monotonic() - self._written < PAUSE:
            return
        text = io.StringIO()
        Console(file=text, width=WIDTH, force_jupyter=False, color_system=None).print(self.get_renderable())
        self._write(text.getvalue())
        self._written = time.monotonic()

    def update(self, *args: Any, **changes: Any) -> None:
        """Change a bar, as `Progress` does, and show it."""
        super().update(*args, **changes)
        self.refresh()

    def _write(self, text: str) -> None:
        self._handle.update({"text/plain": text}, raw=True)
