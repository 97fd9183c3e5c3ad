"""A width for every matrix within a size: the result of `plan`, and the file that it becomes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from signmag_jax.evidence import ConfidenceInterval, Estimate, Picture, Result
from signmag_jax.evidence.result import KEPT_OUT, by_metric

from .protected import Metric

SUMMARISED = 10
"""Matrices that a terminal shows."""


class PlannedMatrix(NamedTuple):
    """A matrix and its width.

    Args:
      layer, matrix: which.
      shape: outputs and inputs.
      width: "ternary" or a number of bits, a key of `widths.WIDTHS`.
      size: bits that it takes, scales included.
      predicted, standard_error: `½ δᵀGδ` on the calibration windows, in nats per token.
      tried: its ΔNLL at that width, alone, on the first calibration windows; None where it was not tried, or
        is not finite.
      not_finite: of these windows, how many have no finite loss.
    """

    layer: int
    matrix: str
    shape: tuple[int, int]
    width: str
    size: int
    predicted: float
    standard_error: float
    tried: float | None
    not_finite: int


@dataclass(frozen=True, eq=False)
class MeasuredWidths(Result):
    """What one set of widths costs on the evaluation windows.

    Args:
      what: the widths in words.
      size: bits, scales included; of several draws the mean.
      metrics: ΔNLL, KL(clean ‖ quantised) and top-1 agreement over draws and windows; None where a loss was
        not finite.
    """

    what: str
    size: float
    metrics: Metric

    def line(self, weights: int) -> str:
        """Size and means in words."""
        parts = [
            f"{name} {'not finite' if each is None else each.estimate}"
            for name, each in zip(("ΔNLL", "KL", "agreement"), self.metrics.values(), strict=True)
        ]
        return f"{self.what}, {self.size / weights:.3f} bits a weight: {', '.join(parts)}"


@dataclass(frozen=True, eq=False)
class Plan(Result):
    """Result of `plan`; as JSON of schema `signmag.plan/1`, layers count from 0.

    Args:
      bits: bits a weight that were asked for.
      weights: how many weights the matrices have.
      budget: bits that they may take.
      size: bits that they take.
      matrices: each with its width.
      predicted: `½ δᵀGδ` of all matrices, δ the error that each one's quantiser makes, over windows.
      first: `g·δ` of the same, which has either sign on a text.
      cost: what was minimised: predictions, and trials where they were far more.
      bound: no choice of these widths within the budget costs less.
      exact: whether none costs less than this one.
      measured: what the plan costs.
      uniform: what one width everywhere costs, or two neighbouring ones.
      saved, saved_kl: ΔNLL and KL of `uniform` less those of the plan, paired over windows; None where one
        was not finite.
      clean: NLL of the clean model.
      samples: by metric, then "plan" or "uniform": draws × windows.
      provenance: model, texts, seed, versions, device.
    """

    SCHEMA = "signmag.plan/1"

    bits: float
    weights: int
    budget: int
    size: int
    matrices: tuple[PlannedMatrix, ...]
    predicted: Estimate
    first: Estimate
    cost: float
    bound: float
    exact: bool
    measured: MeasuredWidths
    uniform: MeasuredWidths
    saved: ConfidenceInterval | None
    saved_kl: ConfidenceInterval | None
    clean: Estimate
    samples: Mapping[str, Mapping[str, Float[np.ndarray, "draws windows"]]] = field(metadata=KEPT_OUT)
    provenance: Mapping[str, Any]

    def summary(self) -> dict[str, str]:
        """Sizes, what was predicted and measured, and the widest matrices."""
        gap = "no choice is predicted to cost less" if self.exact else f"at least {self.bound:.4g} at any"
        lines = {
            "size": f"{self.size / self.weights:.4f} of {self.bits:g} bits for {self.weights:,} weights",
            "predicted": f"{self.predicted}; {gap}",
            "first order, on calibration text": str(self.first),
            "plan": self.measured.line(self.weights),
            "uniform": self.uniform.line(self.weights),
        }
        for name, saved in {"saved": self.saved, "saved, KL": self.saved_kl}.items():
            if saved is not None:
                lines[name] = f"{saved.estimate}, 95% from {saved.low:.3g} to {saved.high:.3g}"
        widest = sorted(self.matrices, key=lambda one: -one.size / (one.shape[0] * one.shape[1]))
        for one in widest[:SUMMARISED]:
            said = f"{one.width}{'' if one.width == 'ternary' else ' bits'}; predicted {one.predicted:.3g}"
            tried = "" if one.tried is None else f", tried {one.tried:.3g}"
            tried = f", tried: {one.not_finite} windows not finite" if one.not_finite else tried
            lines[f"layer {one.layer} {one.matrix}"] = said + tried
        return lines

    def rows(self) -> list[dict[str, Any]]:
        """ΔNLL, KL and agreement of the plan and of uniform widths, for every window."""
        return by_metric(self.samples)

    def picture(self) -> Picture:
        """Bits a weight by matrix and layer."""
        widths = {(one.layer, one.matrix): one.size / math.prod(one.shape) for one in self.matrices}
        return Picture.of_matrices(widths, f"{self.bits:g} bits a weight", "bits a weight")
