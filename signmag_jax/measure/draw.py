"""Exactly k of N without replacement, in O(k) memory, inside jit; and k shared out over many pools."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from signmag_jax.evidence import invalid

EMPTY = np.iinfo(np.int32).max
"""Marks an unused slot of a drawn subset; no population is as large."""


def subset(
    key: PRNGKeyArray, population: int | Int[Array, ""], count: int | Int[Array, ""], capacity: int
) -> Int[Array, " capacity"]:
    """A uniformly random `count`-subset of {0, …, population−1}, ascending, then `EMPTY` slots.

    Independent uniform integers are drawn one after another and each that is new is kept, until there are
    `count`. Relabelling the population does not change the law of the stream, so every subset of that size
    is equally likely; the loop ends only when none is missing, so there are never fewer. Each round draws
    as many integers as are missing, never more, which makes the vectorised rounds that same stream.
    With `count` up to half the population a round fills at least half of the holes on average.

    Args:
      key: random key.
      population: N, at most 2³¹ − 2; may be traced.
      count: k, at most `capacity` and `population`; may be traced. More than N would never end.
      capacity: static length of the result.
    """
    wanted = jnp.arange(capacity, dtype=jnp.int32) < jnp.asarray(count, jnp.int32)

    def fill(state: tuple[Array, Array]) -> tuple[Array, Array]:
        attempt, drawn = state
        fresh = jax.random.randint(
            jax.random.fold_in(key, attempt), (capacity,), 0, jnp.asarray(population, jnp.int32), jnp.int32
        )
        # Sorted, repeats are neighbours: one of them is kept, whichever was drawn first.
        ordered = jnp.sort(jnp.where(wanted & (drawn == EMPTY), fresh, drawn))
        kept = (ordered != EMPTY) & jnp.concatenate([jnp.ones(1, bool), ordered[1:] != ordered[:-1]])
        # Those that are kept move up, in their order: a second sort would take as long as the first.
        place = jnp.where(kept, jnp.cumsum(kept, dtype=jnp.int32) - 1, capacity)
        return attempt + 1, jnp.full_like(ordered, EMPTY).at[place].set(ordered, mode="drop")

    def incomplete(state: tuple[Array, Array]) -> Array:
        return jnp.any(wanted & (state[1] == EMPTY))

    start = jnp.asarray(0, jnp.int32), jnp.full(capacity, EMPTY, jnp.int32)
    return jax.lax.while_loop(incomplete, fill, start)[1]


def apportion(total: int, sizes: Sequence[int], tie_break: Sequence[int] | None = None) -> list[int]:
    """Share `total` over pools in proportion to their sizes, by largest remainder, in exact integers.

    Args:
      total: at most the sum of the sizes.
      sizes: pool sizes.
      tie_break: a permutation of the pools; among equal remainders the lower entry comes first.

    Returns:
      One count per pool, none above its size, that sum to `total`.

    Raises:
      InvalidInput: if `total` is negative or exceeds the sum of the sizes.
    """
    whole = sum(int(size) for size in sizes)
    if not 0 <= total <= whole:
        raise invalid(f"0 <= flips <= {whole} (the pool)", total, "lower the rate or widen the pool")
    if total == 0:
        return [0] * len(sizes)
    order = range(len(sizes)) if tie_break is None else tie_break
    quotas = [divmod(total * int(size), whole) for size in sizes]
    counts = [base for base, _ in quotas]
    # Integers throughout: quotas of 2³¹ weights in floats would tie, or break ties, by rounding.
    ranked = sorted(range(len(sizes)), key=lambda i: (-quotas[i][1], order[i]))
    for i in ranked[: total - sum(counts)]:
        counts[i] += 1
    return counts
