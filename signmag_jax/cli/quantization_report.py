"""`signmag measure quantization-report`: measured, predicted by theory, and what to protect."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signmag_jax import measure, theory
from signmag_jax.evidence import Picture, Result
from signmag_jax.measure.quantization_report import QUANTIZERS
from signmag_jax.perturb import Moments

from .derive import passing_on

SUMMARISED = 10
"""Matrices and columns that a terminal shows."""


@dataclass(frozen=True, eq=False)
class PredictedReport(Result):
    """A quantisation report beside the laws.

    Args:
      report: what was measured.
      laws: what theory predicts for each entry.
      protect: the columns and weights that cost most.
      kept: what is left of the costliest matrices' cost when the head of these is kept.
    """

    report: measure.QuantizationReport
    laws: tuple[dict[str, float], ...]
    protect: measure.Mask
    kept: tuple[measure.Kept, ...]

    def to_json(self) -> dict[str, Any]:
        """The report with the predictions in its entries, and what to protect."""
        plain = self.report.to_json()
        for entry, law in zip(plain["entries"], self.laws, strict=True):
            entry["predicted"] = law
        return plain | {"protect": self.protect.to_json(), "kept": [each.to_json() for each in self.kept]}

    def rows(self) -> list[dict[str, Any]]:
        """One flat row for each entry, with the predictions."""
        return [
            row | {f"predicted_{name}": value for name, value in law.items()}
            for row, law in zip(self.report.rows(), self.laws, strict=True)
        ]

    def summary(self) -> dict[str, str]:
        """What one weight and a few columns save, the costliest matrices beside the laws, what to protect."""
        lines = {name: line for each in self.kept for name, line in each.lines().items()}
        if self.report.noise_floor is not None:
            lines["noise floor"] = f"{self.report.noise_floor:.2g} nat/token"
        laws = dict(zip(self.report.entries, self.laws, strict=True))
        for each in self._ranked()[:SUMMARISED]:
            lines[f"layer {each.layer} {each.matrix}, {each.quantizer}"] = _line(each, laws[each])
        costly = [each for each in self.protect.columns[:SUMMARISED] if each[-1] > 0]
        damage = {(each.layer, each.matrix): each.delta_nll or 0.0 for each in self.protect.matrices}
        for rank, (layer, name, column, score) in enumerate(costly, 1):
            share = f"{score / damage[layer, name]:.2g} of its output's error energy"
            line = f"column {column} of layer {layer} {name}, {share}"
            lines[f"against {self.protect.against} protect {rank}"] = line
        return lines if costly else lines | {"protect": "nothing: no matrix alone raised the loss"}

    def picture(self) -> Picture:
        """What quantising each matrix alone costs, by matrix and layer."""
        shown = set(self._ranked())
        damage = {
            (each.layer, each.matrix): each.damage and each.damage.estimate.value
            for each in self.report.entries
            if each in shown
        }
        title = f"{self.protect.against} quantisation of one matrix alone"
        return Picture.of_matrices(damage, title, "ΔNLL, nats per token")

    def _ranked(self) -> tuple[measure.QuantizedMatrix, ...]:
        return self.report.ranked(self.protect.against, self.protect.scale)


@passing_on(measure.quantization_report)
def quantization_report(
    model: Any, calibration: Any, evaluation: Any, *, mask: Path | None = None, **options: Any
) -> PredictedReport:
    """Quantise each matrix alone: measured, predicted by the laws, and what to protect.

    Args:
      model: from `models.load`.
      calibration: windows that choose the columns to protect.
      evaluation: other windows, on which the loss is measured.
      mask: file for the columns and weights to protect.
    """
    report = measure.quantization_report(model, evaluation, **options)
    first, quantizers = report.entries[0], {entry.quantizer for entry in report.entries}
    chosen = "ternary" if "ternary" in quantizers else first.quantizer
    profile = measure.alpha(model, calibration)
    protect = measure.protection(model, profile, report, quantizer=chosen, scale=first.scale)
    shared = {name: options[name] for name in ("batch", "resume", "source") if name in options}
    kept = measure.what_is_left(model, calibration, evaluation, profile, protect, **shared)
    if mask is not None:
        protect.write(mask)
    return PredictedReport(report, tuple(map(_predicted, report.entries)), protect, kept)


def _predicted(entry: measure.QuantizedMatrix) -> dict[str, float]:
    """The laws for independent Gaussian weights, and for this matrix's own two moments."""

    @dataclass(frozen=True)
    class Own:
        def moments(self) -> Moments:
            return Moments.of(entry.c, entry.v)

    laws: dict[str, float] = {}
    for name, given in (("gaussian", QUANTIZERS[entry.quantizer]), ("own_moments", Own())):
        laws[f"cosine_squared_{name}"] = float(theory.cosine_squared(given))
        laws[f"output_error_{name}"] = float(given.moments().energy)
        if laws[f"output_error_{name}"] > 0:
            laws[f"output_radial_fraction_{name}"] = float(theory.radial_fraction(given, "identity"))
    return laws


def _line(entry: measure.QuantizedMatrix, law: dict[str, float]) -> str:
    radial = entry.radial_fraction()
    loss = "" if entry.damage is None else f"ΔNLL {entry.damage.estimate}; "
    return (
        f"{loss}cos² {entry.cosine_squared:.4f} (Gaussian {law['cosine_squared_gaussian']:.4f}); "
        f"radial {'–' if radial is None else format(radial, '.3f')} "
        f"(law {law.get('output_radial_fraction_own_moments', 0.0):.3f}); "
        f"after the norm {entry.parts['normalised']['error'].value:.3g}; "
        f"SQNR {'–' if entry.sqnr is None else format(entry.sqnr, '.2f')} dB"
    )
