"""Values of expressions as Arb balls."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, no_type_check

import flint  # pyright: ignore[reportMissingImports]
import sympy as sp
from sympy.core.function import AppliedUndef

OPAQUE = (sp.Integral, sp.Sum, sp.Derivative, AppliedUndef)
"""Kinds of expressions that have no value at a point here."""
BITS = 200
"""Working precision, in bits."""

FUNCTIONS = {
    sp.exp: "exp",
    sp.log: "log",
    sp.sin: "sin",
    sp.cos: "cos",
    sp.asin: "asin",
    sp.acos: "acos",
    sp.atan: "atan",
    sp.erf: "erf",
    sp.sign: "sgn",
    sp.Abs: "__abs__",
}


class Unsupported(TypeError):
    """The expression holds something that has no ball evaluation here."""


@contextmanager
def precision() -> Iterator[None]:
    """Work with `BITS` bits."""
    flint.ctx.prec, before = BITS, flint.ctx.prec
    try:
        yield
    finally:
        flint.ctx.prec = before


def value(expr: sp.Expr, point: Mapping[sp.Basic, Any]) -> Any:
    """A ball that contains the real number `expr` where the point's parts have the given values."""
    with precision():
        return _value(expr, point)


@no_type_check  # visits every node of an expression: run-time checks would dominate
def _value(e: sp.Expr, point: Mapping[sp.Basic, Any]) -> Any:
    if e in point:
        return point[e]
    if e.is_Rational:
        return flint.arb(flint.fmpq(int(e.p), int(e.q)))
    if e is sp.pi:
        return flint.arb.pi()
    if e is sp.E:
        return flint.arb(1).exp()
    if e.is_Pow and e.exp.is_Rational and e.exp.q <= 2:
        base = _value(e.base, point)
        base = base if e.exp.q == 1 else base.sqrt()
        power = math.prod(
            [base] * abs(int(e.exp.p)), start=flint.arb(1)
        )  # `**` fails on balls that contain 0
        return power if e.exp.p > 0 else 1 / power
    if not (e.is_Add or e.is_Mul or e.is_Pow or e.func in FUNCTIONS):
        raise Unsupported(f"no ball evaluation for {e}")
    first, *others = [_value(part, point) for part in e.args]
    if e.is_Pow:
        return (others[0] * first.log()).exp()
    for other in others:
        first = first + other if e.is_Add else first * other
    return getattr(first, FUNCTIONS[e.func])() if e.func in FUNCTIONS else first
