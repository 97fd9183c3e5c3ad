"""Rigorous enclosures: a ball that contains the value of a law at exact arguments."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from flint import arb, ctx

from signmag_jax.evidence import Incomplete, invalid
from signmag_jax.evidence.counts import counting

from . import balls, exact
from .registry import Law, find

# 30 digits, the default, take 104, and most laws lose few.
FIRST_BITS = 128
MOST_BITS = 1 << 16
# log₂ 10, rounded up.
BITS_PER_DIGIT = 3.3219281
WITHOUT = {"finite_width_depth_ratios": "it is a law to first order in 1/n, whose remainder has no bound; "}
"""Laws that no ball can hold, and why."""
_PRINTED = re.compile(r"^\[?\s*([^\s\]]*?)\s*(?:\+/- ([^\]]+))?\]?$")


@dataclass(frozen=True)
class Ball:
    """The value lies within `radius` of `midpoint`, both decimal text; `bits` of precision sufficed."""

    midpoint: str
    radius: str
    bits: int

    def __float__(self) -> float:
        return float(self.midpoint)

    @property
    def pair(self) -> tuple[str, str]:
        """(midpoint, radius), as `Estimate.enclosure` holds them."""
        return self.midpoint, self.radius


@counting
def enclose(law: str | Law, *, digits: int = 30, **arguments: Any) -> Ball | list[Ball]:
    """A ball with at least `digits` correct digits around the exact value of a law.

    Precision is doubled until the ball is that small, so cancellation and an acos near 1 cost bits, not
    digits.

    Args:
      law: a name in `LAWS` that has a closed form, a finite sum or recursion, or a quadrature with a bound.
      digits: relative accuracy in decimal digits, from 1 to 1000.
      **arguments: exact numbers (int, Fraction, Decimal, text like "1/100" or "1e-12"; a float stands for
        its binary value), sequences of them for columns. A perturbation is an object or text,
        "SignFlip(1/100)", "matched_shift(1/100)", "SignQuantize@32" for groups of 32, or several in turn,
        "SignFlip(1/100)+Ternarize(twn)".

    Returns:
      One `Ball`, or one for each layer of a depth law.

    Raises:
      InvalidInput: for a law without a ball, or arguments outside its domain.
      Incomplete: if 65,536 bits do not suffice (512 for a quadrature), as where the exact value is 0 by
        cancellation.
    """
    law = find(law)
    if law.name not in balls.BALLS:
        known = ", ".join(sorted(balls.BALLS))
        raise invalid("law has a ball", law.name, f"{WITHOUT.get(law.name, '')}choose one of {known}")
    if not 1 <= digits <= 1000:
        raise invalid("1 <= digits <= 1000", digits, "ask for fewer digits")
    law.check(arguments)
    given = exact.arguments(law, arguments)
    bits = FIRST_BITS
    while bits <= MOST_BITS:
        with ctx.workprec(bits):
            here = {name: value() if callable(value) else value for name, value in given.items()}
            result = balls.BALLS[law.name](**here)
            parts = result if isinstance(result, list) else [result]
            if all(_accurate(part, digits) for part in parts):
                printed = [_printed(part, digits, bits) for part in parts]
                return printed if isinstance(result, list) else printed[0]
        bits *= 2
    raise Incomplete(f"{law.name}: {MOST_BITS} bits do not give {digits} digits; the value may be exactly 0")


def _accurate(ball: arb, digits: int) -> bool:
    if not ball.is_finite():
        return False
    # Four bits more than asked for: turning the ball into decimals widens it again.
    return ball.is_exact() or ball.rel_accuracy_bits() >= BITS_PER_DIGIT * digits + 4


def _printed(ball: arb, digits: int, bits: int) -> Ball:
    # Arb rounds outwards: the decimal ball contains the binary one.
    match = _PRINTED.match(ball.str(digits + 2))
    if match is None or not match[1]:
        raise Incomplete(f"the ball {ball} has no decimal midpoint")
    radius = match[2] or "0"
    return Ball(str(Decimal(match[1])), str(Decimal(radius)), bits)
