"""A Monte Carlo measurement beside what linear response predicts, or why the two are not compared."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from signmag_jax.evidence import Estimate, Ratio

BEYOND = "at this rate the next term exceeds the linear one"


@dataclass(frozen=True, eq=False)
class Check:
    """A Monte Carlo measurement of a pool's damage beside its prediction, both in nats per token.

    Args:
      rate: flips per weight of this pool.
      arm: the pool.
      predicted: rate · slope + rate² · interaction, for exactly k flips.
      measured: of `leverage`, None where a draw gave no finite loss.
      distance: (measured − predicted) in combined standard errors, with `unseen`; None unless both are
        resolved.
      reason: why there is no distance.
      unseen: scatter of a mean of so many draws that the weights of known cost alone make. Few draws flip
        none of them, and then neither hold their cost nor show in their own scatter that it is missing.
    """

    rate: float
    arm: str
    predicted: Estimate
    measured: Estimate | None
    distance: float | None
    reason: str = ""
    unseen: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """A strict-JSON object."""
        return {
            "rate": self.rate,
            "arm": self.arm,
            "predicted": self.predicted.to_json(),
            "measured": None if self.measured is None else self.measured.to_json(),
            "unseen": self.unseen,
            "distance": self.distance,
            "reason": self.reason,
        }


@dataclass(frozen=True, eq=False)
class LeverageCheck:
    """A Monte Carlo leverage beside its prediction.

    Args:
      rate: flips per weight of the outlier pool.
      flips: in each arm.
      predicted: of exactly so many flips, to second order in the rate.
      measured: of `leverage`.
      distance: (measured − predicted) in combined standard errors, with `unseen`; None unless both are
        resolved and meant.
      reason: why there is no distance.
      unseen: as in `Check`, of the leverage.
    """

    rate: float
    flips: int
    predicted: Ratio
    measured: Ratio
    distance: float | None
    reason: str = ""
    unseen: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """A strict-JSON object."""
        return {
            "rate": self.rate,
            "flips": self.flips,
            "predicted": self.predicted.to_json(),
            "measured": self.measured.to_json(),
            "unseen": self.unseen,
            "distance": self.distance,
            "reason": self.reason,
        }


def distance(measured: Estimate, predicted: Estimate, unseen: float) -> float:
    """(measured − predicted) in standard errors of both and of what the draws may not have seen."""
    wider = dataclasses.replace(predicted, standard_error=math.hypot(float(predicted.standard_error), unseen))
    return float(measured.distance(wider))
