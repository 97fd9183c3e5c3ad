"""Strata of a leverage: the weights predicted to cost most are measured one by one, and chance has the rest.

Let S be the heavy weights that a draw flips, L its damage without them, c_i what weight i costs alone, h the
part of it that L leaves room for. Then `E Δ = E[L + h(L) Σ p_i c_i] + E[Δ − L − h(L) Σ_{i∈S} c_i]`, whatever
was predicted, for S and L are independent. L is drawn, c_i measured, and what the heavy weights do beyond
that, together and with the rest, is drawn from those draws that flip any: S by its size, each weight with a
chance in proportion to what it is predicted to carry (Hansen and Hurwitz, 1943).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from signmag_jax.evidence import Result, keys
from signmag_jax.evidence.strata import Sum
from signmag_jax.models import SITE_OF, fetch

from .flips import Coordinates, Draws, Flips, Plan
from .place import Place
from .screening import Ranking

HEAVY = 6
"""Weights of both pools together that are measured one by one."""


def crowded(draws: Draws, arm: str, ranking: Ranking) -> bool:
    """Whether a draw may leave too few weights to change places with, or draws those that stay."""
    heavy = Counter((place.name, place.layer) for place in ranking.places)
    few = any(
        2 * (draws.most(name, arm) + count) > draws.pools.matrix_size(name, arm)
        for (name, _), count in heavy.items()
    )
    return few or draws.is_inverted(arm)


@dataclass(frozen=True, eq=False)
class Stratified:
    """The draws of one rate, with and without the heavy weights.

    Args:
      draws: of both arms.
      heavy: by arm, the weights that are measured one by one; none where more than half of a pool flips.
      predicted: by arm, what each was predicted to cost.
    """

    draws: Draws
    heavy: Mapping[str, tuple[Place, ...]]
    predicted: Mapping[str, Float[np.ndarray, " heavy"]]

    @classmethod
    def of(cls, draws: Draws, ranked: Mapping[str, Ranking]) -> Stratified:
        """No heavy weights without a ranking, or where the weights that stay are drawn."""
        kept = {
            arm: Ranking((), ()) if not ranked or crowded(draws, arm, ranked[arm]) else ranked[arm]
            for arm in draws.flips
        }
        return cls(
            draws,
            {arm: each.places for arm, each in kept.items()},
            {arm: each.predicted for arm, each in kept.items()},
        )

    def light(self, arm: str, draw: int) -> tuple[Plan, Coordinates]:
        """A draw given that it flips no heavy weight: each that it did changes places with one it did not.

        Any weight of its matrix is as likely as any other, so that this is the conditional law.
        """
        plan = self.draws.plan(arm, draw)
        coordinates = self.draws.coordinates(plan)
        if not self.heavy[arm]:
            return plan, coordinates
        table, random = self._opened(coordinates), self._random(arm, draw)
        for place in self.heavy[arm]:
            slots = self._slots(table, place)
            for slot in np.flatnonzero(slots):
                self._put(table, place, int(slot), self._other(table, arm, place, random))
        return plan, _closed(table)

    def joint(self, arm: str, draw: int) -> tuple[Plan, Coordinates, tuple[int, ...], float]:
        """A draw given that it flips heavy weights: which, and `Σ p_i c_i/Σ_{i∈S} c_i` as predicted.

        One of them is chosen by what it is predicted to carry and changes places with a weight at random.
        """
        plan = self.draws.plan(arm, draw)
        table, random = self._opened(self.draws.coordinates(plan)), self._random(arm, draw)
        carried = self.rates(arm, plan) * self.predicted[arm]
        if not carried.any():  # no flip falls into their matrices
            return plan, _closed(table), (), 0.0
        chosen = int(random.choice(len(carried), p=carried / carried.sum()))
        place = self.heavy[arm][chosen]
        if not self._slots(table, place).any():
            filled = np.flatnonzero(table[place.name][0][place.layer] < self.draws.pools.outputs[place.name])
            self._put(table, place, int(random.choice(filled)), (place.row, place.column))
        flipped = tuple(i for i, each in enumerate(self.heavy[arm]) if self._slots(table, each).any())
        weight = float(carried.sum() / self.predicted[arm][list(flipped)].sum())
        return plan, _closed(table), flipped, weight

    def rates(self, arm: str, plan: Plan) -> Float[np.ndarray, " heavy"]:
        """How probable it is that a draw flips each heavy weight, as its flips were shared over matrices."""
        parts = {name: self.draws.flipped_part(plan, arm, name) for name in self.draws.pools.outputs}
        return np.asarray([parts[place.name][place.layer] for place in self.heavy[arm]])

    def mean_rates(self, arm: str, draws: int) -> Float[np.ndarray, " heavy"]:
        """The mean over draws."""
        return np.mean([self.rates(arm, self.draws.plan(arm, draw)) for draw in range(draws)], axis=0)

    def light_part(self, plan: Plan, arm: str, name: str) -> Float[np.ndarray, " layers"]:
        """The part of one matrix's other weights in the arm's pool that a light draw flips, by layer."""
        size, part = self.draws.pools.matrix_size(name, arm), self.draws.flipped_part(plan, arm, name)
        return part * size / (size - self.spared(arm, name)) if size else part

    def spared(self, arm: str, name: str) -> Int[np.ndarray, " layers"]:
        """Heavy weights of one matrix, by layer: none of them is in a light draw."""
        found = np.zeros(self.draws.pools.layers_of_model, int)
        for place in self.heavy[arm]:
            found[place.layer] += place.name == name
        return found

    def flipped(
        self, arm: str, plan: Plan, coordinates: Coordinates, places: tuple[Place, ...]
    ) -> tuple[Bool[np.ndarray, " places"], Float[np.ndarray, " places"]]:
        """Whether a light draw flipped each of some weights, and how probably; 0 outside the pool."""
        inverted, table = self.draws.is_inverted(arm), fetch(coordinates)
        flipped, expected = np.zeros(len(places), bool), np.zeros(len(places))
        for index, place in enumerate(places):
            inside = self.draws.pools.member(place.name, arm)[place.layer, place.column]
            if inside and place not in self.heavy[arm]:
                flipped[index] = self._slots(table, place).any() ^ inverted
                expected[index] = self.light_part(plan, arm, place.name)[place.layer]
        return flipped, expected

    def transform(self, plan: Plan, coordinates: Coordinates) -> Flips:
        """What a draw does to the weights."""
        return Flips(self.draws.pools.order, plan, coordinates)

    def _opened(self, coordinates: Coordinates) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        return {
            name: (np.array(rows), np.array(columns)) for name, (rows, columns) in fetch(coordinates).items()
        }

    def _random(self, arm: str, draw: int) -> np.random.Generator:
        words = jax.random.bits(keys.fold(self.draws.key, arm, "strata", draw), (4,), jnp.uint32)
        return np.random.default_rng(np.asarray(words).tolist())

    def _slots(self, table: Any, place: Place) -> np.ndarray:
        rows, columns = (part[place.layer] for part in table[place.name])
        return (rows == place.row) & (columns == place.column)

    def _put(self, table: Any, place: Place, slot: int, where: tuple[int, int]) -> None:
        for part, value in zip(table[place.name], where, strict=True):
            part[place.layer, slot] = value

    def _other(self, table: Any, arm: str, place: Place, random: np.random.Generator) -> tuple[int, int]:
        """A weight of the same matrix and pool that is neither drawn nor heavy."""
        pools, site = self.draws.pools, SITE_OF[place.name]
        offset, width = pools.span(site, arm)
        while True:
            row = int(random.integers(pools.outputs[place.name]))
            column = int(pools.order[site][place.layer][offset + int(random.integers(width))])
            other = place._replace(row=row, column=column)
            if other not in self.heavy[arm] and not self._slots(table, other).any():
                return row, column


def _closed(table: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Coordinates:
    return {name: (jnp.asarray(rows), jnp.asarray(columns)) for name, (rows, columns) in table.items()}


@dataclass(frozen=True, eq=False)
class Strata(Result):
    """What stands beside the drawn damage of one arm.

    Args:
      known: `Σ p_i c_i` on each window, exact.
      room: h(L) of each light draw.
      joint: what heavy weights do together and with the rest beyond that, draws × windows; its mean counts.
      hardly_seen: mean damage predicted of what the draws hardly ever hit.
      largest_left: largest predicted cost of a weight left to chance.
      unseen_share: part of the pool that no draw flipped.
    """

    known: Float[np.ndarray, " windows"]
    room: Float[np.ndarray, " draws"]
    joint: Float[np.ndarray, "joint windows"]
    hardly_seen: float
    largest_left: float
    unseen_share: float

    @property
    def finite(self) -> bool:
        """Whether every loss of a heavy weight was."""
        return bool(np.isfinite(self.known).all() and np.isfinite(self.joint).all())

    def around(self, drawn: Float[np.ndarray, "draws windows"]) -> Sum:
        """The whole mean, with light draws."""
        return Sum((drawn + self._expected,), (self.joint,) if len(self.joint) else ())

    @property
    def beside(self) -> Float[np.ndarray, "draws windows"]:
        """What the mean has beside the light draws."""
        return self._expected + (self.joint.mean(axis=0, keepdims=True) if len(self.joint) else 0.0)

    @property
    def _expected(self) -> Float[np.ndarray, "draws windows"]:
        return self.room[:, None] * self.known[None]

    def line(self) -> str:
        """The largest cost that may have been missed, in words."""
        return (
            f"{self.unseen_share:.1%} of the pool never drawn, each of its weights predicted to cost at most "
            f"{self.largest_left:.2g} nat/token; in what is seldom drawn {self.hardly_seen:.2g} of the mean"
        )
