"""What protecting a few weights saves: the result of `protect`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from signmag_jax.evidence import ConfidenceInterval, Estimate, Picture, Result
from signmag_jax.evidence.result import KEPT_OUT, by_metric

from .arm_comparison import Table
from .criteria import COST, LABELS
from .mask import Mask
from .slopes import separated
from .suspects import Suspect

METRICS = ("delta_nll", "kl", "agreement")
UNITS = {"delta_nll": "nat/token", "kl": "nat/token", "agreement": "1"}
EVERYTHING = "everything"
Metric = dict[str, ConfidenceInterval | None]


@dataclass(frozen=True, eq=False)
class Protected(Result):
    """What is left of the damage when one criterion chooses what is protected.

    Args:
      criterion: a key of `criteria.LABELS`.
      budget: as it was typed.
      share: of the weights.
      weights: how many are protected.
      metrics: ΔNLL, KL(clean ‖ perturbed) and top-1 agreement, over draws and windows; None where a loss was
        not finite.
      excess: its ΔNLL less that of our criterion at the same budget, paired over draws and windows; None for
        our own, or as above.
    """

    criterion: str
    budget: str
    share: float
    weights: int
    metrics: Metric
    excess: ConfidenceInterval | None

    def line(self) -> str:
        """The three means, and the difference to our choice."""
        said = f"{values(self.metrics)}"
        if self.excess is None:
            return said
        more, sure = self.excess, "" if separated(self.excess.estimate) else ", unresolved"
        return f"{said}; {more.estimate.value:+.3g} to ours [{more.low:.3g}, {more.high:.3g}]{sure}"


@dataclass(frozen=True, eq=False)
class Alone(Result):
    """One matrix perturbed alone, ΔNLL over the draws of its error and the evaluation windows.

    Args:
      layer, matrix: which.
      predicted: its cost by derivatives and single trials, in nats per token.
      damage: with nothing protected; None where it is not finite.
      not_finite: of these windows, over all draws, how many have no finite loss.
      budget: the smallest one.
      left: ΔNLL with what that budget protects of the matrix; None where it is not finite.
    """

    layer: int
    matrix: str
    predicted: float
    damage: ConfidenceInterval | None
    not_finite: int
    budget: str
    left: ConfidenceInterval | None


@dataclass(frozen=True, eq=False)
class ProtectionReport(Result):
    """Result of `protect`.

    Args:
      against, scale: what weights are protected against.
      clean: NLL of the clean model.
      everything: the metrics with all weights perturbed.
      choices: one for each budget and criterion, ours first.
      alone: the matrices of largest predicted cost, perturbed alone; first those whose loss is not finite.
      suspects: single weights whose error was tried in the whole model, the costliest first.
      masks: what our criterion protects, one for each budget.
      samples: by metric, then by "everything" or budget and criterion, draws × windows.
      provenance: model, texts, seed, versions, device.
    """

    against: str
    scale: str
    clean: Estimate
    everything: Metric
    choices: tuple[Protected, ...]
    alone: tuple[Alone, ...]
    suspects: tuple[Suspect, ...]
    masks: tuple[Mask, ...] = field(metadata=KEPT_OUT)
    samples: Mapping[str, Mapping[str, Table]] = field(metadata=KEPT_OUT)
    provenance: Mapping[str, Any]

    SHOWN = ("least",)

    @property
    def least(self) -> dict[str, str]:
        """The criterion that leaves the least ΔNLL at each budget; none where no loss was finite."""
        best: dict[str, Protected] = {}
        for each in self.choices:
            known = best.get(each.budget)
            if damage(each.metrics) < (np.inf if known is None else damage(known.metrics)):
                best[each.budget] = each
        return {budget: each.criterion for budget, each in best.items()}

    def summary(self) -> dict[str, str]:
        """What everything costs, then by budget what each criterion leaves, and which leaves least."""
        lines = {"clean nll": str(self.clean), f"everything, {self.against}": values(self.everything)}
        for each in self.choices:
            lines[f"{each.budget}, {LABELS[each.criterion]}"] = each.line()
        for budget, criterion in self.least.items():
            sure = "" if self._separated(budget, criterion) else ", unresolved"
            lines[f"{budget}, least damage"] = f"{LABELS[criterion]}{sure}"
        for one in self.alone:
            broken = f"not finite on {one.not_finite} windows"
            lost = broken if one.damage is None else f"{one.damage.estimate.value:.3g}"
            left = "not finite" if one.left is None else f"{one.left.estimate.value:.3g}"
            lines[f"layer {one.layer} {one.matrix} alone"] = (
                f"ΔNLL {lost}, with {one.budget} protected {left}"
            )
        for one in self.suspects[:SHOWN]:
            lines[f"single weight {one.place.label()}"] = one.line()
        return lines

    def _separated(self, budget: str, least: str) -> bool:
        """Whether our choice leaves less than every other, or that other one less than ours."""
        others = [each for each in self.choices if each.budget == budget and each.criterion != COST]
        asked = [each for each in others if least in (COST, each.criterion)]
        return all(each.excess is not None and separated(each.excess.estimate) for each in asked)

    def rows(self) -> list[dict[str, Any]]:
        """ΔNLL, KL and agreement of every choice, draw and window."""
        return by_metric(self.samples)

    def picture(self) -> Picture:
        """ΔNLL against the budget, a line for each criterion."""
        series: dict[str, tuple[list[float], list[float], list[float], list[float]]] = {}
        for each in self.choices:
            interval = each.metrics["delta_nll"]
            if interval is not None:
                line = series.setdefault(LABELS[each.criterion], ([], [], [], []))
                for part, value in zip(
                    line, (each.share, interval.estimate.value, interval.low, interval.high), strict=True
                ):
                    part.append(value)
        whole = self.everything["delta_nll"]
        title = f"{self.against}: damage left when a few weights are protected"
        return Picture(
            "budgets",
            {"series": series, "everything": None if whole is None else whole.estimate.value, "title": title},
        )


SHOWN = 5
"""Single weights that a terminal shows."""


def damage(metrics: Metric) -> float:
    """The mean ΔNLL, infinite where a loss was not finite."""
    interval = metrics["delta_nll"]
    return np.inf if interval is None else interval.estimate.value


def values(metrics: Metric) -> str:
    """The means in words."""
    if any(each is None for each in metrics.values()):
        return "a loss is not finite"
    loss, divergence, agreement = (each.estimate for each in metrics.values() if each is not None)
    interval = metrics["delta_nll"]
    assert interval is not None
    return (
        f"ΔNLL {loss.value:.3g} [{interval.low:.3g}, {interval.high:.3g}], "
        f"KL {divergence.value:.3g}, top-1 agreement {agreement.value:.1%}"
    )
