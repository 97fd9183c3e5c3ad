"""Two arms of damage on the same windows: means, intervals, their ratio, and every sample behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from signmag_jax.evidence import ConfidenceInterval, Picture, Ratio, Result, ratio_of_means
from signmag_jax.evidence.result import by_draw, named
from signmag_jax.evidence.strata import mean

from .strata import Strata

C = TypeVar("C", bound="ArmComparison")
UNPREDICTED = (
    "what single weights cost that no draw flips: it is in no error, and not predicted as by `leverage`"
)
Table = Float[np.ndarray, "_ _"]
"""ΔNLL in nats per token, draws × windows."""


@dataclass(frozen=True, eq=False)
class ArmComparison(Result):
    """Damage in two arms at one rate, and the ratio of the means.

    Args:
      rate: as asked for.
      flips: exact number of sign flips in an arm.
      draws: random masks per arm.
      damage: per arm, mean ΔNLL (nats per token) with crossed error and Student interval; None where a
        draw gave no finite loss.
      ratio: mean damage of the first arm over that of the second, or why it is unresolved.
      samples: per arm, ΔNLL of each draw and window; None as in `damage`. With `strata`, of draws that flip
        none of the heaviest weights.
      strata: per arm, what stands beside the draws; none where nothing was predicted, or not all is finite.
    """

    rate: float
    flips: int
    draws: int
    damage: dict[str, ConfidenceInterval | None]
    ratio: Ratio
    samples: dict[str, Table | None]
    strata: dict[str, Strata] = field(default_factory=dict)

    @classmethod
    def of(
        cls: type[C],
        rate: float,
        flips: int,
        samples: Mapping[str, Table],
        *,
        floor: float,
        paired: bool = False,
        strata: Mapping[str, Strata] | None = None,
    ) -> C:
        """Judge the samples of two arms, numerator first; `floor` and `paired` as in `ratio_of_means`."""
        draws, beside = len(next(iter(samples.values()))), dict(strata or {})
        kept = {arm: finite(table, beside.get(arm)) for arm, table in samples.items()}
        damage = {arm: mean_loss(table, beside.get(arm)) for arm, table in kept.items()}
        ratio = ratio_of_arms(samples, floor=floor, paired=paired, strata=beside)
        whole = {arm: one for arm, one in beside.items() if one.finite}
        return cls(rate, flips, draws, damage, ratio, kept, whole)

    def beside(self, arm: str) -> Table | float:
        """What the mean of an arm has beside its draws, for each of them and each window."""
        return self.strata[arm].beside if arm in self.strata else 0.0

    def lines(self, what: str) -> dict[str, str]:
        """The ratio, or why there is none, and the damage of both arms."""
        name = f"rate {self.rate:g}, {self.flips} flips"
        return {
            f"{name}: {what}": str(self.ratio),
            **{f"{name}: ΔNLL {arm}": damage_line(damage) for arm, damage in self.damage.items()},
            **{f"{name}: left to chance, {arm}": each.line() for arm, each in self.strata.items()},
        }

    def summary(self) -> dict[str, str]:
        """The ratio and the damage of both arms."""
        return self.lines("ratio")

    def rows(self) -> list[dict[str, Any]]:
        """ΔNLL of every draw and window."""
        return by_draw(self.samples, "arm", "delta_nll", rate=self.rate, flips=self.flips)


@dataclass(frozen=True, eq=False)
class RateLeverage(ArmComparison):
    """Outlier arm over rest, with as many flips in each: `ratio` is a ratio of damage per flip."""

    ratio: Ratio = field(metadata=named("leverage"))

    @property
    def leverage(self) -> Ratio:
        """The leverage, or why it is unresolved."""
        return self.ratio


def finite(table: Table, beside: Strata | None = None) -> Table | None:
    """The given table, or None where a draw, or the flip of a heavy weight, gave no finite loss."""
    return table if np.isfinite(table).all() and (beside is None or beside.finite) else None


def mean_loss(table: Table | None, beside: Strata | None = None) -> ConfidenceInterval | None:
    """Mean over draws and windows, nats per token, with what stands beside the draws."""
    if table is None:
        return None
    return mean(table if beside is None else beside.around(table), unit="nat/token")


def ratio_of_arms(
    samples: Mapping[str, Table],
    *,
    floor: float,
    paired: bool = False,
    strata: Mapping[str, Strata] | None = None,
) -> Ratio:
    """Mean damage of the first of two arms over that of the second, or why it is unresolved."""
    # A mean over the draws that are left would be one of those that did least.
    broken = {arm: int((~np.isfinite(table)).any(axis=1).sum()) for arm, table in samples.items()}
    if any(broken.values()):
        counts = [f"{count} of {len(samples[arm])} draws ({arm})" for arm, count in broken.items() if count]
        return Ratio(None, f"no finite loss in {', '.join(counts)}")
    beside = strata or {}
    for arm, one in beside.items():
        if not one.finite:
            return Ratio(None, f"no finite loss where a single weight is flipped ({arm})")
    arms = [beside[arm].around(table) if arm in beside else table for arm, table in samples.items()]
    # Without a ranking nothing is known of what draws do not hit, and nothing is said.
    first, second = (beside[arm].hardly_seen if arm in beside else 0.0 for arm in samples)
    return ratio_of_means(*arms, floor=floor, paired=paired, unseen=(first, second))


def damage_line(damage: ConfidenceInterval | None) -> str:
    """A mean with its error, or that a draw had none."""
    return "not finite" if damage is None else str(damage.estimate)


def arms_picture(rates: Sequence[ArmComparison], what: str, title: str) -> Picture:
    """The damage of both arms and its ratio against the rate, as far as they are finite and resolved."""
    damage = {}
    for arm in rates[0].damage:
        points = [
            (one.rate, interval.estimate.value, interval.estimate.standard_error)
            for one in rates
            if (interval := one.damage[arm])
        ]
        damage[arm] = [list(column) for column in zip(*points, strict=True)] or [[], [], []]
    points = [
        (one.rate, interval.estimate.value, interval.low, interval.high)
        for one in rates
        if (interval := one.ratio.interval)
    ]
    ratio = [list(column) for column in zip(*points, strict=True)] or [[], [], [], []]
    return Picture("arms", {"damage": damage, "ratio": ratio, "what": what, "title": title})
