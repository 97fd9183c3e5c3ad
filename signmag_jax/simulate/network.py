"""What the engine needs of an experiment: one network as a program, and what to watch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
from jaxtyping import Array, PRNGKeyArray

from . import batch
from .tally import Pair, Tally

Statistics = dict[str, Array]
# The same on the host, as JSON holds it.
Row = dict[str, Any]
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
    """

    name: str
    sample: Sample
    parameters: Any
    arguments: Mapping[str, Any]
    work: float
    target: Callable[[Tally], Pair]

    @property
    def block(self) -> int:
        """Networks in a block, on this platform."""
        return batch.block(self.work)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the statistics of one network, by name; nothing is computed."""
        statistics = jax.eval_shape(self.sample, self.parameters, jax.random.key(0))
        return {name: leaf.shape for name, leaf in statistics.items()}
