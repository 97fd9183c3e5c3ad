"""Trained: small networks from their Gaussian initialisation on, where the laws begin, to convergence.

Nothing here knows a law: networks are trained, perturbed and compared.
"""

from .network import Network
from .training import Block, Checkpoint, Training, memory, operations, prepared, train

__all__ = ["Block", "Checkpoint", "Network", "Training", "memory", "operations", "prepared", "train"]
