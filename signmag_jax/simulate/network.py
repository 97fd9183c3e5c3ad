"""What the engine needs of an experiment: one network as a program, and what to watch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from . import batch
from .tally import Pair, Tally

Statistics = dict[str, Array]
# Statistics of consecutive networks, on the host, networks along the first axis: NaN where one lacks them.
Columns = dict[str, np.ndarray]
# One network's statistics from a pytree of traced arrays and a key. Hashable: compiled programs are kept.
Sample = Callable[[Any, PRNGKeyArray], Statistics]


@dataclass(frozen=True, eq=False)
class Experiment:
    """What the engine needs of an experiment.

    Args:
      name: its name, which also separates its random keys from those of others.
      sample: one network.
      parameters: arrays that `sample` reads; new values do not compile anew.
      arguments: everything that determines the statistics besides the seed, as plain JSON.
      work: floating-point operations of one network, roughly.
      target: the primary estimate and its standard error, which the stopping rule watches.
      optional: statistics that a network may lack, such as the ratio of one in which nothing was flipped.
      flips: expected in one network, of those that all of its estimate rests on; infinite where the estimate
        is of the networks that have one.
      fewest_flips: expected in all networks, without which the standard error does not know of what was not
        drawn.
    """

    name: str
    sample: Sample
    parameters: Any
    arguments: Mapping[str, Any]
    work: float
    target: Callable[[Tally], Pair]
    optional: frozenset[str] = frozenset()
    flips: float = math.inf
    fewest_flips: float = 0.0

    @property
    def block(self) -> int:
        """Networks in a block, on this platform."""
        return batch.block(self.work)

    @property
    def fewest(self) -> int:
        """Networks in which enough flips are expected."""
        return max(2, math.ceil(self.fewest_flips / self.flips))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the statistics of one network, by name; nothing is computed."""
        statistics = jax.eval_shape(self.sample, self.parameters, jax.random.key(0))
        return {name: leaf.shape for name, leaf in statistics.items()}


def networks_in(columns: Columns) -> int:
    """Networks that these are of."""
    return len(next(iter(columns.values())))


def part(columns: Columns, which: slice) -> Columns:
    """The statistics of some of the networks."""
    return {name: values[which] for name, values in columns.items()}
