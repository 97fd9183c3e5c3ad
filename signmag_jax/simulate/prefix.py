"""The networks of a run in their order: which of them make the estimate, and when there are enough."""

from __future__ import annotations

import numpy as np

from signmag_jax.evidence import Incomplete

from .network import Columns, Experiment, networks_in, part
from .stop import FEWEST, Stop, pilot
from .tally import Tally

# By then a pilot has met what the estimate is of, or hardly any network has it.
LONGEST_PILOT = 1024


class Prefix:
    """The networks that a run has read, in the order of their numbers, wherever they were computed.

    Of a run to a count or a time, all make the estimate. Of one to a standard error, the first are a *pilot*:
    they say how many networks the target takes, one relative error of that number added, and are left out.
    An estimate that ends when its own error is small would be biased towards where errors are small, by 0.1
    of the error for skewed statistics. Here it is 0.03 to 0.06 (measured): one such number in six misses its
    target, and is made anew. All of this depends on the networks' order alone, and is the same for any number
    of devices and processes.

    Args:
      experiment: whose networks they are.
      stop: when the run ends.
    """

    def __init__(self, experiment: Experiment, stop: Stop) -> None:
        self.tally = Tally(experiment.optional)
        self._pilot = Tally(experiment.optional)
        self._experiment, self._stop = experiment, stop
        self._least = pilot(experiment)
        self._planned = stop.limit if stop.standard_error is None else None

    @property
    def count(self) -> int:
        """Networks read so far."""
        return self.pilot + self.tally.count

    @property
    def pilot(self) -> int:
        """Networks of the pilot."""
        return self._pilot.count

    def add(self, first: int, columns: Columns) -> bool:
        """Read the next networks, up to the last that the run needs; says whether it is among them.

        Raises:
          Incomplete: if the target is out of reach, or a network has no finite statistics.
        """
        read, networks = 0, networks_in(columns)
        while read < networks:
            some = min(self._undecided(), networks - read)
            tally = self._pilot if self._planned is None else self.tally
            tally.add(first + read, part(columns, slice(read, read + some)))
            read += some
            if self._planned is None:
                self._plan()
            elif self._enough(self._planned):
                return True
        return False

    def _undecided(self) -> int:
        """Networks before which there is nothing to decide."""
        if self._planned is None:
            return max(self._least - self.pilot, 1)
        return max(self._planned - self.tally.count, 1)

    def _enough(self, planned: int) -> bool:
        if self._stop.standard_error is None:
            return self.tally.count >= planned
        # Fewer than a pilot has do not know how much they scatter.
        return self.tally.count >= self._least and self._met(planned)

    def _met(self, planned: int) -> bool:
        """Whether the planned networks meet the target; if not, there are others to come."""
        try:
            _, error = self._experiment.target(self.tally)
        except Incomplete:
            if self.count >= self._stop.limit:
                raise
            self._planned = max(planned, self.tally.count + 1)
            return False
        if self.tally.count >= planned:
            if self._stop.reached(error):
                return True
            self._planned = self._at_most(max(self._stop.planned(self.tally, error), planned + 1))
        self._stop.require_within_reach(self.tally.count, self.pilot, error, self.note())
        return False

    def _plan(self) -> None:
        """Say how many networks the target takes, once the pilot knows how much they scatter."""
        longest = min(
            max(LONGEST_PILOT, self._least), self._stop.limit - max(FEWEST, self._experiment.fewest)
        )
        if self._pilot.rarest < self._least and self.pilot < longest:
            return
        _, error = self._experiment.target(self._pilot)
        self._planned = self._at_most(max(self._stop.planned(self._pilot, error), self._experiment.fewest))

    def _at_most(self, planned: int) -> int:
        return min(planned, self._stop.limit - self.pilot)

    def note(self) -> str:
        """The estimate so far."""
        return _note(self._experiment, self._pilot if self._planned is None else self.tally)


def _note(experiment: Experiment, tally: Tally) -> str:
    try:
        value, error = experiment.target(tally)
    except Incomplete:
        return ""  # too few networks so far for a standard error
    worst = int(np.argmax(error))
    return f"{np.ravel(value)[worst]:.5g} ± {np.ravel(error)[worst]:.2g}"
