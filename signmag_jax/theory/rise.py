"""Where a residual chain's ratio rises and where it first falls at one finite rate, decided by balls."""

from itertools import pairwise
from typing import Any

from flint import arb, ctx

from signmag_jax.evidence import Incomplete
from signmag_jax.evidence.counts import counting

from .enclosure import Ball, enclose

DIGITS = 30


@counting
def first_fall(rate: Any, depth: int = 64, weights: Any = "gaussian") -> int | None:
    """The first L < `depth` with C_{L+1} < C_L in the residual ReLU chain; None if each of its layers rises.

    An interval proof at this one rate and up to this depth: all C_L are enclosed in balls, and a rise or fall
    counts only where two balls are apart. It says nothing of deeper layers or of other rates, near or far;
    for p → 0 the rise at every layer is derived, in proofs/residual_rise.py.

    Args:
      rate: one flip rate in (0, 1/2], exact as for `enclose`: "1/100".
      depth: number of layers.
      weights: law of the weights, as for `enclose`.

    Raises:
      InvalidInput: for arguments outside.
      Incomplete: where two neighbouring balls overlap, so that neither is certain.
    """
    chain = {"rate": rate, "depth": depth, "weights": weights, "residual": True}
    layers: Any = enclose("depth_ratios", **chain, digits=DIGITS)
    with ctx.workprec(8 * DIGITS):
        balls = [_ball(each) for each in layers]
        for layer, (here, following) in enumerate(pairwise(balls), start=1):
            if following < here:
                return layer
            if not following > here:
                raise Incomplete(f"layers {layer} and {layer + 1} are not told apart by {DIGITS} digits")
    return None


def _ball(ball: Ball) -> arb:
    return arb(f"{ball.midpoint} +/- {ball.radius}")
