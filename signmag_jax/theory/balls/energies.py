"""The energies of one block in ball arithmetic."""

from flint import arb, fmpq

from .activations import kappa, second_moments
from .pairs import Pair
from .weights import Weights, of


def transverse(pair: Pair) -> arb:
    """T = v/2 − 2κ²."""
    return pair[1] / 2 - 2 * kappa(*pair) ** 2


def energy(pair: Pair) -> arb:
    """e = v/2 + ½ − 2κ."""
    return pair[1] / 2 + arb(fmpq(1, 2)) - 2 * kappa(*pair)


def radial_fraction(perturbation: Pair, activation: str = "relu", scale: fmpq | None = None) -> arb:
    """R = (E hδ)²/(E h² E δ²)."""
    return second_moments(activation, *perturbation, scale).radial_fraction


def cosine_squared(perturbation: Pair) -> arb:
    """c²/v."""
    return perturbation[0] ** 2 / perturbation[1]


def sign_cosine_squared(weights: Weights | None = None) -> arb:
    """b²."""
    return of(weights).b ** 2
