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
        moments = second_moments(activation, *(WHOLE if gated == "up" else pair), scale)
        if gated != "no":
            # Times an independent pre-activation, of no mean.
            c, v = WHOLE if gated == "gate" else pair
            moments = SecondMoments(moments.own, moments.other * v, moments.cross * c, arb(0), arb(0))
        if norm == "layer":
            m, other = moments.mean, moments.other_mean
            moments = SecondMoments(
                moments.own - m**2, moments.other - other**2, moments.cross - m * other, arb(0), arb(0)
            )
        return moments.transverse

    return transverse(flip(rate)) / transverse(matched(rate, weights))
