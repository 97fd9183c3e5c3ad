"""Simulated: Gaussian networks, perturbed, with a standard error for every number.

Nothing here knows a closed form of the theory: weights are drawn, perturbed and multiplied.
"""

from .block import Arm, Block, block
from .crossings import Crossings, crossings
from .depth import Depth, depth
from .engine import Options
from .experiments import EXPERIMENTS, Named, experiment
from .gaussian import ACTIVATIONS
from .proposition_1 import Proposition1, proposition_1
from .quantizer import Quantizer, quantizer

__all__ = [
    "ACTIVATIONS",
    "EXPERIMENTS",
    "Arm",
    "Block",
    "Crossings",
    "Depth",
    "Named",
    "Options",
    "Proposition1",
    "Quantizer",
    "block",
    "crossings",
    "depth",
    "experiment",
    "proposition_1",
    "quantizer",
]
