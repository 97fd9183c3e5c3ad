"""Where single weights stand, and the transform that changes them."""

from __future__ import annotations

from collections.abc import Sequence
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
        """The place in words."""
        return f"layer {self.layer} {self.name} [{self.row}, {self.column}]"

    def to_json(self) -> dict[str, Any]:
        """A strict-JSON object."""
        return {"matrix": self.name, "layer": self.layer, "row": self.row, "column": self.column}


NOWHERE = Place(-1, -1, 0, 0)
"""Fills places up to the size for which their program is compiled."""


class Changed(NamedTuple):
    """The weight transform that makes `factor·w + amount` of some weights: −1 flips them, 0 removes them.

    Args:
      places: one weight, or several as arrays of one length; as data: one program serves other weights too.
      factor, amount: of all of them, as arrays.
    """

    places: Place
    factor: Any
    amount: Any

    def __call__(self, weight: Float[Array, "outputs inputs"], layer: Array, name: str) -> Any:
        """The transformed weight, as `models.token_nll` asks for it."""
        here = (self.places.layer == layer) & (self.places.matrix == MATRICES.index(name))
        # Past the last row is nowhere.
        at = jnp.where(here, self.places.row, weight.shape[0]), self.places.column
        old = weight.at[at].get(mode="fill", fill_value=0.0)
        # Exact for flips and removals: −2w and −w are, and so is their sum with w.
        change = (self.factor - 1).astype(weight.dtype) * old + self.amount.astype(weight.dtype)
        return weight.at[at].add(change, mode="drop")

    @classmethod
    def of(
        cls, places: Sequence[Place], *, factor: float = 1.0, amount: float = 0.0, size: int = 1
    ) -> Changed:
        """The change of these places, filled up to `size` so that fewer weights compile nothing again."""
        filled = [*places, *[NOWHERE] * (size - len(places))]
        indices = (jnp.asarray(part, jnp.int32) for part in zip(*filled, strict=True))
        return cls(Place(*indices), *(jnp.asarray(value, float) for value in (factor, amount)))


def flipped(places: Sequence[Place], size: int = 1) -> Changed:
    """The transform that flips them all at once."""
    return Changed.of(places, factor=-1.0, size=size)
