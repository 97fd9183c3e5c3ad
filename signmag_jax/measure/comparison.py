"""Two arms of damage on the same windows: means, intervals, their ratio, and every sample behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from signmag_jax.evidence import ConfidenceInterval, Ratio, bootstrap, ratio_of_means

C = TypeVar("C", bound="Comparison")
Table = Float[np.ndarray, "_ _"]
"""ΔNLL in nats per token, draws × windows."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Damage in two arms at one rate, and the ratio of the means.

    Args:
      rate: as asked for.
      flips: exact number of sign flips in an arm.
      draws: random masks per arm.
      damage: per arm, mean ΔNLL (nats per token) with crossed-bootstrap error and interval; None where a
        draw gave no finite loss.
      ratio: mean damage of the first arm over that of the second, or why it is unresolved.
      samples: per arm, ΔNLL of each draw and window; None as in `damage`.
    """

    rate: float
    flips: int
    draws: int
    damage: dict[str, ConfidenceInterval | None]
    ratio: Ratio
    samples: dict[str, Table | None]

    @classmethod
    def of(
        cls: type[C],
        rate: float,
        flips: int,
        samples: Mapping[str, Table],
        *,
        floor: float,
        paired: bool = False,
    ) -> C:
        """Judge the samples of two arms, numerator first; `floor` and `paired` as in `ratio_of_means`."""
        first, second = samples
        draws = len(samples[first])
        broken = {arm: int((~np.isfinite(table)).any(axis=1).sum()) for arm, table in samples.items()}
        kept = {arm: None if broken[arm] else table for arm, table in samples.items()}
        damage = {
            arm: None if table is None else bootstrap.mean(table, unit="nat/token")
            for arm, table in kept.items()
        }
        if any(broken.values()):
            where = ", ".join(f"{count} of {draws} draws ({arm})" for arm, count in broken.items() if count)
            return cls(rate, flips, draws, damage, Ratio(None, f"no finite loss in {where}"), kept)
        ratio = ratio_of_means(samples[first], samples[second], floor=floor, paired=paired)
        return cls(rate, flips, draws, damage, ratio, kept)

    def to_json(self) -> dict[str, Any]:
        """A strict-JSON object, with every sample."""
        return {
            "rate": self.rate,
            "flips": self.flips,
            "draws": self.draws,
            "damage": {arm: None if found is None else found.to_json() for arm, found in self.damage.items()},
            "ratio": self.ratio.to_json(),
            "samples": {
                arm: None if table is None else table.tolist() for arm, table in self.samples.items()
            },
        }


class RateLeverage(Comparison):
    """Outlier arm over rest, with as many flips in each: `ratio` is a ratio of damage per flip."""

    @property
    def leverage(self) -> Ratio:
        """The leverage, or why it is unresolved."""
        return self.ratio

    def to_json(self) -> dict[str, Any]:
        """A strict-JSON object, with every sample."""
        plain = super().to_json()
        plain["leverage"] = plain.pop("ratio")
        return plain
