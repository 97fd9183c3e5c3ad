"""Measured on trained models: losses, activations, quantisation errors, and what sign flips cost."""

from .activations import Alpha, ColumnEnergy, alpha, column_energies
from .leverage import leverage, leverage_cost
from .leverage_result import Leverage, RateLeverage
from .loss import nll, perplexity

__all__ = [
    "Alpha",
    "ColumnEnergy",
    "Leverage",
    "RateLeverage",
    "alpha",
    "column_energies",
    "leverage",
    "leverage_cost",
    "nll",
    "perplexity",
]
