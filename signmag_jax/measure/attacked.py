"""What few sign flips do, by the rule that chose them: results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from signmag_jax.evidence import ConfidenceInterval, Picture, Result
from signmag_jax.evidence.numbers import with_error

from .place import Place

OURS, DNL, ONE_PASS, SUPER = "ours", "DNL", "1P-DNL", "super weights"
RULES = (OURS, DNL, ONE_PASS, SUPER)


@dataclass(frozen=True, eq=False)
class Attack(Result):
    """The flips of one rule; damage is ΔNLL on the evaluation windows, nats per token.

    Args:
      rule: who chose.
      protected: how many weights could not be flipped.
      places: for 1, 2, … flips, which weights; our sets need not hold those before them.
      damage: of each of these sets, flipped together.
      not_finite: windows on which that loss is not finite; each counts as `ln V` of damage, that of a model
        which knows nothing.
    """

    rule: str
    protected: int
    places: tuple[tuple[Place, ...], ...]
    damage: tuple[ConfidenceInterval, ...]
    not_finite: tuple[int, ...]

    def fewest(self, level: float) -> int | None:
        """The fewest flips whose mean damage reaches a level; None if none of those that were tried does."""
        return _first([float(each.estimate.value) for each in self.damage], level)

    def between(self, level: float) -> tuple[int | None, int | None]:
        """The fewest flips by the upper ends of the 95% intervals of the damage, and by their lower ends.

        On other windows of such text it may take as few as the first, and no more than the second; None if
        that end reaches the level with none of those that were tried.
        """
        ends = ([float(getattr(each, end)) for each in self.damage] for end in ("high", "low"))
        fewest, most = (_first(each, level) for each in ends)
        return fewest, most


@dataclass(frozen=True, eq=False)
class Attacks(Result):
    """Result of `attacks`.

    Args:
      attacks: by number of protected weights, then by rule.
      levels: rises of the loss, nats per token, ascending.
      kept: the weights in the order in which they are protected.
      flips: largest number of flips.
      defend: rise of the loss below which each rule was to be kept; None if that was not asked.
      defences: by rule, how few of the first protected weights do that on calibration text; None where all do
        not. What is left on other text stands among the attacks.
      provenance: model, texts, seed, versions, device.
    """

    SHOWN = ("fewest",)

    attacks: tuple[Attack, ...]
    levels: tuple[float, ...]
    kept: tuple[Place, ...]
    flips: int
    defend: float | None
    defences: Mapping[str, int | None]
    provenance: Mapping[str, Any]

    def attack(self, rule: str, protected: int = 0) -> Attack:
        """The attack of one rule."""
        return next(each for each in self.attacks if (each.rule, each.protected) == (rule, protected))

    def fewest(self) -> list[dict[str, Any]]:
        """How many flips each rule needs for each level, and between which, by protected weights."""
        return [
            {
                "rule": each.rule,
                "protected": each.protected,
                "level": level,
                "flips": each.fewest(level),
                "between": list(each.between(level)),
            }
            for each in self.attacks
            for level in self.levels
        ]

    def summary(self) -> dict[str, str]:
        """How many flips each level takes by rule, and which weights they were."""
        lines = {}
        for each in self.attacks:
            against = f", {each.protected} weights protected" if each.protected else ""
            lines[f"{each.rule}{against}"] = "; ".join(self._needed(each, level) for level in self.levels)
        for each in self.attacks:
            if each.places and not each.protected:
                first = each.places[min(len(each.places), len(self.levels)) - 1]
                lines[f"chosen by {each.rule}"] = "; ".join(place.label() for place in first)
        for rule, count in self.defences.items():
            lines[f"defence against {rule}"] = self._defence(rule, count)
        if self.kept:
            lines["protected first"] = "; ".join(place.label() for place in self.kept)
        return lines

    def _defence(self, rule: str, count: int | None) -> str:
        """How few weights keep a rule below the level, and the most that it then does on other text."""
        below = f"below {self.defend:g} nats on calibration text"
        if count is None:
            return f"not {below} by all that are under suspicion"
        damage = self.attack(rule, count).damage
        if not damage:
            return f"{count} weights protected leave it none to flip"
        worst = max(damage, key=lambda each: float(each.estimate.value))
        left = with_error(float(worst.estimate.value), float(worst.estimate.standard_error))
        return f"{below} by {count} weights protected; {left} on other text, 95% up to {worst.high:.2g}"

    def _needed(self, attack: Attack, level: float) -> str:
        count = attack.fewest(level)
        if count is None:
            most = max((each.estimate.value for each in attack.damage), default=0.0)
            broken = _broken(max(attack.not_finite, default=0))
            return f"{level:g} nats not reached by {len(attack.damage)} flips (at most {most:.2g}{broken})"
        damage = attack.damage[count - 1].estimate
        cost = with_error(float(damage.value), float(damage.standard_error))
        broken = _broken(attack.not_finite[count - 1])
        return f"{level:g} nats by {count} flip{'s' * (count > 1)}{_range(attack, level)}: {cost}{broken}"

    def rows(self) -> list[dict[str, Any]]:
        """One row for each rule, number of protected weights and number of flips."""
        return [
            {
                "rule": each.rule,
                "protected": each.protected,
                "flips": count,
                "weights": "; ".join(place.label() for place in places),
                **damage.estimate.cells("delta_nll"),
                "low": damage.low,
                "high": damage.high,
                "not_finite": broken,
            }
            for each in self.attacks
            for count, (places, damage, broken) in enumerate(
                zip(each.places, each.damage, each.not_finite, strict=True), start=1
            )
        ]

    def picture(self) -> Picture:
        """Damage against the number of flips, by rule and number of protected weights."""
        series = {}
        for each in self.attacks:
            against = f", {each.protected} protected" if each.protected else ""
            damage = [one.estimate for one in each.damage]
            if damage:
                columns = [
                    [float(one.value) for one in damage],
                    [float(one.standard_error) for one in damage],
                ]
                series[f"{each.rule}{against}"] = tuple(columns)
        title = "Flipping a few signs"
        return Picture(
            "curves", {"series": series, "x": "flips", "y": "ΔNLL, nats per token", "title": title}
        )


def _first(damage: Sequence[float], level: float) -> int | None:
    return next((count for count, each in enumerate(damage, start=1) if each >= level), None)


def _range(attack: Attack, level: float) -> str:
    fewest, most = attack.between(level)
    if fewest == most:
        return ""
    return f" ({fewest} to {most if most is not None else f'more than {len(attack.damage)}'})"


def _broken(windows: int) -> str:
    are = "window is not finite and counts" if windows == 1 else "windows are not finite and count"
    return f"; {windows} {are} as ln V" if windows else ""
