"""Simulated: Gaussian networks, perturbed, with a standard error for every number.

Nothing here knows a closed form of the theory: weights are drawn, perturbed and multiplied.
"""

from .block import Arm, BlockResult, block
from .column_pool import ColumnPool, column_pool
from .composed import Composed, composed
from .crossings import Crossings, crossings
from .depth import Depth, depth
from .engine import Options
from .experiments import EXPERIMENTS, Named, experiment
from .gaussian import ACTIVATIONS, ActivationName
from .profiles import profile
from .proposition_1 import Proposition1, proposition_1
from .quantizer import Quantizer, quantizer
from .result import BOTH_RATIOS, TWO_RATIOS
from .share import ShareDone, parse_share
from .single_flip import SingleFlip, single_flip

__all__ = [
    "ACTIVATIONS",
    "BOTH_RATIOS",
    "EXPERIMENTS",
    "TWO_RATIOS",
    "ActivationName",
    "Arm",
    "BlockResult",
    "ColumnPool",
    "Composed",
    "Crossings",
    "Depth",
    "Named",
    "Options",
    "Proposition1",
    "Quantizer",
    "ShareDone",
    "SingleFlip",
    "block",
    "column_pool",
    "composed",
    "crossings",
    "depth",
    "experiment",
    "parse_share",
    "profile",
    "proposition_1",
    "quantizer",
    "single_flip",
]
