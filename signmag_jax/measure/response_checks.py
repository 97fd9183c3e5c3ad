"""A Monte Carlo measurement beside what linear response predicts, or why the two are not compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from signmag_jax.evidence import Estimate, Ratio, Result

NEXT_TERM_EXCEEDS = "at this rate the next term exceeds the linear one"


@dataclass(frozen=True, eq=False)
class Check(Result):
    """A Monte Carlo measurement of a pool's damage beside its prediction, both in nats per token.

    Args:
      rate: flips per weight of this pool.
      arm: the pool.
      predicted: rate · slope + rate² · interaction, for exactly k flips as they were drawn.
      measured: of `leverage`; None where a draw gave no finite loss.
      error: standard error of measured − predicted, paired on each window, with what two orders may leave
        out; None without a measurement.
      distance: measured − predicted in such errors; None unless the prediction is resolved.
      reason: why there is no distance.
    """

    rate: float
    arm: str
    predicted: Estimate
    measured: Estimate | None
    error: float | None
    distance: float | None
    reason: str = ""

    def __str__(self) -> str:
        parts = [f"predicted {self.predicted}"]
        if self.measured is not None:
            parts.append(f"measured {self.measured}")
        far = self.reason if self.distance is None else f"{self.distance:+.1f} standard errors apart"
        return "; ".join([*parts, far])


@dataclass(frozen=True, eq=False)
class LeverageCheck(Result):
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


def paired_error(
    predicted: Float[np.ndarray, "probes windows"], measured: Float[np.ndarray, "draws windows"]
) -> float:
    """Standard error of the mean of measured − predicted.

    What both have in common on a window drops out. Probes are independent in every window, and scatter with
    the windows; a draw flips the same weights on all of them, so that the scatter of draws comes on top.
    """
    # An axis of one has no scatter that could be estimated, and adds none.
    gaps = measured.mean(axis=0) - predicted.mean(axis=0)
    parts = [np.var(means, ddof=1) / len(means) for means in (gaps, measured.mean(axis=1)) if len(means) > 1]
    return float(np.sqrt(sum(parts)))
