"""Measured on trained models: losses, activations, quantisation errors, and what sign flips cost."""

from .activations import Alpha, ColumnEnergy, alpha, column_energies
from .alignment import Alignment, Quantization
from .all_columns import AllColumns, all_columns
from .arm_comparison import ArmComparison, RateLeverage
from .association import Association, associate
from .attacked import Attack, Attacks
from .attacks import attacks
from .column_flips import ColumnFlips, column_flips
from .column_map import Column, ColumnMap, columns
from .column_sample import ColumnSample
from .column_statistics import ColumnStatistics, column_statistics
from .control import controlled
from .deciding import deciding_weights
from .drawn_damage import damage_checks, leverage_checks
from .error_cost import ErrorCost, ErrorResponse
from .error_response import error_response
from .flip_energies import FlipEnergies, flip_energies
from .granularity import quantized
from .importance import importance
from .incoherent import IncoherentErrors, incoherent_errors
from .inputs import Unmeasurable
from .kept import Kept, what_is_left
from .leverage import Leverage, leverage
from .leverage_laws import Sensitivity
from .loss import nll, perplexity
from .map_prediction import MapPrediction
from .mask import Mask
from .measurement import Measurement
from .metrics import Metrics, metrics
from .outlier_definitions import Definition, OutlierDefinitions, outlier_definitions
from .outlier_flips import OutlierFlips, outlier_flips
from .place import Place
from .plan import plan
from .planned import Plan, PlannedMatrix
from .pools import TooFewWeights
from .predicted import LinearResponse
from .protect import protect
from .protected import Alone, Protected, ProtectionReport
from .protection import protection
from .quantization import quantization
from .quantization_report import quantization_report
from .quantized_matrix import QuantizationReport, QuantizedMatrix
from .registry import MEASUREMENTS
from .response import linear_response
from .response_checks import Check, LeverageCheck
from .rotation import Rotation, rotated, rotation
from .sensitivity import sensitivity
from .setup import Options
from .slopes import Slopes
from .trained_chain import TrainedChain, trained_chain
from .verified import DecidingWeight, DecidingWeights

__all__ = [
    "MEASUREMENTS",
    "Alignment",
    "AllColumns",
    "Alone",
    "Alpha",
    "ArmComparison",
    "Association",
    "Attack",
    "Attacks",
    "Check",
    "Column",
    "ColumnEnergy",
    "ColumnFlips",
    "ColumnMap",
    "ColumnSample",
    "ColumnStatistics",
    "DecidingWeight",
    "DecidingWeights",
    "Definition",
    "ErrorCost",
    "ErrorResponse",
    "FlipEnergies",
    "IncoherentErrors",
    "Kept",
    "Leverage",
    "LeverageCheck",
    "LinearResponse",
    "MapPrediction",
    "Mask",
    "Measurement",
    "Metrics",
    "Options",
    "OutlierDefinitions",
    "OutlierFlips",
    "Place",
    "Plan",
    "PlannedMatrix",
    "Protected",
    "ProtectionReport",
    "Quantization",
    "QuantizationReport",
    "QuantizedMatrix",
    "RateLeverage",
    "Rotation",
    "Sensitivity",
    "Slopes",
    "TooFewWeights",
    "TrainedChain",
    "Unmeasurable",
    "all_columns",
    "alpha",
    "associate",
    "attacks",
    "column_energies",
    "column_flips",
    "column_statistics",
    "columns",
    "controlled",
    "damage_checks",
    "deciding_weights",
    "error_response",
    "flip_energies",
    "importance",
    "incoherent_errors",
    "leverage",
    "leverage_checks",
    "linear_response",
    "metrics",
    "nll",
    "outlier_definitions",
    "outlier_flips",
    "perplexity",
    "plan",
    "protect",
    "protection",
    "quantization",
    "quantization_report",
    "quantized",
    "rotated",
    "rotation",
    "sensitivity",
    "trained_chain",
    "what_is_left",
]
