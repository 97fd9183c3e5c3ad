"""What linear response predicts: slopes in the flip rate, and the next order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from signmag_jax.evidence import Estimate, Picture, Ratio, Result
from signmag_jax.evidence.ratio import paired_ratio
from signmag_jax.evidence.result import KEPT_OUT
from signmag_jax.models import SITE_OF

from . import slopes
from .activations import Columns
from .leverage import RATES
from .place import Place
from .pools import OUTLIER
from .response_checks import Check
from .slopes import Slopes
from .suspects import Suspect


@dataclass(frozen=True, eq=False)
class LinearResponse(Result):
    """Result of `linear_response`: slopes of the loss in the flip rate.

    Args:
      pools: of "outlier" columns, the "rest" and "all".
      layers: one for each layer that takes part.
      matrices: of each matrix over all layers, by name.
      each: of each matrix of each layer, by name.
      columns: of each input column, by matrix, (layers, inputs).
      leverage: outlier pool over rest per weight, or why it is unresolved.
      interaction: by pool, `2 Σ_{i≠j} H_ij w_i w_j` over the weights that were not flipped one by one, the
        next term in the rate.
      singles: the weights that were flipped one by one.
      samples: by pool, the slope of each probe and window.
      pairs: by pool, the interaction of each probe and window.
      costs: exact cost of each of `singles` on each window, in nats per token.
      known: by pool, the sum of the `costs` that belong to it, on each window.
      outliers: the outlier columns, by site, (layers, chosen).
      taking_part: the layers that take part.
      provenance: model, texts, seed, versions, device.
      checks: the damage of real flips beside its prediction, where rates were asked for.
      suspects: the weights among which `singles` were chosen by their flips on a little calibration text.
    """

    SHOWN = ("linear_below_rate", "damages", "share_of_singles")

    pools: dict[str, Slopes]
    layers: Slopes
    matrices: dict[str, Slopes]
    each: dict[str, Slopes]
    columns: dict[str, Slopes] = field(metadata=KEPT_OUT)
    leverage: Ratio
    interaction: dict[str, Estimate]
    singles: tuple[Place, ...]
    samples: dict[str, Float[np.ndarray, "_ _"]]
    pairs: dict[str, Float[np.ndarray, "_ _"]] = field(metadata=KEPT_OUT)
    costs: Float[np.ndarray, "singles _"]
    known: dict[str, Float[np.ndarray, " _"]]
    outliers: Columns
    taking_part: tuple[int, ...]
    provenance: Mapping[str, Any]
    checks: tuple[Check, ...] = ()
    suspects: tuple[Suspect, ...] = ()

    def damage(self, pool: str, rate: float, exactly: bool = False) -> Estimate:
        """E ΔNLL at a flip rate to second order in it, for independent flips or for exactly k = rate · N.

        `rate · slope + E[m_i m_j] · interaction`; for independent flips E[m_i m_j] is rate², without
        replacement it is less by rate (1 − rate)/(N − 1).
        """
        pair_rate = self._pair_rate(pool, rate) if exactly else rate**2
        table = self.table(pool, rate, pair_rate)
        how = "exactly k flips" if exactly else "independent flips"
        return slopes.mean(table, "nat/token", f"second order in the rate, {how}")

    def table(self, pool: str, rate: float, pair_rate: float) -> Float[np.ndarray, "probes windows"]:
        """The predicted damage of every probe and window, of flips of which two meet at the `pair_rate`."""
        return rate * self.samples[pool] + pair_rate * self.pairs[pool]

    def without_replacement(self, pool: str, rate: float) -> float:
        """E ΔNLL of exactly k flips minus that of independent ones, in nats per token."""
        return (self._pair_rate(pool, rate) - rate**2) * float(self.interaction[pool].value)

    def _pair_rate(self, pool: str, rate: float) -> float:
        """How often two weights of a pool flip together when exactly k = rate · N do."""
        # k(k − 1)/(N(N − 1)) with k = rate · N; a pool of one weight has no pairs.
        size = int(self.pools[pool].weights)
        return rate**2 - rate * (1 - rate) / max(size - 1, 1)

    def rates_of(self, arm: str, flips: int) -> tuple[float, float]:
        """Flips per weight of a pool, and how often two of its weights flip together."""
        rate = flips / int(self.pools[arm].weights)
        return rate, self._pair_rate(arm, rate)

    def left_out(self, pool: str, rate: float) -> float:
        """What two orders may leave out of the damage at a rate, in nats per token.

        The second order times what it is of the first, as in a geometric series; and its pairs with the
        `singles`, which have no part in `interaction`, if they interact as they cost.
        """
        slope, pairs = self.pools[pool].slope, self.interaction[pool]
        # Two standard errors on top: an interaction that is not resolved may still be there.
        first = abs(rate * float(slope.value))
        second = rate**2 * (abs(float(pairs.value)) + 2 * float(pairs.standard_error))
        if first == 0:
            return second
        share = abs(rate * float(np.mean(self.known[pool]))) / first
        return second * (second / first + 2 * share)

    def is_outlier(self, place: Place) -> bool:
        """Whether a weight lies in an outlier column."""
        return bool(place.column in self.outliers[SITE_OF[place.name]][place.layer])

    def linear_below(self, pool: str, part: float = 0.1) -> float:
        """The rate at which the next term is `part` of the linear one: above it, the slope is not meant."""
        # The next term over the linear one is rate · interaction/slope.
        pairs = abs(self.interaction[pool].value)
        return min(1.0, part * abs(self.pools[pool].slope.value) / pairs) if pairs > 0 else 1.0

    def _shown(self, pool: str, rate: float) -> dict[str, Any]:
        """Damage of independent flips and of exactly k, and what replacement makes of it."""
        return {
            "rate": rate,
            "independent": self.damage(pool, rate),
            "exactly": self.damage(pool, rate, exactly=True),
            "difference": self.without_replacement(pool, rate),
            "linear": rate <= self.linear_below(pool),
        }

    def share_of_singles(self) -> Ratio:
        """Part of the outlier slope that the weights flipped one by one carry, or why it is unresolved."""
        return self.share(self.known[OUTLIER])

    def share(self, cost: Float[np.ndarray, " windows"]) -> Ratio:
        """A cost on each evaluation window as a part of the outlier pool's slope."""
        whole = self.samples[OUTLIER]
        # A cost is exact on each window, and so the same beside every probe of the slope.
        return paired_ratio(np.broadcast_to(np.asarray(cost)[None], whole.shape), whole)

    def linear_below_rate(self) -> dict[str, float]:
        """The rate of each pool above which its slope is not meant."""
        return {pool: self.linear_below(pool) for pool in self.pools}

    def damages(self) -> dict[str, Any]:
        """The damage of each pool at the usual rates."""
        return {pool: [self._shown(pool, rate) for rate in RATES] for pool in self.pools}

    def summary(self) -> dict[str, str]:
        """Slopes of every pool, their checks, the leverage, and what single weights carry."""
        summary = {}
        for pool, each in self.pools.items():
            for name in slopes.PARTS:
                label = f"{pool}, {int(each.weights)} weights: {name.replace('_', '–')}"
                summary[label] = str(getattr(each, name))
            if not each.resolved:
                summary[f"{pool}: slope"] = "UNRESOLVED: not separated from zero by 3 standard errors"
            summary[f"{pool}: linear to 10% below rate"] = f"{self.linear_below(pool):.2g}"
        for check in self.checks:
            summary[f"{check.arm} at rate {check.rate:g}"] = str(check)
        return summary | {
            "predicted count-matched leverage": str(self.leverage),
            "part of the outlier pool's slope that single weights carry": str(self.share_of_singles()),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row for each pool, then for each matrix of each layer: slopes with standard errors."""
        return [{"pool": pool, **slope.row()} for pool, slope in self.pools.items()] + [
            {"pool": "all", "matrix": name, "layer": layer, **slope.row(index)}
            for name, slope in self.each.items()
            for index, layer in enumerate(self.taking_part)
        ]

    def picture(self) -> Picture:
        """The slope per weight of every matrix, by layer."""
        series = {
            name: (each.slope.value / each.weights, each.slope.standard_error / each.weights)
            for name, each in self.each.items()
        }
        y, title = "nats per token per unit flip rate and weight", "Slope of the loss in the flip rate"
        return Picture(
            "curves", {"series": series, "x": "layer", "y": y, "title": title, "along": self.taking_part}
        )
