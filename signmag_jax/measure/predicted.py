"""What linear response predicts: slopes in the flip rate, the next order, and their Monte Carlo check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from signmag_jax.evidence import Estimate, Ratio, invalid, ratio_of_means

from . import slopes
from .activations import Columns
from .leverage import Leverage
from .pools import OUTLIER, REST
from .singles import Place
from .slopes import Slopes


@dataclass(frozen=True, eq=False)
class Check:
    """A Monte Carlo measurement of a pool's damage beside its prediction, both in nats per token.

    Args:
      rate: flips per weight of this pool.
      arm: the pool.
      predicted: rate · slope + rate² · interaction, for exactly k flips.
      measured: of `leverage`, None where a draw gave no finite loss.
      distance: (measured − predicted) in combined standard errors; None unless both are resolved.
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
class LinearResponse:
    """Result of `linear_response`: slopes of the loss in the flip rate.

    Args:
      pools: of "outlier" columns, the "rest" and "all".
      layers: one for each layer that takes part.
      matrices: of each matrix over all layers, by name.
      each: of each matrix of each layer, by name.
      columns: of each input column, by matrix, (layers, inputs).
      leverage: outlier pool over rest per weight, or why it is unresolved.
      interaction: by pool, `2 Σ_{i≠j} H_ij w_i w_j`, the next term in the rate.
      singles: the weights that were flipped one by one.
      samples: by pool, the slope of each probe and window.
      known: by pool, the exact cost of its `singles` on each window, in nats per token.
      outliers: the outlier columns, by site, (layers, chosen).
      depth: the layers that take part.
      provenance: model, texts, seeds, versions, device.
    """

    pools: dict[str, Slopes]
    layers: Slopes
    matrices: dict[str, Slopes]
    each: dict[str, Slopes]
    columns: dict[str, Slopes]
    leverage: Ratio
    interaction: dict[str, Estimate]
    singles: tuple[Place, ...]
    samples: dict[str, Float[np.ndarray, "_ _"]]
    known: dict[str, Float[np.ndarray, " _"]]
    outliers: Columns
    depth: tuple[int, ...]
    provenance: Mapping[str, Any]

    def damage(self, pool: str, rate: float, exactly: bool = False) -> Estimate:
        """E ΔNLL at a flip rate to second order in it, for independent flips or for exactly k = rate · N.

        `rate · slope + E[m_i m_j] · interaction`; for independent flips E[m_i m_j] is rate², without
        replacement it is less by rate (1 − rate)/(N − 1).
        """
        slope, pairs, size = self.pools[pool].slope, self.interaction[pool], int(self.pools[pool].weights)
        together = rate**2 - (rate * (1 - rate) / max(size - 1, 1) if exactly else 0.0)
        value = rate * slope.value + together * pairs.value
        error = float(np.hypot(rate * slope.standard_error, together * pairs.standard_error))
        how = "exactly k flips" if exactly else "independent flips"
        return Estimate(value, error, slope.n, "nat/token", f"second order in the rate, {how}")

    def without_replacement(self, pool: str, rate: float) -> float:
        """E ΔNLL of exactly k flips minus that of independent ones, in nats per token."""
        size = int(self.pools[pool].weights)
        return -rate * (1 - rate) / max(size - 1, 1) * float(self.interaction[pool].value)

    def linear_below(self, pool: str, part: float = 0.1) -> float:
        """The rate at which the next term is `part` of the linear one: above it, the slope is not meant."""
        pairs = abs(self.interaction[pool].value)
        return min(1.0, part * abs(self.pools[pool].slope.value) / pairs) if pairs > 0 else 1.0

    def check(self, found: Leverage) -> list[Check]:
        """The Monte Carlo damage of `leverage` beside its prediction, at every rate and in both arms.

        Raises:
          InvalidInput: if it was measured on other windows, layers, matrices or columns.
        """
        for name in ("evaluation_sha256", "layers", "matrices"):
            if found.provenance[name] != self.provenance[name]:
                raise invalid(f"leverage with the same {name}", found.provenance[name], "measure both alike")
        if any((found.columns[site] != chosen).any() for site, chosen in self.outliers.items()):
            raise invalid(
                "leverage with the same outlier columns", "others", "give both the same calibration"
            )
        return [self._check(each, arm) for each in found.rates for arm in (OUTLIER, REST)]

    def _check(self, found: Any, arm: str) -> Check:
        rate = found.flips / int(self.pools[arm].weights)
        predicted, damage = self.damage(arm, rate, exactly=True), found.damage[arm]
        if damage is None:
            return Check(rate, arm, predicted, None, None, "a draw gave no finite loss")
        measured = damage.estimate
        for name, estimate in (("prediction", predicted), ("measurement", measured)):
            if not slopes.separated(estimate):
                reason = f"the {name} is not separated from zero by {slopes.SEPARATION:g} standard errors"
                return Check(rate, arm, predicted, measured, None, reason)
        if rate > self.linear_below(arm, 1.0):
            reason = "at this rate the next term exceeds the linear one"
            return Check(rate, arm, predicted, measured, None, reason)
        return Check(rate, arm, predicted, measured, float(measured.distance(predicted)))

    def share_of_singles(self, pool: str = OUTLIER) -> Ratio:
        """Part of a pool's slope that the weights flipped one by one carry, or why it is unresolved."""
        return self.share(self.known[pool], pool)

    def share(self, cost: Float[np.ndarray, " windows"], pool: str = OUTLIER) -> Ratio:
        """A cost on each evaluation window as a part of a pool's slope."""
        whole = self.samples[pool]
        return quotient(np.broadcast_to(np.asarray(cost)[None], whole.shape), whole)

    def to_json(self) -> dict[str, Any]:
        """A strict-JSON object; the columns are left to `columns`."""
        return {
            "pools": {name: found.to_json() for name, found in self.pools.items()},
            "layers": self.layers.to_json(),
            "matrices": {name: found.to_json() for name, found in self.matrices.items()},
            "each": {name: found.to_json() for name, found in self.each.items()},
            "leverage": self.leverage.to_json(),
            "interaction": {name: found.to_json() for name, found in self.interaction.items()},
            "linear_below_rate": {name: self.linear_below(name) for name in self.pools},
            "share_of_singles": self.share_of_singles().to_json(),
            "singles": [place.to_json() for place in self.singles],
            "samples": {name: table.tolist() for name, table in self.samples.items()},
            "known": {name: row.tolist() for name, row in self.known.items()},
            "outliers": {site: chosen.tolist() for site, chosen in self.outliers.items()},
            "depth": list(self.depth),
            "provenance": dict(self.provenance),
        }


def quotient(numerator: Float[np.ndarray, "_ _"], denominator: Float[np.ndarray, "_ _"]) -> Ratio:
    """Ratio of slopes, paired: over the means of windows, or over the probes of a single one."""
    return ratio_of_means(_across(numerator), _across(denominator), paired=True)


def _across(table: Float[np.ndarray, "_ _"]) -> Float[np.ndarray, "1 _"]:
    return (table.mean(axis=0) if table.shape[1] > 1 else table[:, 0])[None]
