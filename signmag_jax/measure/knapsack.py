"""A knapsack: one of several options for each item, at the least cost within a budget of whole units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from signmag_jax.evidence import invalid

STATES = 200_000
"""Sizes that are told apart at most; where more would be needed, sizes are rounded up to fewer."""
# Down to 1e-60 of where the search begins: prices of a bit may be far below 1.
HALVINGS = 200


@dataclass(frozen=True)
class Packing:
    """What was chosen.

    Args:
      options: index of each item's option.
      size, cost: their sums.
      bound: no choice within the budget costs less (Lagrange's dual, the same as of the linear relaxation).
      exact: whether no choice within the budget costs less than this one.
    """

    options: tuple[int, ...]
    size: int
    cost: float
    bound: float
    exact: bool


def pack(
    sizes: Sequence[Sequence[int]],
    costs: Sequence[Sequence[float]],
    budget: int,
    states: int = STATES,
) -> Packing:
    """The cheapest choice by dynamic programming over sizes, in units of their greatest common divisor.

    Args:
      sizes: of each item's options, above 0.
      costs: of each item's options, finite; they may be negative.
      budget: largest sum of sizes.
      states: multiples of a unit that are told apart at most. A coarser unit than the divisor rounds sizes
        up: the budget is still met, and the choice may not be the cheapest.

    Raises:
      InvalidInput: if even the smallest options exceed the budget.
    """
    least = sum(map(min, sizes))
    if budget < least:
        raise invalid(f"budget >= {least}", budget, "it is the size of the smallest options")
    # More room than the largest options need changes nothing.
    room = min(budget, sum(map(max, sizes)))
    divisor = math.gcd(*(size for each in sizes for size in each))
    unit = max(divisor, -(-room // states))
    chosen = _within(sizes, costs, unit, room // unit)
    if chosen is None:  # rounded up, not even the smallest fit
        chosen = [int(np.argmin(each)) for each in sizes]
    size = sum(each[option] for each, option in zip(sizes, chosen, strict=True))
    cost = math.fsum(each[option] for each, option in zip(costs, chosen, strict=True))
    return Packing(tuple(chosen), size, cost, min(_bound(sizes, costs, budget), cost), unit == divisor)


def _within(
    sizes: Sequence[Sequence[int]], costs: Sequence[Sequence[float]], unit: int, capacity: int
) -> list[int] | None:
    """Options of least cost whose sizes, rounded up to units, fit in the capacity."""
    best: Float[np.ndarray, " sizes"] = np.zeros(capacity + 1)
    taken: list[Int[np.ndarray, " sizes"]] = []
    for item, prices in zip(sizes, costs, strict=True):
        table = np.full((len(item), capacity + 1), np.inf)
        for option, (size, price) in enumerate(zip(item, prices, strict=True)):
            units = -(-size // unit)
            if units <= capacity:
                table[option, units:] = best[: capacity + 1 - units] + price
        taken.append(table.argmin(axis=0).astype(np.int16))
        best = table.min(axis=0)
    if not np.isfinite(best[-1]):
        return None
    chosen, left = [], capacity
    for item, table in zip(reversed(sizes), reversed(taken), strict=True):
        chosen.append(int(table[left]))
        left -= -(-item[chosen[-1]] // unit)
    return chosen[::-1]


def _bound(sizes: Sequence[Sequence[int]], costs: Sequence[Sequence[float]], budget: int) -> float:
    """The largest of `Σ min_o (cost + λ·size) − λ·budget` over prices λ >= 0 of a unit of size."""
    tables = [
        (np.asarray(each, float), np.asarray(price, float)) for each, price in zip(sizes, costs, strict=True)
    ]

    def at(price: float) -> tuple[float, float]:
        """The dual and its slope."""
        picked = [(cost + price * size, size) for size, cost in tables]
        best = [int(np.argmin(total)) for total, _ in picked]
        slope = math.fsum(size[i] for (_, size), i in zip(picked, best, strict=True)) - budget
        return math.fsum(total[i] for (total, _), i in zip(picked, best, strict=True)) - price * budget, slope

    free, slope = at(0.0)
    if slope <= 0:
        return free
    high = 1.0
    while at(high)[1] > 0 and high < 1e300:
        high *= 4
    low, best = 0.0, free
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        value, slope = at(middle)
        # Every price gives a bound: no rounding in the search makes one of them false.
        best = max(best, value)
        low, high = (middle, high) if slope > 0 else (low, middle)
    return best
