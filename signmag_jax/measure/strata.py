"""Strata of a leverage: the weights predicted to cost most are measured one by one, and chance has the rest.

Let S be the heavy weights that a draw flips, L its damage without them, c_i what weight i costs alone, h the
part of it that L leaves room for. Then `E Δ = E[L + h(L) Σ p_i c_i] + E[Δ − L − h(L) Σ_{i∈S} c_i]`, whatever
was predicted, for S and L are independent. L is drawn, c_i measured, and what the heavy weights do beyond
that, together and with the rest, is drawn from those draws that flip any: S by its size, each weight with a
chance in proportion to what it is predicted to carry (Hansen and Hurwitz, 1943).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from signmag_jax.evidence import Result
from signmag_jax.evidence.strata import Sum

from .stratified import Stratified

HEAVY = 6
"""Weights of both pools together that are measured one by one."""


def never_drawn(rate: float, draws: int) -> float:
    """The part of a pool that no draw flips."""
    return float((1 - rate) ** draws)


@dataclass(frozen=True, eq=False)
class Strata(Result):
    """What stands beside the drawn damage of one arm.

    Args:
      known: `Σ p_i c_i` on each window, exact.
      room: h(L) of each light draw.
      joint: what heavy weights do together and with the rest beyond that, draws × windows; its mean counts.
      hardly_seen: mean damage predicted of what the draws hardly ever hit.
      largest_left: largest predicted cost of a weight left to chance.
      unseen_share: part of the pool that no draw flipped.
    """

    known: Float[np.ndarray, " windows"]
    room: Float[np.ndarray, " draws"]
    joint: Float[np.ndarray, "joint windows"]
    hardly_seen: float
    largest_left: float
    unseen_share: float

    @classmethod
    def of(
        cls,
        draws: Stratified,
        arm: str,
        *,
        light: Float[np.ndarray, "draws windows"],
        joint: Float[np.ndarray, "joint windows"],
        costs: Float[np.ndarray, "heavy windows"],
        room: Float[np.ndarray, " draws"],
    ) -> Strata:
        """Strata from the damage of light and joint draws, heavy weights' own costs and the room for them."""
        count, left = len(light), draws.ranked[arm]
        rate, rows = draws.draws.flips[arm] / draws.draws.pools.size(arm), []
        for draw, row in enumerate(joint):
            _, _, flipped, weight = draws.joint(arm, draw)
            # Beside the light draw of the same number, most of whose flips it has: their scatter cancels.
            rows.append(weight * (row - light[draw] - room[draw] * costs[list(flipped)].sum(axis=0)))
        heavy = bool(draws.heavy(arm))
        # Of the draws' own recipes: a matrix has whole flips, so that its share is not quite the rate.
        known = draws.mean_rates(arm, count) @ costs if heavy else np.zeros(light.shape[1])
        hardly_seen, unseen = left.hardly_seen(rate, count), never_drawn(rate, count)
        return cls(known, room, np.reshape(rows, joint.shape), hardly_seen, left.largest_left, unseen)

    @property
    def finite(self) -> bool:
        """Whether every loss was, of heavy weights and of the draws beside which they stand."""
        # A light draw that broke has no room, also where no joint draw stands beside it.
        return all(np.isfinite(part).all() for part in (self.known, self.room, self.joint))

    def around(self, drawn: Float[np.ndarray, "draws windows"]) -> Sum:
        """The whole mean, with light draws."""
        # Of one or two joint draws no scatter is known: that they are not 0 is their error.
        return Sum((drawn + self._expected,), (self.joint,) if len(self.joint) else ())

    @property
    def beside(self) -> Float[np.ndarray, "draws windows"]:
        """What the mean has beside the light draws."""
        return self._expected + (self.joint.mean(axis=0, keepdims=True) if len(self.joint) else 0.0)

    @property
    def _expected(self) -> Float[np.ndarray, "draws windows"]:
        return self.room[:, None] * self.known[None]

    def line(self) -> str:
        """The largest cost that may have been missed, in words."""
        return (
            f"{self.unseen_share:.1%} of the pool never drawn, each of its weights predicted to cost at most "
            f"{self.largest_left:.2g} nat/token; in what is seldom drawn {self.hardly_seen:.2g} of the mean"
        )


def room_left(
    light: Float[np.ndarray, "draws windows"],
    clean: Float[np.ndarray, " windows"],
    costs: Float[np.ndarray, "heavy windows"],
    vocabulary: int,
) -> Float[np.ndarray, " draws"]:
    """The part of a single flip's cost that is expected when it is added to each draw.

    Losses have room up to that of a model which knows nothing, or where single flips take them; what the
    other flips cost is gone from it.
    """
    reached = costs.mean(axis=1).max(initial=0.0)
    # A flip may do worse than knowing nothing: predictions that are sure and wrong.
    whole = max(math.log(vocabulary) - float(clean.mean()), reached, np.finfo(np.float64).tiny)
    # Any h of L leaves the mean alone; one outside of [0, 1] would only add scatter.
    return np.clip(1 - light.mean(axis=1) / whole, 0.0, 1.0)
