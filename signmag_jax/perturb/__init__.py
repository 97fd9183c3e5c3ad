"""The vocabulary of weight errors: each perturbation once, as moments and as a draw."""

from .base import HasMoments, Moments, Perturbation
from .flip import SignFlip
from .magnitude import MagnitudeNoise, MagnitudeShift
from .quantize import SignQuantize, Ternarize

__all__ = [
    "HasMoments",
    "MagnitudeNoise",
    "MagnitudeShift",
    "Moments",
    "Perturbation",
    "SignFlip",
    "SignQuantize",
    "Ternarize",
]
