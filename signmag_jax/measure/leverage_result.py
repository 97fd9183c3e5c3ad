"""What `leverage` found: damage per arm, their ratio, and every sample behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from signmag_jax.evidence import ConfidenceInterval, Ratio, bootstrap, ratio_of_means

from .activations import Columns
from .pools import OUTLIER, REST

Table = Float[np.ndarray, "draws windows"]


@dataclass(frozen=True, eq=False)
class RateLeverage:
    """Damage and leverage at one rate.

    Args:
      rate: flips in each arm, as a part of the outlier pool.
      flips: exact number of flips in each arm, k = round(rate × outlier pool).
      draws: random masks per arm.
      damage: per arm, mean ΔNLL (nats per token) with crossed-bootstrap error and interval; None where a
        draw gave no finite loss.
      leverage: ratio of mean damage per flip, outlier over rest, or why it is unresolved.
      samples: per arm, ΔNLL of each draw and window; None as in `damage`.
    """

    rate: float
    flips: int
    draws: int
    damage: dict[str, ConfidenceInterval | None]
    leverage: Ratio
    samples: dict[str, Table | None]

    def to_json(self) -> dict[str, Any]:
        """A strict-JSON object, with every sample."""
        return {
            "rate": self.rate,
            "flips": self.flips,
            "draws": self.draws,
            "damage": {arm: None if found is None else found.to_json() for arm, found in self.damage.items()},
            "leverage": self.leverage.to_json(),
            "samples": {
                arm: None if table is None else table.tolist() for arm, table in self.samples.items()
            },
        }


@dataclass(frozen=True, eq=False)
class Leverage:
    """Result of `leverage`.

    Args:
      rates: one entry per rate.
      noise_floor: largest |ΔNLL| of a window between the clean model and the flipping program with
        nothing flipped (A/A), in nats per token.
      pool_sizes: weights in the outlier pool and in the rest.
      columns: the outlier columns, by site, shape (layers, chosen).
      provenance: model, texts, seeds, versions, device.
    """

    rates: tuple[RateLeverage, ...]
    noise_floor: float
    pool_sizes: dict[str, int]
    columns: Columns
    provenance: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """A strict-JSON object."""
        return {
            "rates": [found.to_json() for found in self.rates],
            "noise_floor": self.noise_floor,
            "pool_sizes": self.pool_sizes,
            "columns": {site: chosen.tolist() for site, chosen in self.columns.items()},
            "provenance": dict(self.provenance),
        }


def judge(rate: float, flips: int, samples: Mapping[str, Table], floor: float) -> RateLeverage:
    """Means, intervals and the leverage of ΔNLL samples, or why there is none."""
    draws = len(samples[OUTLIER])
    broken = {arm: int((~np.isfinite(table)).any(axis=1).sum()) for arm, table in samples.items()}
    kept = {arm: None if broken[arm] else table for arm, table in samples.items()}
    damage = {
        arm: None if table is None else bootstrap.mean(table, unit="nat/token") for arm, table in kept.items()
    }
    if any(broken.values()):
        where = ", ".join(f"{count} of {draws} draws ({arm})" for arm, count in broken.items() if count)
        return RateLeverage(rate, flips, draws, damage, Ratio(None, f"no finite loss in {where}"), kept)
    ratio = ratio_of_means(samples[OUTLIER], samples[REST], floor=floor)
    return RateLeverage(rate, flips, draws, damage, ratio, kept)
