"""Measured on trained models: losses, activations, quantisation errors, and what sign flips cost."""

from .activations import Alpha, ColumnEnergy, alpha, column_energies
from .all_columns import AllColumns, all_columns, all_columns_cost
from .association import Association, associate
from .column_flips import ColumnFlips, column_flips, column_flips_cost
from .column_sample import ColumnSample
from .column_statistics import ColumnStatistics, column_statistics
from .comparison import Comparison, RateLeverage
from .flip_energies import FlipEnergies, flip_energies, flip_energies_cost
from .granularity import quantized
from .leverage import Leverage, leverage, leverage_cost
from .loss import nll, perplexity
from .metrics import Metrics, metrics, metrics_cost
from .outlier_definitions import Definition, OutlierDefinitions, outlier_definitions, outlier_definitions_cost
from .outlier_flips import OutlierFlips, outlier_flips, outlier_flips_cost
from .pools import TooFewWeights
from .protection import Protection, protection
from .quantization import Alignment, Quantization, quantization
from .quantization_report import (
    QuantizationReport,
    QuantizedMatrix,
    quantization_report,
    quantization_report_cost,
)
from .rotation import Rotation, rotated, rotation, rotation_cost
from .trained_chain import TrainedChain, trained_chain

__all__ = [
    "Alignment",
    "AllColumns",
    "Alpha",
    "Association",
    "ColumnEnergy",
    "ColumnFlips",
    "ColumnSample",
    "ColumnStatistics",
    "Comparison",
    "Definition",
    "FlipEnergies",
    "Leverage",
    "Metrics",
    "OutlierDefinitions",
    "OutlierFlips",
    "Protection",
    "Quantization",
    "QuantizationReport",
    "QuantizedMatrix",
    "RateLeverage",
    "Rotation",
    "TooFewWeights",
    "TrainedChain",
    "all_columns",
    "all_columns_cost",
    "alpha",
    "associate",
    "column_energies",
    "column_flips",
    "column_flips_cost",
    "column_statistics",
    "flip_energies",
    "flip_energies_cost",
    "leverage",
    "leverage_cost",
    "metrics",
    "metrics_cost",
    "nll",
    "outlier_definitions",
    "outlier_definitions_cost",
    "outlier_flips",
    "outlier_flips_cost",
    "perplexity",
    "protection",
    "quantization",
    "quantization_report",
    "quantization_report_cost",
    "quantized",
    "rotated",
    "rotation",
    "rotation_cost",
    "trained_chain",
]
