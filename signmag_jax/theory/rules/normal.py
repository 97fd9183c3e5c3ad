"""A normal form that decides identities: rational functions over radicals, trigonometric and other atoms.

The expression is read as a quotient of polynomials in atoms. Atoms with an algebraic relation (a root R of
B obeys R^k = B, a sine obeys S² = 1 − C²) are reduced by it. A zero numerator is a proof of zero; a
non-zero one only says that these relations do not suffice.
"""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportAssignmentType=false, reportAttributeAccessIssue=false, reportReturnType=false

from collections.abc import Iterator
from functools import lru_cache
from typing import no_type_check

import sympy as sp


@lru_cache(maxsize=20000)
def canonical(expr: sp.Expr) -> sp.Expr:
    """The reduced quotient of polynomials that equals `expr`."""
    return _Reader().reduce(expr)


@no_type_check  # visits every node of an expression: run-time checks would dominate
class _Reader:
    """Reads an expression into dummies for its atoms and keeps the relations they obey."""

    def __init__(self) -> None:
        self.dummy: dict[sp.Expr, sp.Symbol] = {}
        self.relation: dict[sp.Symbol, tuple[int, sp.Expr]] = {}

    def reduce(self, expr: sp.Expr) -> sp.Expr:
        numerator, denominator = self._quotient(self.read(expr))
        return self._back(sp.cancel(numerator / denominator))

    def _quotient(self, expr: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
        """Coprime numerator and denominator, reduced by the relations."""
        numerator, denominator = self._lower(*sp.fraction(sp.together(expr)))
        return sp.fraction(sp.cancel(numerator / denominator))

    def _back(self, expr: sp.Expr) -> sp.Expr:
        return expr.xreplace({dummy: atom for atom, dummy in self.dummy.items()})

    def _lower(self, numerator: sp.Expr, denominator: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
        """Apply the relations until no atom's power reaches its relation's degree."""
        while True:
            numerator, extra_n = self._pass(numerator)
            denominator, extra_d = self._pass(denominator)
            if extra_n == 1 and extra_d == 1:
                return numerator, denominator
            numerator, denominator = sp.expand(numerator * extra_d), sp.expand(denominator * extra_n)

    def _pass(self, expr: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
        """One reduction of every relation; the second value is the denominator it brings in."""
        expr, divisor = sp.expand(expr), sp.Integer(1)
        changed = True
        while changed:
            changed = False
            for dummy, (degree, value) in self.relation.items():
                if not _reaches(expr, dummy, degree):
                    continue
                changed = True
                expr = sum(
                    (
                        coefficient * dummy ** (power % degree) * value ** (power // degree)
                        for (power,), coefficient in sp.Poly(expr, dummy, expand=False).terms()
                    ),
                    sp.Integer(0),
                )
                expr, below = sp.fraction(sp.together(expr))
                expr, divisor = sp.expand(expr), divisor * below
        return expr, divisor

    def read(self, expr: sp.Expr) -> sp.Expr:
        """The expression over dummies."""
        if expr.is_Rational or expr.is_Symbol:
            return expr
        if isinstance(expr, sp.Add | sp.Mul):
            return expr.func(*(self.read(part) for part in expr.args))
        if isinstance(expr, sp.Pow) and expr.exp.is_Rational:
            return self._power(expr.base, sp.Rational(expr.exp))
        if isinstance(expr, sp.sin | sp.cos):
            return self._circular(expr)
        if isinstance(expr, sp.exp):
            return self._exponential(sp.expand(canonical(expr.args[0])))
        if isinstance(expr, sp.Integral | sp.Sum):
            return self._linear(expr)
        if isinstance(expr, sp.Abs) and expr.args[0].is_extended_real:
            return self._magnitude(expr)
        return self._atom(_canonical_arguments(expr))

    def _linear(self, whole: sp.Expr) -> sp.Expr:
        """An integral or sum as its terms, with what does not depend on its variables in front."""
        total = sp.Integer(0)
        for outside, inside in terms(canonical(whole.function), [limits[0] for limits in whole.limits]):
            core = whole.func(inside, *whole.limits)
            total += self.read(outside) * (0 if inside == 0 else self._dummy_of(core))
        return total

    def _magnitude(self, expr: sp.Expr) -> sp.Expr:
        """|x| of a real x, with |x|² = x²; positive factors come out by SymPy's own evaluation."""
        bars = sp.Abs(sp.factor_terms(sp.expand(canonical(expr.args[0]))))
        if not isinstance(bars, sp.Abs):
            return self.read(bars)
        dummy = self._dummy_of(bars)
        self.relation.setdefault(dummy, (2, self.read(bars.args[0]) ** 2))
        return dummy

    def _dummy_of(self, atom: sp.Expr) -> sp.Expr:
        return self.dummy.setdefault(atom, sp.Dummy(f"atom{len(self.dummy)}"))

    def _atom(self, expr: sp.Expr) -> sp.Expr:
        if expr.is_Rational or isinstance(expr, sp.Add | sp.Mul) or (expr.is_Pow and expr.exp.is_Rational):
            return self.read(expr)
        return self._dummy_of(expr)

    def _power(self, base: sp.Expr, exponent: sp.Rational) -> sp.Expr:
        if exponent.q == 1:
            return self.read(base) ** exponent
        above, below = self._quotient(self.read(base))
        number, factors = _factors(above)
        divisor, below_factors = _factors(below)
        return self._roots(number / divisor, [*factors, *((f, -k) for f, k in below_factors)], exponent)

    def _roots(self, number: sp.Rational, powers: list, exponent: sp.Rational) -> sp.Expr:
        """Root of a product: factors known to be positive come out one by one, the rest stays together."""
        product, rest = sp.Integer(1), sp.Integer(-1 if number < 0 else 1)
        for prime, power in sp.factorrat(abs(number)).items():
            product *= self._root(sp.Integer(prime), exponent.q, power * exponent.p)
        for factor, power in powers:
            if self._back(factor).is_positive:
                product *= self._root(factor, exponent.q, power * exponent.p)
            else:
                rest *= factor**power
        if rest == 1:
            return product
        return product * self._root(sp.expand(rest), exponent.q, exponent.p)

    def _root(self, base: sp.Expr, degree: int, power: int) -> sp.Expr:
        """base^{power/degree} as a natural power of the root's dummy times a power of the base.

        No root stands in a denominator by itself, so that 1/√π and √π/π read alike.
        """
        atom = sp.Pow(self._back(base), sp.Rational(1, degree), evaluate=False)
        if atom not in self.dummy:
            self.dummy[atom] = sp.Dummy(f"root{len(self.dummy)}")
            self.relation[self.dummy[atom]] = (degree, base)
        return self.dummy[atom] ** (power % degree) * base ** (power // degree)

    def _exponential(self, exponent: sp.Expr) -> sp.Expr:
        """A product over the terms of the exponent, in powers of exp(term/2): e^{−x²} is (e^{x²/2})^{−2}."""
        product = sp.Integer(1)
        for term in sp.Add.make_args(exponent):
            number, monomial = term.as_coeff_Mul()
            half, power = (monomial / 2, 2 * number) if (2 * number).is_Integer else (number * monomial, 1)
            product *= self.dummy.setdefault(sp.exp(half), sp.Dummy(f"exp{len(self.dummy)}")) ** power
        return product

    def _circular(self, expr: sp.Expr) -> sp.Expr:
        expanded = sp.expand_trig(expr.func(canonical(expr.args[0])))
        if not isinstance(expanded, sp.sin | sp.cos):
            return self.read(expanded)
        angle = expanded.args[0]
        sine, cosine = sp.sin(angle), sp.cos(angle)
        if sine not in self.dummy:
            self.dummy[cosine] = sp.Dummy(f"cosine{len(self.dummy)}")
            self.dummy[sine] = sp.Dummy(f"sine{len(self.dummy)}")
            # Of sine alone: with a relation of both, each would turn the other back without end.
            self.relation[self.dummy[sine]] = (2, 1 - self.dummy[cosine] ** 2)
        return self.dummy[expanded]


@no_type_check
def terms(function: sp.Expr, variables: list[sp.Symbol]) -> Iterator[tuple[sp.Expr, sp.Expr]]:
    """The terms of an expanded function, each as what is free of the variables times the rest."""
    # Powers stay whole: √(ab) is √a√b for some signs only.
    for term in sp.Add.make_args(sp.expand(function, power_base=False, power_exp=False)):
        yield term.as_independent(*variables, as_Add=False)


def _factors(expr: sp.Expr) -> tuple[sp.Rational, list[tuple[sp.Expr, int]]]:
    """Rational content and irreducible factors of a polynomial in atoms."""
    if expr.is_Rational:
        return sp.Rational(expr), []
    number, factors = sp.factor_list(expr)
    return sp.Rational(number), [(factor, int(power)) for factor, power in factors]


def _canonical_arguments(expr: sp.Expr) -> sp.Expr:
    """Rebuild an atom on the canonical form of what it is a function of."""
    if isinstance(expr, sp.Function):
        return expr.func(*(canonical(argument) for argument in expr.args))
    return expr


def _reaches(expanded: sp.Expr, x: sp.Symbol, degree: int) -> bool:
    """Whether a polynomial, expanded, has this power of x or a higher one."""
    powers = (power for power in expanded.atoms(sp.Pow) if power.base == x and power.exp.is_Integer)
    return any(power.exp >= degree for power in powers)
