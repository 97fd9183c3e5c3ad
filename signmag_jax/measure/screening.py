"""The weights whose flip may decide, known before any is drawn.

Derivatives do not see a weight that saturates its unit: where SiLU's input is far below zero, the flip of the
weight that puts it there may cost most of all, and its gradient is nothing. So the widest weights of every
matrix, those of largest `|w|·√E x²`, are flipped within their layer, and the change of what the next
normalisation makes of it ranks them, whatever the kind of matrix. The first of both rankings are then flipped
in the whole model, on a little of the calibration text, and the costliest of these are heavy.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from signmag_jax.evidence import invalid
from signmag_jax.evidence.compiling import jit
from signmag_jax.evidence.precision import at_least_float32
from signmag_jax.evidence.progress import progress
from signmag_jax.frechet import rmsnorm
from signmag_jax.models import (
    MATRICES,
    SITE_OF,
    LanguageModel,
    ModelConfig,
    Prefixes,
    Transform,
    fetch,
    hidden,
)

from .activations import Alpha
from .curvature import Weights
from .inputs import Windows
from .layer import layer_states
from .place import Changed, Place, flipped
from .pools import ARMS, Pools
from .ranking import Ranking
from .singles import costs_of, largest, predicted_costs

RANKED = 2048
"""Weights of each pool whose predicted cost is kept."""
WIDE = 2
"""Weights of each pool, matrix and layer that are flipped within their layer."""
LEAST_TRIED = 16
"""Weights of each pool, at least, that are flipped in the whole model: so many of either ranking."""
WINDOW, TOKENS = 64, 128
"""Calibration text on which they are flipped: tokens of a window and, as far as there are so many, in all."""


def screening_tokens(heavy: int) -> int:
    """Tokens that pass through the whole model, for both pools, at most.

    A flip within each of the layers counts as one pass.
    """
    return 2 * (2 * _tried(heavy) + len(MATRICES) * WIDE) * TOKENS if heavy else 0


def _tried(heavy: int) -> int:
    return max(LEAST_TRIED, 2 * heavy)


def rankings(
    model: LanguageModel, calibration: Windows, profile: Alpha, pools: Pools, heavy: int, seed: int
) -> dict[str, Ranking]:
    """Rankings of both pools, from the calibration windows alone.

    Half of the windows name the steepest weights and the other half says what `2 G w²` they have: read from
    the same windows, the largest of a million noisy numbers would be too large. The steepest and those that
    change their layer most are tried. What is not tried counts with the larger of `2 G w²` and what its layer
    makes of its flip, at the mean price of those that were.

    Args:
      model: from `models.load`.
      calibration: windows, at least 2.
      profile: `alpha` of them.
      pools: the two pools.
      heavy: weights that are to be measured one by one, of both pools together: of those that were tried, the
        ones that carry the largest part of their pool.
      seed: of the derivatives' random signs.
    """
    steepest, slopes, total = _steepest(model, calibration, pools, seed)
    few, count = excerpt(calibration), _tried(heavy)
    scales = input_scales(profile, pools.outputs)
    wide = within_layers(model, few, {arm: widest(model, scales, pools, arm) for arm in ARMS})
    tried = {}
    for arm in ARMS:
        # Either ranking has its say: their numbers are of two kinds, and no order holds between them.
        places = [place for place, _ in steepest[arm]]
        both = [*dict.fromkeys((*places[:count], *list(wide[arm])[:count]))]
        tried[arm] = {place: one.cost for place, one in tried_costs(model, few, both).items()}
    kept = _heavy(tried, total, heavy)
    return {arm: _ranking(kept[arm], tried[arm], steepest[arm], slopes[arm], wide[arm]) for arm in ARMS}


def check_heavy(heavy: int) -> int:
    """Refuse a number of heavy weights that is negative or more than are ranked."""
    if not 0 <= heavy <= RANKED:
        raise invalid(f"0 <= heavy <= {RANKED}", heavy, "pass how many weights to flip one by one")
    return heavy


def _steepest(
    model: LanguageModel, calibration: Windows, pools: Pools, seed: int
) -> tuple[dict[str, list[tuple[Place, float]]], dict[str, list[float]], dict[str, float]]:
    """By pool: the weights of largest `2 G w²` on half of the windows; that of each, and of all together, on
    the others."""
    names = tuple(pools.outputs)

    def inside(costs: Weights, arm: str) -> Weights:
        members = {name: jnp.asarray(pools.member(name, arm), costs[name].dtype)[:, None] for name in names}
        return {name: table * members[name] for name, table in costs.items()}

    costs = predicted_costs(model, calibration, pools.layers, names, seed, slice(0, None, 2))
    listed = {arm: largest(inside(costs, arm), RANKED) for arm in ARMS}
    del costs  # before the next ones are made
    costs = predicted_costs(model, calibration, pools.layers, names, seed, slice(1, None, 2))
    slopes = {arm: costs_of(costs, [place for place, _ in listed[arm]]) for arm in ARMS}
    return listed, slopes, {arm: _sum(inside(costs, arm)) for arm in ARMS}


def _ranking(
    heavy: Sequence[Place],
    tried: Mapping[Place, float],
    steepest: Sequence[tuple[Place, float]],
    slopes: Sequence[float],
    changes: Mapping[Place, float],
) -> Ranking:
    """A pool's ranking: what is left to chance is ordered by what named it, and counts with other costs."""
    price = _price(tried, changes)
    order = {place: price * change for place, change in changes.items()}
    cost = dict(order)
    for (place, suspected), slope in zip(steepest, slopes, strict=True):
        order[place] = max(suspected, order.get(place, 0.0))
        cost[place] = max(slope, cost.get(place, 0.0))
    order, cost = order | dict(tried), cost | dict(tried)
    left = sorted(order.keys() - set(heavy), key=lambda place: (-order[place], place))
    # One number of so few windows is mostly noise, and this one stands for millions of weights.
    last = slopes[-(RANKED // 4) :]
    beyond = sum(last) / len(last) if len(slopes) == RANKED else 0.0
    return Ranking(tuple(heavy), tuple(tried[p] for p in heavy), tuple(cost[p] for p in left), beyond)


def _sum(costs: Weights) -> float:
    return sum(float(table.sum()) for table in costs.values())


def excerpt(calibration: Windows, window: int = WINDOW, tokens: int = TOKENS) -> Windows:
    """The first tokens of its first windows."""
    short = calibration[:, :window]
    return short[: math.ceil(tokens / short.shape[1])]


def _price(costs: Mapping[Place, float], changes: Mapping[Place, float]) -> float:
    """Mean cost over mean change within the layer, of the weights that were tried."""
    both = [place for place in costs if place in changes]
    change = sum(changes[place] for place in both)
    return sum(costs[place] for place in both) / change if change else 0.0


def _heavy(
    tried: Mapping[str, Mapping[Place, float]], total: Mapping[str, float], heavy: int
) -> dict[str, list[Place]]:
    """The heavy weights of each pool, by falling cost."""
    # As parts of their pool's mean: by such a part the ratio of both is wrong, whichever pool it is.
    shares = [
        (cost / max(total[arm], np.finfo(np.float64).tiny), arm, place)
        for arm, costs in tried.items()
        for place, cost in costs.items()
        if cost > 0
    ]
    kept: dict[str, list[Place]] = {arm: [] for arm in tried}
    for _, arm, place in sorted(shares, key=lambda each: (-each[0], *each[1:]))[:heavy]:
        kept[arm].append(place)
    return kept


Scales = Mapping[str, Float[np.ndarray, "layers inputs"]]
"""The size of each input of a matrix, by matrix."""


def input_scales(profile: Alpha, names: Iterable[str]) -> Scales:
    """`√E x²` of every input, each token counted alike."""
    return {name: np.sqrt(profile.energy_share[SITE_OF[name]].value) for name in names}


def widest(model: LanguageModel, scales: Scales, pools: Pools, arm: str) -> list[list[Place]]:
    """For each layer of the model, the weights of a pool of largest `|w|·√E x²` in each of its matrices."""
    by_layer: list[list[Place]] = [[] for _ in range(model.config.layers)]
    for name in pools.outputs:
        weights = model.params["blocks"][name]
        inside = pools.member(name, arm)
        scale = scales[name] * inside
        count = min(WIDE, weights[0].size)
        flat = fetch(_widest(weights, jnp.asarray(scale, weights.dtype), count))
        for layer in pools.layers:
            pairs = np.transpose(np.unravel_index(flat[layer], weights.shape[1:])).tolist()
            places = [Place(MATRICES.index(name), layer, *pair) for pair in pairs]
            # Of a pool with fewer weights that are not 0, others stand among the widest.
            by_layer[layer] += [place for place in places if inside[layer, place.column]]
    return by_layer


def within_layers(
    model: LanguageModel, tokens: Windows, places: Mapping[str, Sequence[Sequence[Place]]]
) -> dict[str, dict[Place, float]]:
    """Mean square change of an entry of the next normalised state, by pool, descending."""
    config, params = model.config, model.params
    text = jnp.asarray(tokens, jnp.int32)
    _, leaving = _streams(config, params, text)
    stream = jnp.take(params["embed"], text, axis=0)
    changes: dict[str, dict[Place, float]] = {arm: {} for arm in places}
    with progress("flips within layers", config.layers) as advance:
        for layer in range(config.layers):
            # Both pools in one program, from the clean model's own stream: no other layer is run again.
            here = [place for each in places.values() for place in each[layer]]
            if here:
                arrays = Place(*(jnp.asarray(part, jnp.int32) for part in zip(*here, strict=True)))
                rises = fetch(_changes(config, params["blocks"], stream, leaving[layer], arrays)).tolist()
                known = dict(zip(here, rises, strict=True))
                for arm, each in places.items():
                    changes[arm] |= {place: known[place] for place in each[layer] if known[place] > 0}
            stream = leaving[layer]
            advance()
    return {
        arm: dict(sorted(known.items(), key=lambda each: (-each[1], each[0])))
        for arm, known in changes.items()
    }


@functools.partial(jit, static_argnums=0)
def _streams(
    config: ModelConfig, params: dict[str, Any], tokens: Int[Array, "batch tokens"]
) -> tuple[Array, Array]:
    return hidden(config, params, tokens, every_layer=True)


class Tried(NamedTuple):
    """What the error of a weight costs in the whole model.

    Args:
      cost: in nats per token, not below zero; `ln V` where the loss is not finite.
      finite: whether it is.
    """

    cost: float
    finite: bool


def one_flipped(place: Place) -> Transform:
    """The transform that flips one weight."""
    return flipped([place])


def tried_costs(
    model: LanguageModel,
    tokens: Windows,
    places: Sequence[Place],
    error: Callable[[Place], Transform] = one_flipped,
) -> dict[Place, Tried]:
    """What an error of each weight alone costs in the whole model.

    A loss that is not finite counts like that of a model which knows nothing.

    Args:
      model: from `models.load`.
      tokens: windows.
      places: the weights.
      error: the transform of the model's weights that makes the error of one; by default its flip.
    """
    prefixes, costs = Prefixes(model, tokens), {}
    # By the trials' own program: of another the last bits may differ, and of small costs they are much.
    clean = float(prefixes.nll(Changed.of(()), 0).mean())
    with progress("single weights", len(places)) as advance:
        for place in places:
            cost = float(prefixes.nll(error(place), place.layer).mean()) - clean
            finite = math.isfinite(cost)
            # As a chance of being chosen, and as a bound: neither is negative.
            costs[place] = Tried(max(cost, 0.0) if finite else math.log(model.config.vocabulary), finite)
            advance()
    return costs


@functools.partial(jit, static_argnums=2)
def _widest(
    weights: Float[Array, "layers outputs inputs"], scale: Float[Array, "layers inputs"], count: int
) -> Int[Array, "layers count"]:
    """The weights of largest |w|·scale in each layer, as row · inputs + column."""

    wide = at_least_float32(weights.dtype)  # half precisions would be sorted whole

    def one(piece: tuple[Array, Array]) -> Array:
        weight, by_column = piece
        size = jnp.abs(weight.astype(wide)) * by_column[None].astype(wide)
        return jax.lax.top_k(size.reshape(-1), count)[1]

    return jax.lax.map(one, (weights, scale))


@functools.partial(jit, static_argnums=0)
def _changes(
    config: ModelConfig,
    blocks: dict[str, Array],
    entering: Float[Array, "batch tokens hidden"],
    leaving: Float[Array, "batch tokens hidden"],
    places: Place,
) -> Float[Array, " places"]:
    wide = at_least_float32(entering.dtype)
    # Of unit size in every layer, so that changes of early and late ones compare.
    clean = rmsnorm(leaving, None, config.eps).astype(wide)

    def one(place: Place) -> Array:
        flip = Changed(place, jnp.asarray(-1.0), jnp.asarray(0.0))
        moved = layer_states(config, blocks, entering, place.layer, "down_proj", flip).normalised
        return jnp.mean((moved.astype(wide) - clean) ** 2)

    # One after another: side by side each would hold a layer's weights.
    return jax.lax.map(one, places)
