"""Sign flips of exactly k weights, built inside the jitted forward pass; the weights are never edited."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from signmag_jax.evidence import keys
from signmag_jax.evidence.compiling import jit
from signmag_jax.models import SITE_OF

from .draw import EMPTY, apportion, subset
from .pools import Pools

FEWEST_SLOTS = 512
"""Low rates share one program: to compile another would take longer than to look at empty slots."""

Coordinates = dict[str, tuple[Int[Array, "layers slots"], Int[Array, "layers slots"]]]
"""Per matrix and layer, rows and columns of the drawn weights."""


class Recipe(NamedTuple):
    """One draw, as traced arrays: a new draw or the other arm never compiles again.

    Args:
      key: of the arm; folded with layer, matrix and draw for each matrix.
      draw: number of the draw.
      offset, width: per site, where the arm's columns begin in `Pools.order` and how many they are.
      drawn: per matrix and layer, how many indices to draw (the complement's, where inverted).
      inverted: per layer, whether the whole pool is flipped first and the drawn weights flipped back; None
        where no arm of these draws ever is.
    """

    key: PRNGKeyArray
    draw: Int[Array, ""]
    offset: dict[str, Int[Array, ""]]
    width: dict[str, Int[Array, ""]]
    drawn: dict[str, Int[Array, " layers"]]
    inverted: Bool[Array, " layers"] | None

    def empty(self) -> Recipe:
        """A recipe of these shapes that draws nothing: the other half of an A/A comparison."""
        nothing = {name: jnp.zeros_like(count) for name, count in self.drawn.items()}
        return self._replace(drawn=nothing, inverted=jax.tree.map(jnp.zeros_like, self.inverted))


class Flips(NamedTuple):
    """The weight transform that flips the signs of a draw.

    Args:
      order: as in `Pools`.
      recipe: the draw.
      coordinates: of the drawn weights.
    """

    order: dict[str, Any]
    recipe: Recipe
    coordinates: Coordinates

    def __call__(self, weight: Float[Array, "outputs inputs"], layer: Array, name: str) -> Any:
        """The transformed weight, as `models.token_nll` asks for it."""
        if name not in self.coordinates:
            return weight
        if self.recipe.inverted is not None:
            weight = weight * self._pool_sign(layer, name, weight)
        rows, columns = self.drawn(layer, name)
        # Empty slots point past the last row, where nothing is multiplied.
        return weight.at[rows, columns].multiply(-1.0, mode="drop")

    def drawn(self, layer: Any, name: str) -> tuple[Int[Array, " slots"], Int[Array, " slots"]]:
        """Rows and columns of the drawn weights of one matrix."""
        rows, columns = self.coordinates[name]
        return rows[layer], columns[layer]

    def _pool_sign(
        self, layer: Array, name: str, weight: Float[Array, "outputs features"]
    ) -> Float[Array, "1 features"]:
        """−1 in the arm's columns where the layer is inverted, else +1."""
        recipe, site = self.recipe, SITE_OF[name]
        # Columns by their place in the order, of which an arm's are a run: no mask of columns is stored.
        order = jnp.asarray(self.order[site])[layer]
        rank = jnp.arange(order.shape[0], dtype=jnp.int32) - recipe.offset[site]
        member = (rank >= 0) & (rank < recipe.width[site]) & recipe.inverted[layer]  # pyright: ignore[reportOptionalSubscript]
        ones = jnp.ones(order.shape[0], weight.dtype)
        return ones.at[order].set(jnp.where(member, -ones, ones))[None, :]


@dataclass(frozen=True, eq=False)
class Draws:
    """Random subsets of exactly so many weights of each of several pools; all draws share one program.

    Args:
      pools: the weights among which flips are drawn.
      flips: how many are flipped, by arm.
      key: of all draws.
    """

    pools: Pools
    flips: Mapping[str, int]
    key: PRNGKeyArray

    def recipe(self, arm: str, draw: int) -> Recipe:
        """One draw in an arm's pool, shared over its matrices in proportion to their sizes.

        Equal remainders are ranked by a random permutation of this draw, so that no layer is favoured.
        """
        pools, key = self.pools, keys.fold(self.key, arm)
        matrices = [(name, layer) for name in pools.outputs for layer in pools.layers]
        sizes = [pools.matrix_size(name, arm) for name, _ in matrices]
        ties = jax.random.permutation(keys.fold(key, "apportion", draw), len(matrices))
        counts = apportion(self.flips[arm], sizes, np.asarray(ties).tolist())
        layers, invert = pools.layers_of_model, self.is_inverted(arm)
        drawn = {name: np.zeros(layers, np.int32) for name in pools.outputs}
        for (name, layer), size, count in zip(matrices, sizes, counts, strict=True):
            drawn[name][layer] = size - count if invert else count
        # Where more than half flip, the fewer weights that stay are drawn.
        inverted = np.isin(np.arange(layers), pools.layers) & invert
        spans = {site: pools.span(site, arm) for site in pools.order}
        # None where no arm is inverted: the program then has no pool to flip first.
        return Recipe(
            key,
            jnp.asarray(draw, jnp.int32),
            {site: jnp.asarray(offset, jnp.int32) for site, (offset, _) in spans.items()},
            {site: jnp.asarray(width, jnp.int32) for site, (_, width) in spans.items()},
            {name: jnp.asarray(count) for name, count in drawn.items()},
            jnp.asarray(inverted) if any(map(self.is_inverted, self.flips)) else None,
        )

    def is_inverted(self, arm: str) -> bool:
        """Whether the weights that stay are drawn, because they are fewer than those that flip."""
        return 2 * self.flips[arm] > self.pools.size(arm)

    @functools.cached_property
    def slots(self) -> tuple[tuple[str, int], ...]:
        """Names of matrices, each with the static number of drawn weights that a layer can hold in any arm.

        A draw does not depend on how many slots stay empty.
        """
        return tuple(
            (name, max(FEWEST_SLOTS, *(self.most(name, arm) for arm in self.flips)))
            for name in self.pools.outputs
        )

    def most(self, name: str, arm: str) -> int:
        """The most weights of a matrix that are drawn in an arm, or one more."""
        size, whole, flips = self.pools.matrix_size(name, arm), self.pools.size(arm), self.flips[arm]
        # Largest remainders get one more each, and which these are differs from draw to draw.
        share = flips * size // whole
        return size - share if self.is_inverted(arm) else share + 1

    def coordinates(self, recipe: Recipe) -> Coordinates:
        """Rows and columns of the drawn weights of every matrix; unused slots point past the last row.

        Drawn apart from the forward pass, so that the sampler is not compiled again with each of those.
        """
        return _coordinates(self.pools.order, recipe, self.slots, tuple(self.pools.outputs.items()))

    def transform(self, recipe: Recipe, kind: type[Flips] = Flips) -> Flips:
        """What is done to the drawn weights, as a transform for `models.window_nll`."""
        return kind(self.pools.order, recipe, self.coordinates(recipe))

    def flipped_part(self, recipe: Recipe, arm: str, name: str) -> Float[np.ndarray, " layers"]:
        """The part of one matrix's weights in the arm's pool that a draw flips, by layer."""
        size = self.pools.matrix_size(name, arm)
        drawn = np.asarray(recipe.drawn[name], np.float64)
        part = drawn / size if size else np.zeros_like(drawn)
        return part if recipe.inverted is None else np.where(np.asarray(recipe.inverted), 1 - part, part)


@functools.partial(jit, static_argnums=(2, 3))
def _coordinates(
    order: dict[str, Int[Array, "layers features"]],
    recipe: Recipe,
    slots: tuple[tuple[str, int], ...],
    rows_of: tuple[tuple[str, int], ...],
) -> Coordinates:
    """One loop over all matrices and layers, so that the sampler is compiled once and not once a matrix."""
    outputs = dict(rows_of)
    capacity = max(1, *(size for _, size in slots))
    layers = np.arange(len(next(iter(order.values()))), dtype=np.int32)
    own = keys.each(recipe.key, layers, tuple(name for name, _ in slots), recipe.draw[None])
    population, count = [], []
    for name, _ in slots:
        population.append(jnp.broadcast_to(outputs[name] * recipe.width[SITE_OF[name]], layers.shape))
        count.append(recipe.drawn[name])
    pieces = (own[..., 0].T.reshape(-1), jnp.concatenate(population), jnp.concatenate(count))
    indices = jax.lax.map(lambda piece: subset(piece[0], piece[1], piece[2], capacity), pieces)
    indices = indices.reshape(len(slots), len(layers), capacity)
    coordinates = {}
    for index, (name, size) in enumerate(slots):
        site, chosen = SITE_OF[name], indices[index, :, :size]
        # An index counts row after row of the arm's columns alone.
        empty = chosen == EMPTY
        # Of a pool without columns every slot is empty: the remainder by a width of 0 is not used.
        column = recipe.offset[site] + jnp.where(empty, 0, chosen % recipe.width[site])
        rows = jnp.where(empty, outputs[name], chosen // recipe.width[site])
        coordinates[name] = rows, jnp.take_along_axis(jnp.asarray(order[site]), column, axis=1)
    return coordinates
