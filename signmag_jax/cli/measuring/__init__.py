"""The measurements of `signmag measure`, one a file. What they are made of is imported when one is run."""

from __future__ import annotations

from types import ModuleType

from . import (
    all_columns,
    alpha,
    column_flips,
    columns,
    deciding_weights,
    error_response,
    flip_energies,
    leverage,
    linear_response,
    loss,
    metrics,
    outlier_definitions,
    outlier_flips,
    quantization,
    quantization_report,
    rotation,
    trained_chain,
)
from .verb import Verb

MEASUREMENTS: dict[str, ModuleType] = {
    "nll": loss,
    "alpha": alpha,
    "leverage": leverage,
    "quantization": quantization,
    "all-columns": all_columns,
    "metrics": metrics,
    "outlier-flips": outlier_flips,
    "column-flips": column_flips,
    "flip-energies": flip_energies,
    "trained-chain": trained_chain,
    "quantization-report": quantization_report,
    "outlier-definitions": outlier_definitions,
    "rotation": rotation,
    "linear-response": linear_response,
    "columns": columns,
    "deciding-weights": deciding_weights,
    "error-response": error_response,
}
"""By name, the file whose `verb()` makes the measurement."""

__all__ = ["MEASUREMENTS", "Verb"]
