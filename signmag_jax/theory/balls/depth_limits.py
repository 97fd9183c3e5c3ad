"""What a chain's ratio starts from and tends to, in ball arithmetic."""

from flint import arb, fmpq

from .activations import kappa
from .pairs import flip, matched
from .weights import Weights, of


def depth_floor(weights: Weights | None = None) -> arb:
    """(1 − b²)^(−2/3)."""
    return ((1 - of(weights).b ** 2).log() * fmpq(-2, 3)).exp()


def residual_limit(rate: fmpq, weights: Weights | None = None) -> arb:
    """(1 − J(c_flip))/(v(1 − J(c_shift/√v))), J = 2κ/√v."""
    (c, _), (c_shift, v) = flip(rate), matched(rate, weights)
    return (1 - 2 * kappa(c, arb(1))) / (v - 2 * v.sqrt() * kappa(c_shift, v))


def residual_first_ratio(weights: Weights | None = None) -> arb:
    """1/(1 − b²/3)."""
    return 1 / (1 - of(weights).b ** 2 / 3)
