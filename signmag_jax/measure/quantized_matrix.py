"""What quantising one matrix alone does: the results, and which matrices to protect first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from signmag_jax.evidence import ConfidenceInterval, Estimate, Result, invalid
from signmag_jax.evidence.result import plain

from .granularity import TENSOR, Scale
from .layer import LEVELS

PARTS = ("error", "radial", "transverse")


@dataclass(frozen=True, eq=False)
class QuantizedMatrix(Result):
    """One matrix, quantised alone.

    Args:
      layer, matrix, quantizer, scale: which, and how.
      c, v: Σ w w'/Σ w² and Σ w'²/Σ w² of this matrix: what the laws take instead of a Gaussian's; 1 for a
        matrix of zeros.
      row_cosine: mean over rows of cos²(w_i, w'_i).
      parts: by level ("output", W x; "stream", before the next normalisation; "normalised", after it,
        before its gain) the mean over tokens of the energies of the error, over that of the clean signal:
        "error" in all, its "radial" part along the clean vector and its "transverse" part.
      sqnr: of the output, 10·log₁₀(Σ‖Wx‖²/Σ‖δWx‖²), decibels; infinite (None) for a matrix kept exactly.
      damage: ΔNLL, nats per token, with its interval over windows; None where losses were left out.
    """

    layer: int
    matrix: str
    quantizer: str
    scale: Scale
    c: float
    v: float
    row_cosine: float
    parts: dict[str, dict[str, Estimate]]
    sqnr: float | None
    damage: ConfidenceInterval | None

    @property
    def cosine_squared(self) -> float:
        """c²/v: cos² between the matrix and its quantised version, as one long vector."""
        return self.c**2 / self.v if self.v > 0 else 0.0

    def radial_fraction(self, level: str = "output") -> float | None:
        """Radial over all of the error's energy; None where there is no error."""
        parts = self.parts[level]
        return parts["radial"].value / parts["error"].value if parts["error"].value > 0 else None

    def row(self) -> dict[str, Any]:
        """A flat row for a table."""
        damage = self.damage
        flat: dict[str, Any] = {
            "layer": self.layer,
            "matrix": self.matrix,
            "quantizer": self.quantizer,
            "scale": str(self.scale),
            "c": self.c,
            "v": self.v,
            "cosine_squared": self.cosine_squared,
            "row_cosine": self.row_cosine,
            "sqnr_db": self.sqnr,
            "delta_nll": None if damage is None else damage.estimate.value,
            "delta_nll_se": None if damage is None else damage.estimate.standard_error,
        }
        for level in LEVELS:
            flat[f"{level}_radial_fraction"] = self.radial_fraction(level)
            for part in PARTS:
                flat[f"{level}_{part}"] = self.parts[level][part].value
        return flat

    def to_json(self) -> dict[str, Any]:
        """The flat row, and estimates with their standard errors."""
        return self.row() | {"parts": plain(self.parts), "damage": plain(self.damage)}


@dataclass(frozen=True, eq=False)
class QuantizationReport(Result):
    """Result of `quantization_report`: one entry for each matrix, quantiser and scale.

    Args:
      entries: in the order of layers, matrices, quantisers, scales.
      noise_floor: largest |ΔNLL| of a window between the clean model and the quantising program with
        nothing quantised; None where losses were left out.
      provenance: model, text, versions, device.
    """

    entries: tuple[QuantizedMatrix, ...]
    noise_floor: float | None
    provenance: Mapping[str, Any]

    def ranked(self, quantizer: str, scale: Scale = TENSOR) -> tuple[QuantizedMatrix, ...]:
        """The matrices to protect first: by ΔNLL, or by transverse error after the normalisation.

        Raises:
          InvalidInput: for a quantiser and scale that are not in the report.
        """
        alike = [each for each in self.entries if (each.quantizer, each.scale) == (quantizer, scale)]
        if not alike:
            known = sorted({(each.quantizer, str(each.scale)) for each in self.entries})
            raise invalid(f"quantizer and scale in {known}", (quantizer, scale), "name one of them")
        return tuple(sorted(alike, key=lambda each: -_cost(each)))

    def rows(self) -> list[dict[str, Any]]:
        """Flat rows for a table."""
        return [each.row() for each in self.entries]

    def summary(self) -> dict[str, str]:
        """The noise floor, and the loss of every matrix that was quantised alone."""
        lines = {} if self.noise_floor is None else {"noise floor": f"{self.noise_floor:.2g} nat/token"}
        for each in self.entries:
            name = f"layer {each.layer} {each.matrix}, {each.quantizer} by {each.scale}"
            loss = "" if each.damage is None else f"ΔNLL {each.damage.estimate}; "
            lines[name] = f"{loss}cos² {each.cosine_squared:.4f}"
        return lines


def _cost(entry: QuantizedMatrix) -> float:
    if entry.damage is not None:
        return entry.damage.estimate.value
    return entry.parts["normalised"]["error"].value
