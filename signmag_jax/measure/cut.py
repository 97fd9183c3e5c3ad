"""The k weights of largest score over all matrices, exactly k, without sorting or copying them together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from signmag_jax.evidence.compiling import jit
from signmag_jax.models import fetch

from .inputs import unmeasurable

HALF = 16
"""A float32 that is not negative is ordered like its bits: they are counted by their upper half, then by the
lower half of those that share the upper one."""

TINY = np.finfo(np.float32).tiny


class Cut(NamedTuple):
    """Which weights are above a cut.

    Args:
      level: all weights of larger score are.
      last: by matrix and layer, the last place (row by row) at which a weight of just this score is too;
        nothing where none is.
      weights: how many are above in all.
    """

    level: float
    last: dict[tuple[str, int], int]
    weights: int


def cuts(
    scores: Mapping[str, Array], layers: Sequence[int], counts: Sequence[int], *, whole: bool = False
) -> tuple[Cut, ...]:
    """One cut for each of `counts`; of equal scores the earlier matrix, layer, row and column is first.

    Args:
      scores: not negative, by matrix; each is asked for three times at most.
      layers: which take part.
      counts: numbers of weights, at most as many as take part.
      whole: leave out weights of equal score that are not all within the count, so that at most `count` are.

    Raises:
      Unmeasurable: for scores that are not finite.
    """
    # Counted in two passes, by either half of the bits, and not sorted: no copy of all scores exists.
    upper = np.zeros(1 << HALF, np.int64)
    for _, _, bits in _slices(scores, layers):
        upper += np.bincount(bits >> HALF, minlength=1 << HALF)
    bins = [_crossing(upper, count) for count in counts]
    lower = {first: np.zeros(1 << HALF, np.int64) for first, _ in bins}
    for _, _, bits in _slices(scores, layers):
        for first, table in lower.items():
            table += np.bincount(bits[bits >> HALF == first] & (1 << HALF) - 1, minlength=1 << HALF)
    marks, equal = [], []
    for count, (first, above) in zip(counts, bins, strict=True):
        second, within = _crossing(lower[first], count - above)
        level, left = np.uint32(first << HALF | second), count - above - within
        if whole and left < lower[first][second]:
            count, left = count - left, 0
        marks.append(Cut(float(level.view(np.float32)), {}, count))
        equal.append((level, left))
    _mark(scores, layers, marks, equal)
    return tuple(marks)


def _mark(
    scores: Mapping[str, Array],
    layers: Sequence[int],
    cuts: Sequence[Cut],
    equal: list[tuple[np.uint32, int]],
) -> None:
    """Note the last place at which a weight of exactly the level still belongs to each cut."""
    for name, layer, bits in _slices(scores, layers):
        for index, (cut, (level, left)) in enumerate(zip(cuts, equal, strict=True)):
            places = np.flatnonzero(bits == level)[:left]
            if len(places):
                cut.last[name, layer] = int(places[-1])
                equal[index] = level, left - len(places)
        if not any(left for _, left in equal):
            return


def _crossing(counts: Int[np.ndarray, " bins"], wanted: int) -> tuple[int, int]:
    """The bin in which the `wanted`-th from above lies, and how many lie above it."""
    from_above = counts[::-1].cumsum()
    index = int(np.searchsorted(from_above, wanted))
    return len(counts) - 1 - index, int(from_above[index] - counts[::-1][index])


def _slices(scores: Mapping[str, Array], layers: Sequence[int]) -> Iterator[tuple[str, int, np.ndarray]]:
    """Name, layer and the scores of one matrix as ordered bits, a layer at a time."""
    for name in scores:
        table = scores[name]
        for layer in layers:
            values = np.asarray(fetch(table[layer]), np.float32).ravel()
            # −0 is 0, and so is what XLA takes for it.
            values = np.where(np.abs(values) < TINY, np.float32(0), values)
            if not (np.isfinite(values).all() and (values >= 0).all()):
                raise unmeasurable(
                    "finite scores of the weights",
                    f"NaN or infinity in layer {layer} {name}",
                    "check the checkpoint's weights, or load with a wider dtype (`dtype='float32'`)",
                )
            yield name, layer, values.view(np.uint32)
        del table  # before the next is made


def kept(
    scores: Mapping[str, Array], cut: Cut, layers: Sequence[int]
) -> dict[str, Bool[Array, "layers _ _"]]:
    """The weights above a cut, and all of the layers that take no part."""

    def one(name: str) -> Bool[Array, "layers _ _"]:
        table = scores[name]
        last = [cut.last.get((name, layer), -1) for layer in range(len(table))]
        apart = ~np.isin(np.arange(len(table)), layers)
        level = jnp.asarray(cut.level, jnp.float32)
        return _above(table, level, jnp.asarray(last, jnp.int32), jnp.asarray(apart))

    return {name: one(name) for name in scores}


@jit
def _above(
    scores: Float[Array, "layers outputs inputs"],
    level: Float[Array, ""],
    last: Int[Array, " layers"],
    apart: Bool[Array, " layers"],
) -> Bool[Array, "layers outputs inputs"]:
    place = jnp.arange(scores[0].size, dtype=jnp.int32).reshape(1, *scores.shape[1:])
    scores = scores.astype(jnp.float32)
    # As on the host: a subnormal that is 0 there and not here would fall on the other side of a cut.
    scores = jnp.where(scores < TINY, jnp.zeros_like(scores), scores)
    equal = (scores == level) & (place <= last[:, None, None])
    return (scores > level) | equal | apart[:, None, None]
