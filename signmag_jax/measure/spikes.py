"""Single weights whose error decides, whatever their derivative says.

A derivative does not see a weight that saturates its unit. So the widest weights of every matrix, those of
largest `|w|·√E x²`, are flipped within their layer; those that change it most, and those of largest predicted
cost, are then perturbed one by one in the whole model, on a little of the calibration text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from signmag_jax.models import MATRICES, LanguageModel, fetch

from .against import Against
from .curvature import Weights
from .inputs import Windows
from .place import Place
from .screening import TOKENS, costs_alone, excerpt, widest_of, within_layers
from .singles import costs_of, largest

WIDE = 2
"""Weights of each matrix and layer that are flipped within their layer."""
TRIED = 12
"""Weights of either ranking that are tried in the whole model."""
SPIKES = "spikes"


def tokens_tried() -> int:
    """Tokens through the whole model, at most; a flip within each of the layers counts as one pass."""
    return (2 * TRIED + 1 + len(MATRICES) * WIDE) * TOKENS


class Moved(NamedTuple):
    """The weight transform that adds an amount to one weight."""

    place: Place
    amount: Float[Array, ""]

    def __call__(self, weight: Float[Array, "outputs inputs"], layer: Array, name: str) -> Any:
        """As `models.token_nll` wants it."""
        here = (layer == self.place.layer) & (MATRICES.index(name) == self.place.matrix)
        row = jnp.where(here, self.place.row, weight.shape[0])
        return weight.at[row, self.place.column].add(self.amount.astype(weight.dtype), mode="drop")


def tried(
    model: LanguageModel,
    calibration: Windows,
    against: Against,
    costs: Weights,
    squares: Mapping[str, Float[np.ndarray, "layers inputs"]],
    layers: Sequence[int],
) -> dict[Place, float]:
    """What the error of single weights costs in the whole model, in nats per token; not below zero.

    Args:
      model: from `models.load`.
      calibration: windows.
      against: the error.
      costs: predicted cost of every weight.
      squares: E x² of every matrix's input.
      layers: which take part.
    """
    few = excerpt(calibration)
    wide = within_layers(model, few, {SPIKES: _widest(model, squares, layers)})[SPIKES]
    predicted = [place for place, _ in largest(costs, TRIED)]
    places = list(dict.fromkeys((*list(wide)[:TRIED], *predicted)))
    amounts = _changes(model, against, places)
    dtype = model.params["embed"].dtype

    def moved(place: Place) -> Moved:
        traced = Place(*(jnp.asarray(part, jnp.int32) for part in place))
        return Moved(traced, jnp.asarray(amounts[place], dtype))

    return costs_alone(model, few, places, moved)


def with_tried(costs: Weights, tried: Mapping[Place, float]) -> Weights:
    """The predicted costs, but what was tried where that is more; in the same dict, which lets the old go."""
    for place, cost in tried.items():
        table = costs[place.name]
        costs[place.name] = table.at[tuple(place[1:])].max(jnp.asarray(cost, table.dtype))
    return costs


def _widest(
    model: LanguageModel, squares: Mapping[str, Float[np.ndarray, "layers inputs"]], layers: Sequence[int]
) -> list[list[Place]]:
    """For each layer of the model, the weights of largest `|w|·√E x²` of each of its matrices."""
    found: list[list[Place]] = [[] for _ in range(model.config.layers)]
    for name, square in squares.items():
        weights = model.params["blocks"][name]
        count = min(WIDE, weights[0].size)
        flat = fetch(widest_of(weights, jnp.asarray(np.sqrt(square), weights.dtype), count))
        for layer in layers:
            pairs = np.transpose(np.unravel_index(flat[layer], weights.shape[1:])).tolist()
            found[layer] += [Place(MATRICES.index(name), layer, *pair) for pair in pairs]
    return found


def _changes(model: LanguageModel, against: Against, places: Sequence[Place]) -> dict[Place, float]:
    amounts: dict[Place, float] = {}
    for name in {place.name for place in places}:
        here = [place for place in places if place.name == name]
        change = against.change(model.params["blocks"][name])
        amounts |= dict(zip(here, costs_of({name: change}, here), strict=True))
    return amounts
