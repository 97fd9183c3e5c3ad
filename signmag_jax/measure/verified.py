"""Single weights whose flip costs most: predicted on one text, proved on another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from signmag_jax.evidence import ConfidenceInterval, Estimate, Picture, Ratio, Result

from . import slopes
from .place import Place
from .suspects import Suspect

SUMMARISED = 10


@dataclass(frozen=True, eq=False)
class DecidingWeight(Result):
    """One verified weight; costs in nats per token over the evaluation windows.

    Args:
      place: matrix, layer, row and column.
      shortlisted: `2 G_ii w²` on the calibration windows, by which it was found.
      first, second, both: `−2 g w` and `2 H_ii w²`, exact derivatives, and their sum.
      flip: ΔNLL of the flip itself.
      beyond: flip − first − second, paired on each window: what two orders leave out.
      outlier: whether its column is one of the response's outliers; None without one.
    """

    SHOWN = ("resolved",)

    place: Place
    shortlisted: float
    first: Estimate
    second: Estimate
    both: Estimate
    flip: Estimate
    beyond: Estimate
    outlier: bool | None

    @property
    def resolved(self) -> bool:
        """Whether the cost of the flip is separated from zero by 3 standard errors."""
        return bool(slopes.separated(self.flip))

    def costs(self) -> dict[str, float]:
        """First and second order and the flip, each with its error, as the cells of a table."""
        return self.first.cells("first") | self.second.cells("second") | self.flip.cells("flip")


@dataclass(frozen=True, eq=False)
class JointFlip(Result):
    """Weights that are flipped together; costs in nats per token over the evaluation windows.

    Args:
      places: matrix, layer, row and column of each.
      flip: ΔNLL of flipping all of them at once.
      alone: the sum of what each costs alone.
    """

    places: tuple[Place, ...]
    flip: Estimate
    alone: Estimate


@dataclass(frozen=True, eq=False)
class DecidingWeights(Result):
    """Result of `deciding_weights`.

    Args:
      weights: the verified ones, in the order of the shortlist; then those that other criteria name.
      shortlist: every shortlisted weight with its predicted cost, descending.
      rank_correlation: Spearman's, of predicted and exact cost over the verified weights, by prediction
        ("fisher": of the shortlist, "second order": `−2 g w + 2 H_ii w²`); None where it is undefined.
      explained: part of the outlier pool's slope that the verified weights in it carry, or why not.
      joint: of two weights and more, the sets that did most damage on calibration text.
      suspects: what several criteria name, by the cost of its flip on a little calibration text.
      provenance: model, texts, seed, versions, device.
    """

    weights: tuple[DecidingWeight, ...]
    shortlist: tuple[tuple[Place, float], ...]
    rank_correlation: dict[str, ConfidenceInterval | None]
    explained: Ratio
    joint: tuple[JointFlip, ...]
    suspects: tuple[Suspect, ...]
    provenance: Mapping[str, Any]

    def ranked(self) -> list[DecidingWeight]:
        """The verified weights by the exact cost of their flip, descending."""
        return sorted(self.weights, key=lambda each: -each.flip.value)

    def summary(self) -> dict[str, str]:
        """How well the costs were predicted, the most costly weights, and what they carry."""
        summary = {
            f"rank correlation with the exact cost, {name}": str(interval or "undefined")
            for name, interval in self.rank_correlation.items()
        }
        for rank, weight in enumerate(self.ranked()[:SUMMARISED], start=1):
            summary[f"weight {rank}: {weight.place.label()}"] = f"ΔNLL {weight.flip}"
        for each in self.joint:
            where = "; ".join(place.label() for place in each.places)
            summary[f"{len(each.places)} together: {where}"] = f"ΔNLL {each.flip}, alone in sum {each.alone}"
        return summary | {"part of the outlier pool's slope that they carry": str(self.explained)}

    def rows(self) -> list[dict[str, Any]]:
        """One row for each shortlisted weight and each that was verified: only these have an exact cost."""
        costs = {each.place: each.costs() for each in self.weights}
        listed = dict(self.shortlist) | {each.place: each.shortlisted for each in self.weights}
        return [
            {**place.to_json(), "shortlisted": cost, **costs.get(place, {})} for place, cost in listed.items()
        ]

    def picture(self) -> Picture:
        """The cost of every verified flip against its prediction."""
        flips = [each.flip for each in self.weights]
        columns = zip(*((each.value, each.standard_error) for each in flips), strict=True)
        series = {"verified": ([each.shortlisted for each in self.weights], *map(list, columns))}
        x, y = "predicted on calibration text, nats per token", "ΔNLL, nats per token"
        return Picture("points", {"series": series, "x": x, "y": y, "title": "Flipping one weight"})
