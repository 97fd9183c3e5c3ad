"""Measured on trained models: losses, activations, quantisation errors, and what sign flips cost."""

from .activations import Alpha, ColumnEnergy, alpha, column_energies
from .all_columns import AllColumns, all_columns, all_columns_cost
from .association import Association, associate
from .column_flips import ColumnFlips, column_flips, column_flips_cost
from .column_map import Column, ColumnMap, columns
from .column_sample import ColumnSample
from .column_statistics import ColumnStatistics, column_statistics
from .comparison import Comparison, RateLeverage
from .control import controlled, controlled_cost
from .deciding import DecidingWeight, DecidingWeights, deciding_weights, deciding_weights_cost
from .errors import ErrorCost, ErrorResponse, error_response, error_response_cost
from .flip_energies import FlipEnergies, flip_energies, flip_energies_cost
from .granularity import quantized
from .inputs import Unmeasurable
from .leverage import Leverage, leverage, leverage_cost
from .loss import nll, perplexity
from .metrics import Metrics, metrics, metrics_cost
from .outlier_definitions import Definition, OutlierDefinitions, outlier_definitions, outlier_definitions_cost
from .outlier_flips import OutlierFlips, outlier_flips, outlier_flips_cost
from .pools import TooFewWeights
from .predicted import LinearResponse
from .protection import Protection, protection
from .quantization import Alignment, Quantization, quantization
from .quantization_report import (
    QuantizationReport,
    QuantizedMatrix,
    quantization_report,
    quantization_report_cost,
)
from .response import linear_response, linear_response_cost
from .response_checks import Check, LeverageCheck
from .rotation import Rotation, rotated, rotation, rotation_cost
from .singles import Place
from .slopes import Slopes
from .trained_chain import TrainedChain, trained_chain

__all__ = [
    "Alignment",
    "AllColumns",
    "Alpha",
    "Association",
    "Check",
    "Column",
    "ColumnEnergy",
    "ColumnFlips",
    "ColumnMap",
    "ColumnSample",
    "ColumnStatistics",
    "Comparison",
    "DecidingWeight",
    "DecidingWeights",
    "Definition",
    "ErrorCost",
    "ErrorResponse",
    "FlipEnergies",
    "Leverage",
    "LeverageCheck",
    "LinearResponse",
    "Metrics",
    "OutlierDefinitions",
    "OutlierFlips",
    "Place",
    "Protection",
    "Quantization",
    "QuantizationReport",
    "QuantizedMatrix",
    "RateLeverage",
    "Rotation",
    "Slopes",
    "TooFewWeights",
    "TrainedChain",
    "Unmeasurable",
    "all_columns",
    "all_columns_cost",
    "alpha",
    "associate",
    "column_energies",
    "column_flips",
    "column_flips_cost",
    "column_statistics",
    "columns",
    "controlled",
    "controlled_cost",
    "deciding_weights",
    "deciding_weights_cost",
    "error_response",
    "error_response_cost",
    "flip_energies",
    "flip_energies_cost",
    "leverage",
    "leverage_cost",
    "linear_response",
    "linear_response_cost",
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
