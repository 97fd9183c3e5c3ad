"""Rigorous values of expressions and definite integrals, as Arb balls at exact rational points."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false

from collections.abc import Iterator, Mapping
from typing import Any, no_type_check

import flint  # pyright: ignore[reportMissingImports]
import sympy as sp

BITS = 160
"""Working precision. Points and expressions here are benign: about 40 digits survive."""

CUT = 17
"""Where a Gaussian integral is cut; the tail beyond it is bounded, not neglected."""

_FUNCTIONS = {
    sp.exp: "exp",
    sp.log: "log",
    sp.sin: "sin",
    sp.cos: "cos",
    sp.asin: "asin",
    sp.acos: "acos",
    sp.atan: "atan",
    sp.erf: "erf",
    sp.Abs: "__abs__",
}


class Unsupported(TypeError):
    """The expression holds something that has no ball evaluation here."""


@no_type_check  # visits every node of an expression: run-time checks would dominate
def value(expr: sp.Expr, point: Mapping[sp.Symbol, Any]) -> Any:
    """The ball of `expr` at `point` (symbols to arb or acb); real arguments give real balls."""
    if expr.is_Rational:
        return flint.arb(flint.fmpq(int(expr.p), int(expr.q)))
    if expr is sp.pi:
        return flint.arb.pi()
    if expr.is_Symbol:
        return point[expr]
    if isinstance(expr, sp.Add | sp.Mul):
        return _fold(expr, point)
    if isinstance(expr, sp.Pow):
        return _power(expr, point)
    if isinstance(expr, sp.Integral) and len(expr.limits) == 1:
        return integral(expr, point)
    if expr.func in _FUNCTIONS:
        return getattr(value(expr.args[0], point), _FUNCTIONS[expr.func])()
    raise Unsupported(f"no ball evaluation for {expr.func.__name__}")


@no_type_check
def _fold(expr: sp.Expr, point: Mapping[sp.Symbol, Any]) -> Any:
    total = value(expr.args[0], point)
    for part in expr.args[1:]:
        total = total + value(part, point) if expr.is_Add else total * value(part, point)
    return total


@no_type_check
def _power(expr: sp.Pow, point: Mapping[sp.Symbol, Any]) -> Any:
    base = value(expr.base, point)
    if expr.exp.is_Integer:
        return base ** int(expr.exp)
    if expr.exp == sp.Rational(1, 2):
        return base.sqrt()
    if expr.exp == -sp.Rational(1, 2):
        return 1 / base.sqrt()
    return (value(expr.exp, point) * base.log()).exp()


def integral(expr: sp.Integral, point: Mapping[sp.Symbol, Any]) -> flint.arb:
    """Enclosure of a one-dimensional definite integral of a function that is entire in its variable."""
    limits: Any = expr.limits[0]
    variable, low, high = limits
    if low == -sp.oo and high == sp.oo:
        return integral(expr.func(expr.function, (variable, 0, sp.oo)), point) + integral(
            expr.func(expr.function, (variable, -sp.oo, 0)), point
        )
    if low == -sp.oo:
        flipped = expr.function.subs(variable, -variable)
        return integral(expr.func(flipped, (variable, -high, sp.oo)), point)
    below = value(low, point)
    if high != sp.oo:
        return _quadrature(expr.function, variable, below, value(high, point), point)
    head = _quadrature(expr.function, variable, below, flint.arb(CUT), point)
    return head + _tail(expr.function, variable, point)


def _quadrature(function: sp.Expr, variable: sp.Symbol, low: Any, high: Any, point: Mapping) -> flint.arb:
    inside = {symbol: flint.acb(ball) for symbol, ball in point.items()}
    if function.has(sp.Abs):
        raise Unsupported("an integrand with a kink must be split first")
    result = flint.acb.integral(lambda x, _: flint.acb(value(function, {**inside, variable: x})), low, high)
    return result.real


def _tail(function: sp.Expr, variable: sp.Symbol, point: Mapping) -> flint.arb:
    """0 ± a bound of ∫_X^∞ Σ_k a_k x^k e^{−x²/2} dx, by ∫_X^∞ x^k e^{−x²/2} ≤ 2 X^{k−1} e^{−X²/2}.

    The last bound holds for 0 ≤ k and X² ≥ 2k: the integrand's logarithmic derivative is at most −X/2.
    """
    decay = sp.exp(-(variable**2) / 2)
    factor = sp.Poly(sp.expand(sp.powsimp(function / decay)), variable)
    bound = flint.arb(0)
    for (power,), coefficient in factor.terms():
        if 2 * power > CUT**2:
            raise Unsupported("the polynomial before the Gaussian has too high a degree")
        bound += abs(value(coefficient, point)) * flint.arb(CUT) ** (power - 1) * 2
    bound *= (-(flint.arb(CUT) ** 2) / 2).exp()
    return flint.arb(0, bound.upper())


def _symbols(expr: sp.Expr) -> list[sp.Symbol]:
    """Free symbols in a fixed order, so that every run uses the same points."""
    return sorted((symbol for symbol in expr.free_symbols if isinstance(symbol, sp.Symbol)), key=str)


def points(symbols: list[sp.Symbol], domain: Mapping[sp.Symbol, tuple], count: int) -> Iterator[dict]:
    """Exact rational points inside the domain, as balls; (0, 1/2) where no interval is declared.

    Interval ends may be rational or contain π; each point is a rational share of its interval.
    """
    for index in range(count):
        yield {
            symbol: _between(domain.get(symbol, (0, sp.Rational(1, 2))), index, rank)
            for rank, symbol in enumerate(symbols)
        }


def _between(interval: tuple, index: int, rank: int) -> flint.arb:
    low, high = (value(sp.sympify(end), {}) for end in interval)
    share = flint.fmpq(5 + 7 * index + 3 * rank, 37 + 11 * index + 2 * rank)
    return low + (high - low) * flint.arb(share - int(share))


def refutation(difference: sp.Expr, domain: Mapping[sp.Symbol, tuple], count: int = 2) -> str | None:
    """A point at which `difference` is certainly not zero, as text; None if none was found.

    None proves nothing: it only means that the symbolic rule has to decide.
    """
    symbols = _symbols(difference)
    flint.ctx.prec, before = BITS, flint.ctx.prec
    try:
        for point in points(symbols, domain, count):
            ball = value(difference, point)
            if ball.is_finite() and not ball.contains(0):
                where = ", ".join(f"{symbol} = {point[symbol].str(6, radius=False)}" for symbol in symbols)
                return f"the sides differ by {ball.str(8, radius=False)}" + (f" at {where}" if where else "")
    except Unsupported:
        return None
    finally:
        flint.ctx.prec = before
    return None


def disagreement(difference: sp.Expr, domain: Mapping[sp.Symbol, tuple], count: int = 2) -> str | None:
    """What speaks against `difference` = 0 at rational points; None if balls narrower than 1e-25 agree."""
    symbols = _symbols(difference)
    flint.ctx.prec, before = BITS, flint.ctx.prec
    try:
        for point in points(symbols, domain, count):
            ball = value(difference, point)
            if not ball.contains(0) or not ball.rad() < flint.arb("1e-25"):
                return f"the integral and its claimed value differ by {ball}"
    finally:
        flint.ctx.prec = before
    return None
