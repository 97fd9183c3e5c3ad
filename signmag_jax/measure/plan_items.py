"""What a plan gives widths to: matrices and their sizes, and the transform that rounds each to its width."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from .setup import Setup
from .widths import rounded, stored_bits

Target = tuple[int, str]


@dataclass(frozen=True)
class Items:
    """What is to be given a width.

    Args:
      widths: the options, from the narrowest.
      targets: layer and name of each matrix.
      shapes: outputs and inputs of each.
      sizes: bits of each at every width.
    """

    widths: tuple[str, ...]
    targets: tuple[Target, ...]
    shapes: tuple[tuple[int, int], ...]
    sizes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, setup: Setup, widths: tuple[str, ...]) -> Items:
        """The matrices that take part, name by name."""
        known = setup.model.config.shapes()
        targets = tuple((layer, name) for name in setup.matrices for layer in setup.layers)
        shapes = tuple((known[name][0], known[name][1]) for _, name in targets)
        sizes = tuple(tuple(stored_bits(width, shape) for width in widths) for shape in shapes)
        return cls(widths, targets, shapes, sizes)

    @property
    def weights(self) -> int:
        """How many there are in all."""
        return sum(rows * columns for rows, columns in self.shapes)

    @property
    def uniform(self) -> list[int]:
        """Bits of each width everywhere."""
        return [sum(each) for each in zip(*self.sizes, strict=True)]

    def size(self, options: Sequence[int]) -> int:
        """Bits of a choice."""
        return sum(each[option] for each, option in zip(self.sizes, options, strict=True))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Rounded:
    """The weight transform that gives each matrix its width.

    Args:
      widths: the options.
      tables: by matrix and layer, 0 for a matrix as it is, else 1 + the number of its width. As data: one
        program serves every plan.
    """

    widths: tuple[str, ...] = field(metadata={"static": True})
    tables: dict[str, Int[Array, " layers"]]

    def __call__(self, weight: Array, layer: Array, name: str) -> Array:
        """The transformed weight, as `models.token_nll` asks for it."""
        if name not in self.tables:
            return weight
        branches = [lambda w: w, *(functools.partial(rounded, width) for width in self.widths)]
        return jax.lax.switch(self.tables[name][layer], branches, weight)


def rounding(setup: Setup, items: Items, options: Mapping[int, int]) -> Rounded:
    """The transform for some items' options; the other items stay as they are."""
    tables = {name: np.zeros(setup.model.config.layers, np.int32) for name in setup.matrices}
    for item, option in options.items():
        layer, name = items.targets[item]
        tables[name][layer] = 1 + option
    return Rounded(items.widths, {name: jnp.asarray(table) for name, table in tables.items()})
