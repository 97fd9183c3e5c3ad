"""Where a single weight stands."""

from __future__ import annotations

from typing import Any, NamedTuple

from signmag_jax.models import MATRICES


class Place(NamedTuple):
    """One weight, as numbers that may be traced; `matrix` counts in `MATRICES`."""

    matrix: Any
    layer: Any
    row: Any
    column: Any

    @property
    def name(self) -> str:
        """Name of the matrix."""
        return MATRICES[self.matrix]

    def to_json(self) -> dict[str, Any]:
        """A strict-JSON object."""
        return {"matrix": self.name, "layer": self.layer, "row": self.row, "column": self.column}
