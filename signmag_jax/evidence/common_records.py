"""Records of several processes that compute one thing together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .distributed import of_first
from .records import Records


class CommonRecords:
    """Records that the first process reads and writes for all.

    Whoever computes a piece waits for all others, so none may find a record that another has not seen yet:
    each gets what the first one read. The folder need only exist where that one runs. All processes make the
    same calls in the same order.

    Args:
      folder, configuration: as for `Records`, with its errors, in every process.
    """

    def __init__(self, folder: str | Path, configuration: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        self._of_first: Records | None = None

        def opened() -> None:
            self._of_first = Records(folder, configuration)

        of_first(opened)

    def write(self, index: int, payload: Any) -> None:
        """Store a piece, in the first process alone; errors as in `Records.write`."""
        of_first(lambda: self._of_first and self._of_first.write(index, payload))

    def read(self, index: int) -> Any | None:
        """The payload of a piece as the first process reads it; errors as in `Records.read`."""
        return of_first(lambda: self._of_first and self._of_first.read(index))
