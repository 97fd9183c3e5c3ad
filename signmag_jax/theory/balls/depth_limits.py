"""What a chain's ratio starts from and tends to, in ball arithmetic."""

from flint import arb, fmpq

from .activations import kappa
from .pairs import flip, matched


def depth_floor() -> arb:
    """(π/(π − 2))^(2/3)."""
    return ((arb.pi() / (arb.pi() - 2)).log() * fmpq(2, 3)).exp()


def residual_limit(rate: fmpq) -> arb:
    """(1 − J(c_flip))/(v(1 − J(c_shift/√v))), J = 2κ/√v."""
    (c, _), (c_shift, v) = flip(rate), matched(rate)
    return (1 - 2 * kappa(c, arb(1))) / (v - 2 * v.sqrt() * kappa(c_shift, v))


def residual_first_ratio() -> arb:
    """3π/(3π − 2)."""
    return 3 * arb.pi() / (3 * arb.pi() - 2)
