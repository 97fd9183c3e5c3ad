"""Power series with exact coefficients, computed by composition of analytic functions.

A jet is the list of Taylor coefficients up to an order, each kept in normal form. SymPy's `series` and
`limit` are not asked: composition is by the differential equations of the functions involved.
"""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, no_type_check

import sympy as sp

from .facts import Refused
from .normal import canonical


class Jet(NamedTuple):
    """Σ_k terms[k] x^{shift + k} + O(x^{shift + len(terms)}); a negative shift is a pole."""

    shift: int
    terms: list[sp.Expr]


@dataclass(frozen=True)
class Series:
    """The right side is the Taylor polynomial of the left in `variable` at 0, up to but without `order`.

    After this step equality is meant up to O(variable^order). With order 1 it is the limit at 0.
    """

    variable: sp.Symbol
    order: int
    kind: ClassVar[str] = "series"

    def differences(self, lhs: sp.Expr, rhs: sp.Expr) -> tuple[sp.Expr, ...]:
        claimed = sp.Poly(sp.expand(rhs), self.variable)
        if claimed.degree() >= self.order:
            raise Refused(f"the claimed polynomial reaches order {claimed.degree()}")
        return tuple(
            coefficient - claimed.coeff_monomial(self.variable**power)
            for power, coefficient in enumerate(jet(lhs, self.variable, self.order))
        )


def jet(expr: sp.Expr, x: sp.Symbol, order: int) -> list[sp.Expr]:
    """The first `order` Taylor coefficients of `expr` at x = 0.

    Quotients and roots lose orders to their valuation; the working order is raised until enough are left.
    """
    for extra in range(9):
        try:
            shift, terms = _trim(_Composer(x, order + extra).compose(expr))
        except _OrdersLost:
            continue
        if terms and shift < 0:
            raise Refused("the expression has a pole at 0")
        if shift + len(terms) >= order:
            return ([sp.Integer(0)] * shift + terms)[:order]
    raise Refused("too many orders are lost to cancellation")


class _OrdersLost(ArithmeticError):
    """A divisor vanishes to the working order."""


@no_type_check
class _Composer:
    """Composes jets bottom-up; equal subexpressions are done once."""

    def __init__(self, x: sp.Symbol, order: int) -> None:
        self.x, self.order = x, order
        self.known: dict[sp.Expr, Jet] = {}

    def compose(self, expr: sp.Expr) -> Jet:
        if expr not in self.known:
            self.known[expr] = self._compose(expr)
        return self.known[expr]

    def _compose(self, expr: sp.Expr) -> Jet:
        if not expr.has(self.x):
            return Jet(0, [canonical(expr)] + [sp.Integer(0)] * (self.order - 1))
        if expr == self.x:
            return Jet(1, [sp.Integer(1)] + [sp.Integer(0)] * (self.order - 1))
        if expr.is_Add:
            return _sum([self.compose(part) for part in expr.args])
        if expr.is_Mul:
            product = self.compose(expr.args[0])
            for part in expr.args[1:]:
                product = _product(product, self.compose(part))
            return product
        if expr.is_Pow and expr.exp.is_Rational:
            return _power(self.compose(expr.base), sp.Rational(expr.exp))
        return self._function(expr)

    def _function(self, expr: sp.Expr) -> Jet:
        """f(g) = f(g(0)) + ∫ f'(g) g' for functions whose derivative is algebraic; and exp."""
        inner = _padded(self.compose(expr.args[0]))
        start = canonical(expr.func(inner.terms[0]))
        if start.has(sp.zoo, sp.nan):
            raise Refused(f"{expr.func.__name__} is not analytic at {inner.terms[0]}")
        if expr.func is sp.exp:
            return Jet(0, _exponential(inner.terms))
        if expr.func in (sp.sin, sp.cos):
            sine, cosine = _circular(inner.terms)
            return Jet(0, sine if expr.func is sp.sin else cosine)
        rate = _product(_slope(expr.func, inner), Jet(0, [k * g for k, g in enumerate(inner.terms)][1:]))
        rate = _padded(rate)
        return Jet(0, [start] + [canonical(a / (k + 1)) for k, a in enumerate(rate.terms)])


