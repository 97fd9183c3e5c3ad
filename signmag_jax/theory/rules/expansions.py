"""Finding Taylor polynomials: part by part, each checked by the kernel. Nothing here is trusted."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from typing import Any

import sympy as sp

from .kernel import Refused, by
from .normal import canonical
from .signs import settle


def expansion(e: sp.Expr, x: sp.Symbol, order: int, given: frozenset) -> Any:
    """e = polynomial + O(x^order), x → 0 from above.

    Raises:
      Refused: if e has no such expansion, or none is found.
    """
    for extra in range(9):
        try:
            fact = _expanded(e, x, order + extra, given)
        except _OrdersLostError:
            continue
        if fact.claim.order >= order:
            return _cut_off(fact, x, order, given)
    raise Refused("too many orders are lost to cancellation")


class _OrdersLostError(ArithmeticError):
    """A divisor vanishes to the working order."""


def _expanded(e: sp.Expr, x: sp.Symbol, n: int, given: frozenset) -> Any:
    if not e.has(x) or e.is_polynomial(x):
        return _taylor(e, x, n, given)
    if e.is_Add:
        parts = [part for part in e.args if part.has(x)]
        names = [sp.Dummy("y", real=True) for _ in parts]
        rest = sp.Add(*(part for part in e.args if not part.has(x)))
        facts = [_expanded(part, x, n, given) for part in parts]
        return _through(e, rest + sp.Add(*names), dict(zip(names, facts, strict=True)), x, given)
    if e.is_Mul or (e.is_Pow and e.exp.is_Rational):
        return _product(e, x, n, given)
    name = sp.Dummy("y", real=True)
    return _through(e, e.func(name), {name: _expanded(e.args[0], x, n, given)}, x, given)


def _product(e: sp.Expr, x: sp.Symbol, n: int, given: frozenset) -> Any:
    """Factors may vanish at 0, divisors too: powers of x are taken out of them first."""
    template, shift, facts = sp.Integer(1), 0, {}
    for factor in sp.Mul.make_args(e):
        base, power = (factor.base, factor.exp) if factor.is_Pow and factor.exp.is_Rational else (factor, sp.Integer(1))
        if base == x and power.is_Integer:
            shift += int(power)
        elif not factor.has(x):
            template *= factor
        else:
            name = sp.Dummy("y", real=True)
            fact = _expanded(base, x, n, given)
            m = _valuation(fact.rhs, x)
            if m and not power.is_Integer:
                raise Refused(f"a root of {base} is not analytic at 0")
            facts[name] = by.lowered(fact, m) if m else fact
            shift += m * int(power) if m else 0
            template *= name**power
    if not facts:
        return _taylor(e, x, n, given)
    lead = e * x**-shift
    fact = _through(lead, template, facts, x, given)
    if shift < 0:
        if fact.rhs != 0 and _valuation(fact.rhs, x) < -shift:
            raise Refused("the expression has a pole at 0")
        return by.lowered(fact, -shift)
    if shift > 0:
        y, z = sp.symbols("y z", cls=sp.Dummy, real=True)
        return _through(e, y * z, {y: _taylor(x**shift, x, n, given), z: fact}, x, given)
    return fact


def _valuation(polynomial: sp.Expr, x: sp.Symbol) -> int:
    if polynomial == 0:
        raise _OrdersLostError
    return min(power for (power,), _ in sp.Poly(polynomial, x).terms())


def _through(e: sp.Expr, template: sp.Expr, facts: dict, x: sp.Symbol, given: frozenset) -> Any:
    """e = template(parts), whose parts have expansions."""
    fact = settle(by.through(template, facts), given)
    if fact.lhs != e:
        fact = by.join(by.same(e, fact.lhs), fact)
    polynomial = _taylor(fact.rhs, x, fact.claim.order, given)
    return settle(by.join(fact, polynomial), given)


def _taylor(f: sp.Expr, x: sp.Symbol, n: int, given: frozenset) -> Any:
    slopes, at = [], f
    for _ in range(n):
        fact = by.slope(at, x)
        simple = sp.expand(fact.rhs) if fact.rhs.is_polynomial(x) else fact.rhs
        slopes.append(fact if simple == fact.rhs else by.join(fact, by.same(fact.rhs, simple)))
        at = simple
    fact = settle(by.taylor(f, x, *slopes), given)
    collected = sp.Poly(sp.expand(fact.rhs), x)
    simple = sp.Add(*(canonical(c) * x**k for (k,), c in collected.terms()))
    return fact if simple == fact.rhs else by.join(fact, by.same(fact.rhs, simple))


def _cut_off(fact: Any, x: sp.Symbol, order: int, given: frozenset) -> Any:
    return fact if fact.claim.order == order else by.join(fact, _taylor(fact.rhs, x, order, given))
