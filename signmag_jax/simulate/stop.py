"""When a simulation has seen enough networks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from signmag_jax.evidence import Incomplete
from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.errors import invalid

from .network import Experiment
from .tally import Tally

# The standard error of so many networks is itself known to 1/√(2·31), an eighth.
FEWEST = 32
# The standard error of 64 networks is itself known to 1/√(2·63), a tenth.
DEFAULT_NETWORKS = 64
DEFAULT_LIMIT = 100_000
# Their numbers, and those of the block after the last, are int32 keys.
MOST = 2**31 - 2**16

TARGET = Interval(0.0, open_low=True, fix="pass a positive standard error, in the unit of the estimate")
SECONDS = Interval(0.0, open_low=True, fix="pass a positive number of seconds")


@dataclass(frozen=True)
class Stop:
    """Stop at a count of networks, at a standard error, or at a time.

    A run to a standard error decides how many networks it takes by a pilot, which `Prefix` describes. A stop
    at a time depends on how fast the machine was, and results say so. With a time beside a standard error,
    the first of the two to come ends the run.

    Args:
      networks: the count; 64 if nothing else is asked.
      standard_error: the largest one allowed among the elements of the primary estimate.
      max_networks: give up a standard error beyond this many, the pilot's included, or stop there before
        the time; 100,000 if it is not given. A bound below the count that is asked for is refused.
      seconds: wall time.

    Raises:
      InvalidInput: for a target that cannot be met by any run, or two targets.
    """

    networks: int | None = None
    standard_error: float | None = None
    max_networks: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.networks is not None and self.standard_error is not None:
            raise invalid(
                "networks or standard_error, not both",
                (self.networks, self.standard_error),
                "give one target (max_networks bounds a standard error)",
            )
        if self.standard_error is not None:
            TARGET.require("standard_error", self.standard_error)
        if self.seconds is not None:
            SECONDS.require("seconds", self.seconds)
        for name, value in (("networks", self.networks), ("max_networks", self.max_networks)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 2):
                raise invalid(f"{name} is an integer >= 2", value, "a standard error needs two networks")
            if value is not None and value > MOST:
                raise invalid(f"{name} <= {MOST}", value, "networks are numbered in 32 bits; ask for fewer")
        if self.max_networks is not None and self.limit > self.max_networks:
            raise invalid(
                "networks <= max_networks",
                (self.limit, self.max_networks),
                "ask for fewer networks, or for a standard error that max_networks bounds",
            )
        if self.standard_error is not None and self.most < 2 * FEWEST:
            raise invalid(
                f"max_networks >= {2 * FEWEST} with a standard error",
                self.most,
                f"{FEWEST} say how many it takes; raise it, or ask for networks instead",
            )

    @property
    def most(self) -> int:
        """The largest number of networks that is worth its target."""
        return DEFAULT_LIMIT if self.max_networks is None else self.max_networks

    @property
    def limit(self) -> int:
        """The network before which the run ends at the latest."""
        if self.networks is not None:
            return self.networks
        if self.standard_error is None and self.seconds is None:
            return DEFAULT_NETWORKS
        return self.most

    @property
    def total(self) -> int | None:
        """The number of networks where it is known beforehand."""
        return self.limit if self.standard_error is None and self.seconds is None else None

    def check(self, experiment: Experiment) -> None:
        """Refuse an experiment whose flips are too rare for the networks that may be simulated.

        Raises:
          InvalidInput: naming how many it takes.
        """
        name = "networks" if self.standard_error is None and self.seconds is None else "max_networks"
        fewest = experiment.fewest
        if self.standard_error is not None:
            fewest += pilot(experiment)
        if self.limit < fewest:
            raise invalid(
                f"{name} >= {fewest} at this rate and these sizes",
                self.limit,
                f"raise {name}, the rate or the sizes: below {experiment.fewest_flips:g} flips in all, a "
                "standard error does not know of what was not drawn",
            )

    def reached(self, error: Any) -> bool:
        """Whether the standard errors of an estimate meet the target."""
        return self.standard_error is not None and bool(np.max(error) <= self.standard_error)

    def needed(self, count: int, error: Any) -> float:
        """Networks that bring the largest of these standard errors of `count` networks to the target."""
        assert self.standard_error is not None
        relative = float(np.max(error)) / self.standard_error
        return count * relative * relative  # a float's power raises where its product is infinite

    def planned(self, tally: Tally, error: Any) -> int:
        """Networks that these say are needed, and one relative error of that number, √(2/count), more."""
        more = 1 + math.sqrt(2 / tally.rarest)
        return max(FEWEST, math.ceil(min(self.needed(tally.count, error) * more, MOST)))

    def require_within_reach(self, count: int, before: int, error: Any, estimate: str) -> None:
        """Give up as soon as it is certain that the target needs more than `max_networks`.

        Args:
          count: networks of the estimate so far.
          before: networks of the pilot.
          error: of the estimate.
          estimate: what it is so far, in words.

        Four relative errors of the needed count are granted.
        """
        needed = self.needed(count, error)
        certain = needed * max(0.0, 1 - 4 * math.sqrt(2 / count))
        if certain + before > self.most or count + before >= self.most:
            raise Incomplete(
                f"standard error {self.standard_error:g} needs about {needed + before:.0f} networks, "
                f"max_networks is {self.most}; reached {estimate} with {count}: "
                "raise max_networks or the standard error"
            )


def pilot(experiment: Experiment) -> int:
    """Networks of the pilot: the fewest that tell how much networks scatter."""
    return max(FEWEST, experiment.fewest // 4)
