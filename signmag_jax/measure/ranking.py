"""The weights of a pool by what their flips are predicted to cost: heavy ones, and those left to chance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from signmag_jax.models import ModelConfig

from . import recorded
from .place import Place

EXPECTED = 3.0
"""Flips in all draws together that make it sure, to 95%, that one is seen."""


@dataclass(frozen=True)
class Ranking:
    """Costs in nats per token.

    Args:
      places: the heavy weights, by falling cost.
      costs: what the flip of each cost on calibration text.
      left: predicted costs of the weights that follow, the most suspicious first.
      beyond: predicted cost of any weight after these.
    """

    places: tuple[Place, ...] = ()
    costs: tuple[float, ...] = ()
    left: tuple[float, ...] = ()
    beyond: float = 0.0

    def to_record(self) -> list[Any]:
        """The ranking as plain values, for a record."""
        return [[list(place) for place in self.places], list(self.costs), list(self.left), self.beyond]

    @classmethod
    def of_record(cls, record: Any, config: ModelConfig) -> Ranking:
        """The ranking of a model's weights that `to_record` made plain; errors as in `recorded`."""
        places, costs, left, beyond = record
        if len(places) != len(costs):
            raise ValueError("a cost for each place")
        heavy = recorded.places(places, config), recorded.numbers(costs)
        return cls(*heavy, recorded.numbers(left), *recorded.numbers([beyond]))

    def without_heavy(self) -> Ranking:
        """A ranking of these weights that leaves all of them to chance."""
        return Ranking(left=(*self.costs, *self.left), beyond=self.beyond)

    @property
    def predicted(self) -> Float[np.ndarray, " heavy"]:
        """Predicted costs of the heavy weights."""
        return np.asarray(self.costs)

    @property
    def largest_left(self) -> float:
        """Largest predicted cost of a weight that is left to chance."""
        # Not the first: what makes a weight suspicious is not what was found of it apart from that.
        return max((*self.left, self.beyond))

    def hardly_seen(self, rate: float, draws: int) -> float:
        """Mean damage predicted of the first weights, of which fewer than 3 flips are expected in all."""
        # Each is flipped rate · draws times in all: of so many of the first ones, three flips are expected.
        count = EXPECTED / (rate * draws)
        known = min(math.ceil(count), len(self.left))
        return rate * (sum(self.left[:known]) + max(count - len(self.left), 0.0) * self.beyond)
