"""A Monte Carlo measurement beside what linear response predicts, or why the two are not compared."""

from __future__ import annotations

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
      measured: of `leverage`; None where a draw gave no finite loss.
      distance: (measured − predicted) in combined standard errors; None unless the prediction is resolved.
      reason: why there is no distance.
    """

    rate: float
    arm: str
    predicted: Estimate
    measured: Estimate | None
    distance: float | None
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """A strict-JSON object."""
        return {
            "rate": self.rate,
            "arm": self.arm,
            "predicted": self.predicted.to_json(),
            "measured": None if self.measured is None else self.measured.to_json(),
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
      distance: (measured − predicted) in combined standard errors; None unless both are resolved and meant.
      reason: why there is no distance.
    """

    rate: float
    flips: int
    predicted: Ratio
    measured: Ratio
    distance: float | None
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """A strict-JSON object."""
        return {
            "rate": self.rate,
            "flips": self.flips,
            "predicted": self.predicted.to_json(),
            "measured": self.measured.to_json(),
            "distance": self.distance,
            "reason": self.reason,
        }
