"""The weights whose flip may decide, known before any is drawn.

Derivatives do not see a weight that saturates its unit: where SiLU's input is far below zero, the flip of the
weight that puts it there may cost most of all, and its gradient is nothing. So the widest weights of every
matrix, those of largest `|w|·√E x²`, are flipped within their layer, and the change of what the next
normalisation makes of it ranks them, whatever the kind of matrix. The first of both rankings are then flipped
in the whole model, on a little of the calibration text.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from signmag_jax.evidence.precision import at_least_float32
from signmag_jax.evidence.progress import progress
from signmag_jax.frechet import rmsnorm
from signmag_jax.models import MATRICES, SITE_OF, LanguageModel, ModelConfig, fetch, hidden, window_nll

from .activations import Alpha
from .inputs import Windows
from .layer import layer_states
from .place import FlippedWeight, Place
from .pools import OUTLIER, REST, Pools
from .singles import largest, predicted_costs

RANKED = 2048
"""Weights of each pool whose predicted cost is kept."""
WIDE = 2
"""Weights of each pool, matrix and layer that are flipped within their layer."""
TRIED = 16
"""Weights of each pool, at least, that are flipped in the whole model: so many of either ranking."""
WINDOW, TOKENS = 64, 128
"""Calibration text on which they are: tokens of a window, and in all, if there are so many."""
SCREENING_TOKENS = 2 * (2 * TRIED + len(MATRICES) * WIDE) * TOKENS
"""That pass through the whole model, for both pools: a flip within each of its layers counts as one pass."""
EXPECTED = 3.0
"""Flips in all draws together that make it sure, to 95%, that one is seen."""


@dataclass(frozen=True)
class Ranking:
    """The weights of a pool of largest predicted cost, descending, and how many of them are heavy.

    Args:
      places: the heavy ones.
      costs: predicted cost of these and of those that follow, in nats per token.
      beyond: no weight past the ranking is predicted to cost more.
    """

    places: tuple[Place, ...]
    costs: tuple[float, ...]
    beyond: float = 0.0

    def to_record(self) -> list[Any]:
        """As plain values."""
        return [[list(place) for place in self.places], list(self.costs), self.beyond]

    @classmethod
    def of_record(cls, record: list[Any]) -> Ranking:
        """From what `to_record` returned."""
        places, costs, beyond = record
        return cls(tuple(Place(*place) for place in places), tuple(costs), beyond)

    @property
    def predicted(self) -> Float[np.ndarray, " heavy"]:
        """Of the heavy weights."""
        return np.asarray(self.costs[: len(self.places)])

    @property
    def largest_left(self) -> float:
        """Largest predicted cost of a weight that is left to chance."""
        return max((*self.costs[len(self.places) :][:1], self.beyond))

    def hardly_seen(self, rate: float, draws: int) -> float:
        """Mean damage predicted of the costliest weights, of which fewer than 3 flips are expected in all.

        Those beyond the ranking count with their upper bound.
        """
        if draws == 0:
            return 0.0
        rest, count = self.costs[len(self.places) :], EXPECTED / (rate * draws)
        known = min(math.ceil(count), len(rest))
        return rate * (sum(rest[:known]) + max(count - len(rest), 0.0) * self.beyond)


def rankings(
    model: LanguageModel, calibration: Windows, profile: Alpha, pools: Pools, heavy: int, seed: int
) -> dict[str, Ranking]:
    """Of both pools, from the calibration windows alone.

    A weight that was tried counts with what its flip cost there, another with the larger of `2 G w²` and
    what its layer makes of its flip, at the mean price of those that were tried.

    Args:
      model: from `models.load`.
      calibration: windows.
      profile: `alpha` of them.
      pools: the two pools.
      heavy: weights that are to be measured one by one, of both pools together: those that are predicted to
        carry the largest part of their pool.
      seed: of the derivatives' random signs.
    """
    slopes = predicted_costs(model, calibration, pools.layers, tuple(pools.outputs), seed)
    few, tried = excerpt(calibration), max(TRIED, 2 * heavy)
    listed, total = {}, {}
    for arm in (OUTLIER, REST):
        inside = {
            name: table * jnp.asarray(pools.member(name, arm), table.dtype)[:, None]
            for name, table in slopes.items()
        }
        listed[arm] = largest(inside, RANKED)
        total[arm] = sum(float(table.sum()) for table in inside.values())
    wide = within_layers(model, few, {arm: widest(model, profile, pools, arm) for arm in listed})
    ranked, beyond = {}, {}
    for arm in listed:
        steep = [place for place, _ in listed[arm]]
        costs = tried_costs(model, few, [*dict.fromkeys((*steep[:tried], *list(wide[arm])[:tried]))])
        predicted = dict(listed[arm])
        price = _price(costs, wide[arm])
        for place, change in wide[arm].items():
            predicted[place] = max(predicted.get(place, 0.0), price * change)
        ranked[arm] = sorted((predicted | costs).items(), key=lambda each: (-each[1], each[0]))
        beyond[arm] = listed[arm][-1][1] if len(listed[arm]) == RANKED else 0.0
    count = _heavy(ranked, total, heavy)
    return {
        arm: Ranking(
            tuple(place for place, _ in found[: count[arm]]), tuple(c for _, c in found), beyond[arm]
        )
        for arm, found in ranked.items()
    }


def excerpt(calibration: Windows) -> Windows:
    """The first tokens of its first windows."""
    short = calibration[:, :WINDOW]
    return short[: math.ceil(TOKENS / short.shape[1])]


def _price(costs: Mapping[Place, float], changes: Mapping[Place, float]) -> float:
    """Mean cost over mean change within the layer, of the weights that were tried."""
    both = [place for place in costs if place in changes]
    change = sum(changes[place] for place in both)
    return sum(costs[place] for place in both) / change if change else 0.0


def _heavy(
    ranked: Mapping[str, Sequence[tuple[Place, float]]], total: Mapping[str, float], heavy: int
) -> dict[str, int]:
    """How many of each pool are heavy."""
    shares = [
        (cost / max(total[arm], np.finfo(np.float64).tiny), arm)
        for arm, found in ranked.items()
        for _, cost in found[:heavy]
        if cost > 0
    ]
    chosen = [arm for _, arm in sorted(shares, reverse=True)[:heavy]]
    return {arm: chosen.count(arm) for arm in ranked}


def widest(model: LanguageModel, profile: Alpha, pools: Pools, arm: str) -> list[list[Place]]:
    """For each layer of the model, the weights of a pool of largest `|w|·√E x²` in each of its matrices."""
    found: list[list[Place]] = [[] for _ in range(model.config.layers)]
    for name in pools.outputs:
        weights = model.params["blocks"][name]
        scale = np.sqrt(profile.energy_share[SITE_OF[name]].value) * pools.member(name, arm)
        count = min(WIDE, weights[0].size)
        flat = fetch(_widest(weights, jnp.asarray(scale, weights.dtype), count))
        for layer in pools.layers:
            pairs = np.transpose(np.unravel_index(flat[layer], weights.shape[1:])).tolist()
            found[layer] += [Place(MATRICES.index(name), layer, *pair) for pair in pairs]
    return found


def within_layers(
    model: LanguageModel, tokens: Windows, places: Mapping[str, Sequence[Sequence[Place]]]
) -> dict[str, dict[Place, float]]:
    """By pool, mean square change of an entry of the next normalised state, descending."""
    config, params = model.config, model.params
    text = jnp.asarray(tokens, jnp.int32)
    _, leaving = hidden(config, params, text, every_layer=True)
    stream = jnp.take(params["embed"], text, axis=0)
    changes: dict[str, dict[Place, float]] = {arm: {} for arm in places}
    with progress("flips within layers", config.layers) as advance:
        for layer in range(config.layers):
            here = [place for each in places.values() for place in each[layer]]
            if here:
                traced = Place(*(jnp.asarray(part, jnp.int32) for part in zip(*here, strict=True)))
                found = fetch(_changes(config, params["blocks"], stream, leaving[layer], traced)).tolist()
                known = dict(zip(here, found, strict=True))
                for arm, each in places.items():
                    changes[arm] |= {place: known[place] for place in each[layer] if known[place] > 0}
            stream = leaving[layer]
            advance()
    return {
        arm: dict(sorted(known.items(), key=lambda each: (-each[1], each[0])))
        for arm, known in changes.items()
    }


def tried_costs(model: LanguageModel, tokens: Windows, places: Sequence[Place]) -> dict[Place, float]:
    """What each flip costs in the whole model, in nats per token; not below zero.

    A loss that is not finite counts like that of a model which knows nothing.
    """
    clean, costs = float(window_nll(model, tokens).mean()), {}
    with progress("single flips", len(places)) as advance:
        for place in places:
            flipped = float(window_nll(model, tokens, FlippedWeight.at(place)).mean())
            cost = flipped - clean if math.isfinite(flipped - clean) else math.log(model.config.vocabulary)
            costs[place] = max(cost, 0.0)
            advance()
    return costs


@functools.partial(jax.jit, static_argnums=2)
def _widest(
    weights: Float[Array, "layers outputs inputs"], scale: Float[Array, "layers inputs"], count: int
) -> Int[Array, "layers count"]:
    def one(piece: tuple[Array, Array]) -> Array:
        weight, by_column = piece
        return jax.lax.top_k((jnp.abs(weight) * by_column[None]).reshape(-1), count)[1]

    return jax.lax.map(one, (weights, scale))


@functools.partial(jax.jit, static_argnums=0)
def _changes(
    config: ModelConfig,
    blocks: dict[str, Array],
    entering: Float[Array, "batch tokens hidden"],
    leaving: Float[Array, "batch tokens hidden"],
    places: Place,
) -> Float[Array, " places"]:
    wide = at_least_float32(entering.dtype)
    clean = rmsnorm(leaving, None, config.eps).astype(wide)

    def one(place: Place) -> Array:
        flip = FlippedWeight(place)
        moved = layer_states(config, blocks, entering, place.layer, "down_proj", flip).normalised
        return jnp.mean((moved.astype(wide) - clean) ** 2)

    return jax.lax.map(one, places)
