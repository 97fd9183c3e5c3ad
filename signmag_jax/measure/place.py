"""Where a single weight stands, and its flip."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

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

    def label(self) -> str:
        """In words."""
        return f"layer {self.layer} {self.name} [{self.row}, {self.column}]"

    def to_json(self) -> dict[str, Any]:
        """A strict-JSON object."""
        return {"matrix": self.name, "layer": self.layer, "row": self.row, "column": self.column}


NOWHERE = Place(-1, -1, 0, 0)
"""A place that no weight has."""


class FlippedWeight(NamedTuple):
    """The weight transform that flips one weight."""

    place: Place

    def __call__(self, weight: Float[Array, "outputs inputs"], layer: Array, name: str) -> Any:
        """As `models.token_nll` wants it."""
        here = (layer == self.place.layer) & (MATRICES.index(name) == self.place.matrix)
        row = jnp.where(here, self.place.row, weight.shape[0])
        return weight.at[row, self.place.column].multiply(-1.0, mode="drop")

    @classmethod
    def at(cls, place: Place) -> FlippedWeight:
        """Traced: another weight compiles nothing again."""
        return cls(Place(*(jnp.asarray(part, jnp.int32) for part in place)))
