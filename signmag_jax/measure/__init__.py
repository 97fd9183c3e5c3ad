"""Measured on trained models: losses, activations, quantisation errors, and what sign flips cost."""

from .activations import Alpha, ColumnEnergy, alpha, column_energies
from .all_columns import AllColumns, all_columns, all_columns_cost
from .column_map import Column, ColumnMap, columns
from .comparison import Comparison, RateLeverage
from .deciding import DecidingWeight, DecidingWeights, deciding_weights, deciding_weights_cost
from .errors import ErrorCost, ErrorResponse, error_response, error_response_cost
from .leverage import Leverage, leverage, leverage_cost
from .loss import nll, perplexity
from .pools import TooFewWeights
from .predicted import Check, LinearResponse
from .quantization import Alignment, Quantization, quantization
from .response import linear_response, linear_response_cost
from .singles import Place
from .slopes import Slopes

__all__ = [
    "Alignment",
    "AllColumns",
    "Alpha",
    "Check",
    "Column",
    "ColumnEnergy",
    "ColumnMap",
    "Comparison",
    "DecidingWeight",
    "DecidingWeights",
    "ErrorCost",
    "ErrorResponse",
    "Leverage",
    "LinearResponse",
    "Place",
    "Quantization",
    "RateLeverage",
    "Slopes",
    "TooFewWeights",
    "all_columns",
    "all_columns_cost",
    "alpha",
    "column_energies",
    "columns",
    "deciding_weights",
    "deciding_weights_cost",
    "error_response",
    "error_response_cost",
    "leverage",
    "leverage_cost",
    "linear_response",
    "linear_response_cost",
    "nll",
    "perplexity",
    "quantization",
]
