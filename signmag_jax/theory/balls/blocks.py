"""Gated blocks, and blocks behind LayerNorm, in ball arithmetic."""

from flint import arb, fmpq

from .activations import second_moments
from .pairs import Pair, flip, matched
from .second_moments import SecondMoments
from .weights import Weights

WHOLE: Pair = (arb(1), arb(1))


def block_ratio(
    rate: fmpq,
    activation: str = "relu",
    gated: str = "no",
    norm: str = "rms",
    scale: fmpq | None = None,
    weights: Weights | None = None,
) -> arb:
    """T of the flips over that of the shift."""

    def transverse(pair: Pair) -> arb:
        found = second_moments(activation, *(WHOLE if gated == "up" else pair), scale)
        if gated != "no":
            # Times an independent pre-activation, of no mean.
            c, v = WHOLE if gated == "gate" else pair
            found = SecondMoments(found.own, found.other * v, found.cross * c, arb(0), arb(0))
        if norm == "layer":
            m, other = found.mean, found.other_mean
            found = SecondMoments(
                found.own - m**2, found.other - other**2, found.cross - m * other, arb(0), arb(0)
            )
        return found.transverse

    return transverse(flip(rate)) / transverse(matched(rate, weights))
