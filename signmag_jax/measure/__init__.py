"""Measured on trained models: losses, activations, quantisation errors, and what sign flips cost."""

from .activations import Alpha, ColumnEnergy, alpha, column_energies
from .all_columns import AllColumns, all_columns, all_columns_cost
from .comparison import Comparison, RateLeverage
from .leverage import Leverage, leverage, leverage_cost
from .loss import nll, perplexity
from .metrics import Metrics, metrics, metrics_cost
from .pools import TooFewWeights
from .quantization import Alignment, Quantization, quantization

__all__ = [
    "Alignment",
    "AllColumns",
    "Alpha",
    "ColumnEnergy",
    "Comparison",
    "Leverage",
    "Metrics",
    "Quantization",
    "RateLeverage",
    "TooFewWeights",
    "all_columns",
    "all_columns_cost",
    "alpha",
    "column_energies",
    "leverage",
    "leverage_cost",
    "metrics",
    "metrics_cost",
    "nll",
    "perplexity",
    "quantization",
]
