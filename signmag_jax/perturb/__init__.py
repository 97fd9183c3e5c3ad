"""The vocabulary of weight errors: each perturbation once, as moments and as a draw."""

from .base import HasMoments, Moments, Perturbation
from .compose import Compose
from .empirical import OnWeights, empirical_moments
from .flip import SignFlip
from .grouped import Grouped
from .linear import Prune, Scale
from .lloyd_max import LloydMax
from .magnitude import MagnitudeNoise, MagnitudeShift
from .quantize import SignQuantize, Ternarize
from .uniform import UniformQuantize
from .weights import Weights, empirical_weights, find_weights, moments_under, student_t

__all__ = [
    "Compose",
    "Grouped",
    "HasMoments",
    "LloydMax",
    "MagnitudeNoise",
    "MagnitudeShift",
    "Moments",
    "OnWeights",
    "Perturbation",
    "Prune",
    "Scale",
    "SignFlip",
    "SignQuantize",
    "Ternarize",
    "UniformQuantize",
    "Weights",
    "empirical_moments",
    "empirical_weights",
    "find_weights",
    "moments_under",
    "student_t",
]
