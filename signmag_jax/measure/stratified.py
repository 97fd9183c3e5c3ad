"""Random draws given that they flip none of the heavy weights, and given that they flip any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from signmag_jax.evidence import keys
from signmag_jax.models import SITE_OF, fetch

from .flips import Coordinates, Draws, Flips, Recipe
from .place import Place
from .ranking import Ranking

LIGHT_PER_JOINT = 5
"""Draws for each one, at least, that flips heavy weights together with the rest."""


def crowded(draws: Draws, arm: str, ranking: Ranking) -> bool:
    """Whether a draw may leave too few weights to change places with, or draws those that stay."""
    heavy = Counter((place.name, place.layer) for place in ranking.places)
    # At most half of a matrix may be taken: then places to change with are found by trying.
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
      ranked: by arm, its heavy weights and what is left; no heavy ones where the draws are too crowded.
    """

    draws: Draws
    ranked: Mapping[str, Ranking]

    @classmethod
    def of(cls, draws: Draws, ranked: Mapping[str, Ranking]) -> Stratified:
        """The draws stratified by a ranking, without which nothing is heavy."""
        kept = {arm: ranked.get(arm, Ranking()) for arm in draws.flips}
        return cls(
            draws,
            {arm: one.without_heavy() if crowded(draws, arm, one) else one for arm, one in kept.items()},
        )

    def heavy(self, arm: str) -> tuple[Place, ...]:
        """The weights that no light draw flips."""
        return self.ranked[arm].places

    def joint_draws(self, arm: str, count: int) -> int:
        """How many draws flip heavy weights, beside `count` that do not."""
        return max(1, count // LIGHT_PER_JOINT) if self.heavy(arm) else 0

    def light(self, arm: str, draw: int) -> tuple[Recipe, Coordinates]:
        """A draw given that it flips no heavy weight: each that it did changes places with one it did not.

        Any weight of its matrix is as likely as any other, so that this is the conditional law.
        """
        recipe = self.draws.recipe(arm, draw)
        coordinates = self.draws.coordinates(recipe)
        if not self.heavy(arm):
            return recipe, coordinates
        table, random = _opened(coordinates), self._random(arm, "light", draw)
        for place in self.heavy(arm):
            # None or one, for a draw has no weight twice.
            for slot in np.flatnonzero(_slots(table, place)):
                _put(table, place, int(slot), self._other(table, arm, place, random))
        return recipe, _closed(table)

    def joint(self, arm: str, draw: int) -> tuple[Recipe, Coordinates, tuple[int, ...], float]:
        """A draw given that it flips heavy weights: which, and `Σ p_i c_i/Σ_{i∈S} c_i` as predicted.

        One of them is chosen by what it is predicted to carry and changes places with a weight at random.
        """
        recipe, predicted = self.draws.recipe(arm, draw), self.ranked[arm].predicted
        table, random = _opened(self.draws.coordinates(recipe)), self._random(arm, "joint", draw)
        carried = self.rates(arm, recipe) * predicted
        if not carried.any():  # no flip falls into their matrices
            return recipe, _closed(table), (), 0.0
        chosen = int(random.choice(len(carried), p=carried / carried.sum()))
        place = self.heavy(arm)[chosen]
        # If it is there already, the others are a uniform subset; if not, they are one less any of them.
        if not _slots(table, place).any():
            filled = np.flatnonzero(table[place.name][0][place.layer] < self.draws.pools.outputs[place.name])
            _put(table, place, int(random.choice(filled)), (place.row, place.column))
        # S comes with probability P(S)·Σ_S c/Σ p c: so weighted, means are those of draws that hit any.
        flipped = tuple(i for i, each in enumerate(self.heavy(arm)) if _slots(table, each).any())
        return recipe, _closed(table), flipped, float(carried.sum() / predicted[list(flipped)].sum())

    def rates(self, arm: str, recipe: Recipe) -> Float[np.ndarray, " heavy"]:
        """How probable it is that a draw flips each heavy weight, as its flips were shared over matrices."""
        parts = {name: self.draws.flipped_part(recipe, arm, name) for name in self.draws.pools.outputs}
        return np.asarray([parts[place.name][place.layer] for place in self.heavy(arm)])

    def mean_rates(self, arm: str, draws: int) -> Float[np.ndarray, " heavy"]:
        """The mean over draws."""
        return np.mean([self.rates(arm, self.draws.recipe(arm, draw)) for draw in range(draws)], axis=0)

    def light_part(self, recipe: Recipe, arm: str, name: str) -> Float[np.ndarray, " layers"]:
        """The part of one matrix's other weights in the arm's pool that a light draw flips, by layer."""
        # As many flips among fewer weights.
        size, part = self.draws.pools.matrix_size(name, arm), self.draws.flipped_part(recipe, arm, name)
        return part * size / (size - self._spared(arm, name)) if size else part

    def flipped(
        self, arm: str, recipe: Recipe, coordinates: Coordinates, places: tuple[Place, ...]
    ) -> tuple[Bool[np.ndarray, " places"], Float[np.ndarray, " places"]]:
        """Whether a light draw flipped each of some weights, and how probably; 0 outside the pool."""
        inverted, table = self.draws.is_inverted(arm), fetch(coordinates)
        flipped, expected = np.zeros(len(places), bool), np.zeros(len(places))
        for index, place in enumerate(places):
            inside = self.draws.pools.member(place.name, arm)[place.layer, place.column]
            if inside and place not in self.heavy(arm):
                # Of an inverted arm the weights that stay are drawn.
                flipped[index] = _slots(table, place).any() ^ inverted
                expected[index] = self.light_part(recipe, arm, place.name)[place.layer]
        return flipped, expected

    def transform(self, recipe: Recipe, coordinates: Coordinates) -> Flips:
        """What a draw does to the weights."""
        return Flips(self.draws.pools.order, recipe, coordinates)

    def _spared(self, arm: str, name: str) -> Int[np.ndarray, " layers"]:
        """Heavy weights of one matrix, by layer."""
        counts = np.zeros(self.draws.pools.layers_of_model, int)
        for place in self.heavy(arm):
            counts[place.layer] += place.name == name
        return counts

    def _random(self, arm: str, kind: str, draw: int) -> np.random.Generator:
        """A generator of its own for each kind of draw: a light one must not tell what a joint one chose."""
        words = jax.random.bits(keys.fold(self.draws.key, arm, kind, draw), (4,), jnp.uint32)
        return np.random.default_rng(np.asarray(words).tolist())

    def _other(self, table: Any, arm: str, place: Place, random: np.random.Generator) -> tuple[int, int]:
        """A weight of the same matrix and pool that is neither drawn nor heavy."""
        pools, site = self.draws.pools, SITE_OF[place.name]
        offset, width = pools.span(site, arm)
        while True:  # ends soon: see `crowded`
            row = int(random.integers(pools.outputs[place.name]))
            column = int(pools.order[site][place.layer][offset + int(random.integers(width))])
            other = place._replace(row=row, column=column)
            if other not in self.heavy(arm) and not _slots(table, other).any():
                return row, column


def _opened(coordinates: Coordinates) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {name: (np.array(rows), np.array(columns)) for name, (rows, columns) in fetch(coordinates).items()}


def _closed(table: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Coordinates:
    return {name: (jnp.asarray(rows), jnp.asarray(columns)) for name, (rows, columns) in table.items()}


def _slots(table: Any, place: Place) -> Bool[np.ndarray, " slots"]:
    rows, columns = (part[place.layer] for part in table[place.name])
    return (rows == place.row) & (columns == place.column)


def _put(table: Any, place: Place, slot: int, where: tuple[int, int]) -> None:
    for part, value in zip(table[place.name], where, strict=True):
        part[place.layer, slot] = value