def _slope(function: type, g: Jet) -> Jet:
    """f'(g) for the functions known here."""
    square = _product(g, g)
    one = Jet(0, [sp.Integer(1)] + [sp.Integer(0)] * (len(g.terms) - 1))
    if function is sp.atan:
        return _power(_sum([one, square]), sp.Integer(-1))
    if function is sp.log:
        return _power(g, sp.Integer(-1))
    if function in (sp.asin, sp.acos):
        root = _power(_sum([one, _scaled(square, -1)]), -sp.S.Half)
        return root if function is sp.asin else _scaled(root, -1)
    raise Refused(f"no series rule for {function.__name__}")


def _scaled(a: Jet, factor: int) -> Jet:
    return Jet(a.shift, [factor * x for x in a.terms])


def _trim(a: Jet) -> Jet:
    lead = next((k for k, x in enumerate(a.terms) if x != 0), len(a.terms))
    return Jet(a.shift + lead, a.terms[lead:])


def _padded(a: Jet) -> Jet:
    """The terms of `a` from the constant one on, with a 0 for each that `a` leaves out."""
    a = a if a.shift >= 0 else _trim(a)
    if a.shift < 0:
        raise Refused("a function is taken at a pole")
    return Jet(0, [sp.Integer(0)] * a.shift + a.terms)


def _sum(jets: list[Jet]) -> Jet:
    low = min(a.shift for a in jets)
    high = min(a.shift + len(a.terms) for a in jets)
    columns = ([a.terms[k - a.shift] for a in jets if k >= a.shift] for k in range(low, high))
    return Jet(low, [canonical(sp.Add(*column)) for column in columns])


def _product(a: Jet, b: Jet) -> Jet:
    length = min(len(a.terms), len(b.terms))
    terms = [canonical(sp.Add(*(a.terms[i] * b.terms[k - i] for i in range(k + 1)))) for k in range(length)]
    return Jet(a.shift + b.shift, terms)


def _power(a: Jet, exponent: sp.Rational) -> Jet:
    """a^r by k a_0 y_k = Σ_i (i r − (k − i)) a_i y_{k−i}, after the leading power of x is taken out."""
    a = _trim(a)
    if not a.terms:
        if exponent < 0:
            raise _OrdersLost
        return Jet(int(sp.floor(a.shift * exponent)), [])
    shift = a.shift * exponent
    if shift.q != 1:
        raise Refused("a root of an odd power of the variable is not analytic")
    y = [canonical(sp.Pow(a.terms[0], exponent))]
    for k in range(1, len(a.terms)):
        terms = ((i * exponent - (k - i)) * a.terms[i] * y[k - i] for i in range(1, k + 1))
        y.append(canonical(sp.Add(*terms) / (k * a.terms[0])))
    return Jet(int(shift), y)


def _exponential(g: list[sp.Expr]) -> list[sp.Expr]:
    """y' = g' y."""
    y = [canonical(sp.exp(g[0]))]
    for k in range(1, len(g)):
        y.append(canonical(sp.Add(*(i * g[i] * y[k - i] for i in range(1, k + 1))) / k))
    return y


def _circular(g: list[sp.Expr]) -> tuple[list[sp.Expr], list[sp.Expr]]:
    """S' = g' C, C' = −g' S."""
    sine, cosine = [canonical(sp.sin(g[0]))], [canonical(sp.cos(g[0]))]
    for k in range(1, len(g)):
        gain = canonical(sp.Add(*(i * g[i] * cosine[k - i] for i in range(1, k + 1))) / k)
        loss = canonical(sp.Add(*(i * g[i] * sine[k - i] for i in range(1, k + 1))) / k)
        sine.append(gain)
        cosine.append(-loss)
    return sine, cosine
