"""Finding Taylor polynomials: part by part, each checked by the kernel. Nothing here is trusted."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from .derived import join
from .kernel import Refused, by
from .normal import canonical
from .signs import settle


def expansion(e: sp.Expr, x: sp.Symbol, order: int, given: frozenset, known: tuple = ()) -> Any:
    """e = polynomial + o(x^order), x → 0 from above. `known` are equalities to parts that are analytic at 0.

    Raises:
      Refused: if e has no such expansion, or none is found.
    """
    # Cancellation costs orders, how many is seen afterwards: more are carried until enough are left.
    for extra in (0, 2, 3, 4, 5, 6, 9):
        with suppress(_OrdersLostError):
            fact = _Parts(x, order + extra, given, {one.lhs: one for one in known}).expanded(e)
            if fact.claim.order >= order:
                exact = fact.claim.order == order
                return fact if exact else join(fact, _taylor(fact.rhs, x, order, given))
    raise Refused("too many orders are lost to cancellation")


class _OrdersLostError(ArithmeticError):
    """A divisor vanishes to the working order."""


@dataclass
class _Parts:
    """Expands an expression part by part, equal parts once."""

    x: sp.Symbol
    order: int
    given: frozenset
    known: dict
    done: dict = field(default_factory=dict)

    def expanded(self, e: sp.Expr) -> Any:
        if e not in self.done:
            self.done[e] = self._expanded(e)
        return self.done[e]

    def _expanded(self, e: sp.Expr) -> Any:
        if e in self.known:
            return join(self.known[e], self.expanded(self.known[e].rhs))
        if not e.has(self.x) or e.is_polynomial(self.x):
            return _taylor(e, self.x, self.order, self.given)
        if e.is_Add:
            parts = [part for part in e.args if part.has(self.x)]
            names = [sp.Dummy("y", real=True) for _ in parts]
            rest = sp.Add(*(part for part in e.args if not part.has(self.x)))
            facts = {name: (self.expanded(part), 0) for name, part in zip(names, parts, strict=True)}
            return self._through(e, rest + sp.Add(*names), facts)
        if e.is_Mul or (e.is_Pow and e.exp.is_Rational):
            return self._product(e)
        name = sp.Dummy("y", real=True)
        return self._through(e, e.func(name), {name: (self.expanded(e.args[0]), 0)})

    def _product(self, e: sp.Expr) -> Any:
        """Factors may vanish at 0, divisors too: powers of x are taken out of them first."""
        x, template, shift, facts = self.x, sp.Integer(1), 0, {}
        for factor in sp.Mul.make_args(e):
            powers = factor.is_Pow and factor.exp.is_Rational and factor not in self.known
            base, power = factor.as_base_exp() if powers else (factor, sp.Integer(1))
            if base == x and power.is_Integer:
                shift += int(power)
            elif not factor.has(x):
                template *= factor
            else:
                fact = self.expanded(base)
                m = _valuation(fact.rhs, x)
                if m and not power.is_Integer:
                    base, power = base ** abs(power), sp.sign(power)
                    fact = self._root(base, m)
                    m = _valuation(fact.rhs, x)
                name = sp.Dummy("y", real=True)
                facts[name] = fact, m
                shift += m * int(power) if m else 0
                template *= name**power
        if not facts:
            return _taylor(e, x, self.order, self.given)
        fact = self._through(e * x**-shift, template, facts)
        if shift < 0:
            if fact.rhs != 0 and _valuation(fact.rhs, x) < -shift:
                raise Refused("the expression has a pole at 0")
            name = sp.Dummy("y", real=True)
            return self._through(e, name, {name: (fact, -shift)})
        if shift > 0:
            name = sp.Dummy("y", real=True)
            return self._through(e, x**shift * name, {name: (fact, 0)})
        return fact

    def _root(self, e: sp.Expr, m: int) -> Any:
        """√(x²f) is x√f, by the normal form, where x² is what leads the radicand."""
        lead = self.x ** (m * e.exp)
        whole = lead * sp.expand(e.base / self.x**m) ** e.exp
        if not (m * e.exp).is_Integer or whole == e:
            raise Refused(f"the root of {e.base} is not analytic at 0")
        return join(settle(by.same(e, whole), self.given), self.expanded(whole))

    def _through(self, e: sp.Expr, template: sp.Expr, facts: dict) -> Any:
        """e = template(parts), whose parts have expansions."""
        order = min(fact.claim.order - k for fact, k in facts.values())
        fact = _simple(by.taylor(template, self.x, order, facts), self.x, self.given)
        return fact if fact.lhs == e else join(settle(by.same(e, fact.lhs), self.given), fact)


def _valuation(polynomial: sp.Expr, x: sp.Symbol) -> int:
    if polynomial == 0:
        raise _OrdersLostError
    return min(power for (power,), _ in sp.Poly(polynomial, x).terms())


def _taylor(f: sp.Expr, x: sp.Symbol, n: int, given: frozenset) -> Any:
    """The Taylor polynomial of degree n."""
    return _simple(by.taylor(f, x, n, {}), x, given)


def _simple(fact: Any, x: sp.Symbol, given: frozenset) -> Any:
    """An expansion with simple coefficients."""
    fact, simple = settle(fact, given), _collected(fact.rhs, x)
    return fact if simple == fact.rhs else settle(join(fact, by.same(fact.rhs, simple)), given)


def _collected(polynomial: sp.Expr, x: sp.Symbol) -> sp.Expr:
    terms = sp.Poly(polynomial, x).terms()
    return sp.Add(*(canonical(coefficient) * x**k for (k,), coefficient in terms))
