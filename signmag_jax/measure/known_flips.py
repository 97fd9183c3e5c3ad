"""Weights of known cost as a control variate: the draws of a leverage without the luck of hitting them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float

from signmag_jax.models import SITE_OF

from .comparison import RateLeverage
from .flips import Plan, draw, plan
from .leverage import ARMS, Leverage, key_of_draws
from .pools import OUTLIER, Pools, capacities, is_inverted
from .singles import Place


def controlled(
    found: Leverage, places: Sequence[Place], costs: Float[np.ndarray, "places windows"]
) -> tuple[RateLeverage, ...]:
    """The rates of a leverage with `Σ_i (m_i − E m_i) c_i` taken from each draw.

    m_i says whether the draw flipped weight i, and c_i is the exact cost of its flip alone on each window.
    The mean stays what it was, whatever the c_i; where a few weights carry much of a pool's damage, most of
    the scatter goes with them.

    Args:
      found: from `leverage`; rates at which a draw gave no finite loss are left as they are.
      places: weights, each once.
      costs: of their single flips on the same windows, in nats per token.
    """
    root = found.provenance["root"]
    return tuple(
        _controlled(each, found.pools, root, found.noise_floor, places, costs) for each in found.rates
    )


def _controlled(
    found: RateLeverage,
    pools: Pools,
    root: int,
    floor: float,
    places: Sequence[Place],
    costs: Float[np.ndarray, "places windows"],
) -> RateLeverage:
    tables = {}
    for arm in ARMS:
        table = found.samples[arm]
        if table is None or not places:
            return found
        flipped, expected = draws_of(pools, found, arm, root, places)
        tables[arm] = table - (flipped - expected) @ costs
    return RateLeverage.of(found.rate, found.flips, tables, floor=floor)


def draws_of(
    pools: Pools, found: RateLeverage, arm: str, root: int, places: Sequence[Place]
) -> tuple[Bool[np.ndarray, "draws places"], Float[np.ndarray, "draws places"]]:
    """Whether each draw of an arm flipped each weight, and how probable that was; 0 outside its pool."""
    slots = capacities(pools, ARMS, found.flips)
    inverted = is_inverted(pools, arm, found.flips)
    member = np.asarray([_belongs(pools, arm, place) for place in places], bool)
    flipped = np.zeros((found.draws, len(places)), bool)
    expected = np.zeros(flipped.shape)
    for seed in range(found.draws):
        one = plan(pools, arm, found.flips, seed, key_of_draws(root, found.flips))
        drawn = jax.device_get(draw(pools, one, slots))
        for index, place in enumerate(places):
            if member[index]:
                flipped[seed, index] = _is_drawn(drawn, place) ^ inverted
                part = _part(pools, one, arm, place)
                expected[seed, index] = 1 - part if inverted else part
    return flipped, expected


def _belongs(pools: Pools, arm: str, place: Place) -> bool:
    if place.name not in pools.outputs or place.layer not in pools.layers:
        return False
    site = SITE_OF[place.name]
    outliers = pools.order[site][place.layer][: pools.outliers[site]]
    return bool((place.column in outliers) == (arm == OUTLIER))


def _is_drawn(drawn: Any, place: Place) -> bool:
    rows, columns = (part[place.layer] for part in drawn[place.name])
    return bool(np.any((rows == place.row) & (columns == place.column)))


def _part(pools: Pools, one: Plan, arm: str, place: Place) -> float:
    """Drawn weights of a matrix over all that it has in the arm's pool."""
    return int(one.drawn[place.name][place.layer]) / pools.matrix_size(place.name, arm)
