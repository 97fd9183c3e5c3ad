"""Trained: small networks from their Gaussian initialisation on, where the laws begin, to convergence.

Nothing here knows a law: networks are trained, perturbed and compared.
"""

from .architecture import Architecture
from .training import Block, Snapshot, Training, memory, operations, prepared, train

__all__ = ["Architecture", "Block", "Snapshot", "Training", "memory", "operations", "prepared", "train"]
