"""Rigorous enclosures: a ball that contains the value of a law at exact arguments."""

import re
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
from flint import arb, ctx, fmpq

from signmag_jax.evidence import Incomplete, invalid
from signmag_jax.perturb import MagnitudeNoise, MagnitudeShift, SignFlip, SignQuantize, Ternarize

from . import balls
from .registry import Law, find
from .theorems import matched_shift

FIRST_BITS = 128
MOST_BITS = 1 << 16
BITS_PER_DIGIT = 3.3219281
_CALL = re.compile(r"^\s*(\w+)\s*(?:\((.*)\))?\s*$")
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


def enclose(law: str | Law, *, digits: int = 30, **arguments: Any) -> Ball | list[Ball]:
    """A ball with at least `digits` correct digits around the exact value of a law.

    Precision is doubled until the ball is that small, so cancellation and an acos near 1 cost bits, not
    digits.

    Args:
      law: a name in `LAWS` that has a closed form or a finite recursion.
      digits: relative accuracy in decimal digits, from 1 to 1000.
      **arguments: exact numbers (int, Fraction, Decimal, text like "1/100" or "1e-12"; a float stands for
        its binary value). A perturbation is an object or text, "SignFlip(1/100)", "matched_shift(1/100)".

    Returns:
      One `Ball`, or one for each layer of a depth law.

    Raises:
      InvalidInput: for a law without a ball, or arguments outside its domain.
      Incomplete: if 65,536 bits do not suffice, as where the exact value is 0 by cancellation.
    """
    found = find(law)
    if found.name not in balls.BALLS:
        known = ", ".join(sorted(balls.BALLS))
        raise invalid("law has a closed form", found.name, f"choose one of {known}")
    if not 1 <= digits <= 1000:
        raise invalid("1 <= digits <= 1000", digits, "ask for fewer digits")
    found.check(arguments)
    exact = {name: _argument(found, name, value) for name, value in arguments.items()}
    bits = FIRST_BITS
    while bits <= MOST_BITS:
        with ctx.workprec(bits):
            given = {name: value() if callable(value) else value for name, value in exact.items()}
            result = balls.BALLS[found.name](**given)
            parts = result if isinstance(result, list) else [result]
            if all(_accurate(part, digits) for part in parts):
                printed = [_printed(part, digits, bits) for part in parts]
                return printed if isinstance(result, list) else printed[0]
        bits *= 2
    raise Incomplete(
        f"{found.name}: {MOST_BITS} bits do not give {digits} digits; the value may be exactly 0"
    )


def exact_number(name: str, value: Any) -> fmpq:
    """The rational that a number or its text stands for exactly.

    Raises:
      InvalidInput: where there is none.
    """
    try:
        if isinstance(value, np.generic):
            value = value.item()
        fraction = Fraction(value.strip()) if isinstance(value, str) else Fraction(value)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError, AttributeError):
        raise invalid(
            f"{name} is an exact number", value, 'pass an integer, a Fraction or text like "1/100"'
        ) from None
    return fmpq(fraction.numerator, fraction.denominator)


def _argument(law: Law, name: str, value: Any) -> Any:
    allowed = law.arguments[name]
    if name == "perturbation":
        return _perturbation(value)
    if isinstance(allowed, tuple):
        return value
    number = exact_number(name, value)
    if name in ("depth", "n", "rows") and number.q != 1:
        raise invalid(f"{name} is an integer", value, "pass a count")
    if allowed is not None:
        allowed.require(name, float(Fraction(int(number.p), int(number.q))))
    return number


def _perturbation(value: Any) -> Any:
    """A function that gives (c, v) at the precision of the moment."""
    if isinstance(value, str):
        name, given = _parse(value)
    elif is_dataclass(value):
        name = type(value).__name__
        given = [getattr(value, field.name) for field in fields(value)]
    else:
        name, given = type(value).__name__, []
    if name not in balls.PAIRS:
        raise invalid(f"perturbation is one of {', '.join(sorted(balls.PAIRS))}", value, "pass one of these")
    exact = [_option(item) for item in given]
    try:
        balls.PAIRS[name](*exact)
    except TypeError:
        raise invalid(f"arguments of {name}", value, "pass its numbers in order, by position") from None
    _CLASSES[name](*[_float(item) for item in exact])  # refuses what lies outside its domain
    return lambda: balls.PAIRS[name](*exact)


_CLASSES: dict[str, Any] = {
    "SignFlip": SignFlip,
    "MagnitudeShift": MagnitudeShift,
    "matched_shift": matched_shift,
    "MagnitudeNoise": MagnitudeNoise,
    "SignQuantize": SignQuantize,
    "Ternarize": Ternarize,
}


def _float(item: Any) -> Any:
    if item is None:
        return "half_mean_abs"
    return item if isinstance(item, str) else float(Fraction(int(item.p), int(item.q)))


def _parse(text: str) -> tuple[str, list[str]]:
    match = _CALL.match(text)
    if match is None:
        raise invalid("perturbation reads Name(number, ...)", text, 'pass text like "SignFlip(1/100)"')
    inside = (match[2] or "").strip()
    parts = [part.strip() for part in inside.split(",")] if inside else []
    return match[1], [part.rpartition("=")[2].strip() for part in parts]


def _option(item: Any) -> Any:
    if isinstance(item, str):
        word = item.strip("'\"")
        if word == "half_mean_abs":
            return None
        if word in ("least_squares", "mean_abs"):
            return word
    return exact_number("perturbation argument", item)


def _accurate(ball: arb, digits: int) -> bool:
    if not ball.is_finite():
        return False
    return ball.is_exact() or ball.rel_accuracy_bits() >= BITS_PER_DIGIT * digits + 4


def _printed(ball: arb, digits: int, bits: int) -> Ball:
    # Arb rounds outwards: the decimal ball contains the binary one.
    match = _PRINTED.match(ball.str(digits + 2))
    if match is None or not match[1]:
        raise Incomplete(f"the ball {ball} has no decimal midpoint")
    radius = match[2] or "0"
    return Ball(str(Decimal(match[1])), str(Decimal(radius)), bits)
