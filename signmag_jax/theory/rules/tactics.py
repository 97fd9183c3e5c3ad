"""Ways to find facts: each tries the rules of the kernel, which decide. Nothing here is trusted."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportAssignmentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false, reportOperatorIssue=false, reportReturnType=false

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import sympy as sp

from .derived import antiderivative, inside, join
from .kernel import Claim, Refused, by, slope, written
from .normal import canonical, terms
from .signs import settle

Given = frozenset


def joined(fact: Any, target: sp.Expr) -> Any:
    """The equality with another right side, if the normal forms agree."""
    return fact if fact.rhs == target else join(fact, by.same(fact.rhs, target))


def rewritten(left: sp.Expr, right: sp.Expr, facts: Iterable) -> Any:
    """left = right by inserting equalities."""
    used = [fact for fact in facts if fact.lhs != fact.rhs]
    return joined(inside(left, *used) if used else by.same(left, left), right)


@dataclass(frozen=True)
class Algebra:
    """An equality whose sides have the same normal form."""

    kind: ClassVar[str] = "normal form"

    def prove(self, left: sp.Expr, right: sp.Expr, given: Given) -> Any:
        return by.same(left, right)


@dataclass(frozen=True)
class Using:
    """The right side follows when established equalities are inserted on the left."""

    facts: tuple
    kind: ClassVar[str] = "substitution"

    def __init__(self, *facts: Any) -> None:
        object.__setattr__(self, "facts", facts)

    def prove(self, left: sp.Expr, right: sp.Expr, given: Given) -> Any:
        return rewritten(left, right, self.facts)


def _integrals(e: sp.Expr, variable: sp.Symbol, count: int = 1) -> list:
    integrals = [
        whole
        for whole in e.atoms(sp.Integral)
        if len(whole.limits) == count and whole.limits[0][0] == variable
    ]
    if not integrals:
        raise Refused(f"there is no such integral over {variable}")
    return sorted(integrals, key=written)


@dataclass(frozen=True)
class Antiderivatives:
    """Each integral over the variable by the one of the given primitives that has its slope."""

    variable: sp.Symbol
    candidates: tuple
    kind: ClassVar[str] = "antiderivative"

    def prove(self, left: sp.Expr, right: sp.Expr, given: Given) -> Any:
        facts = [settle(self._one(whole, given), given) for whole in _integrals(left, self.variable)]
        return rewritten(left, right, facts)

    def _one(self, whole: sp.Integral, given: Given) -> Any:
        objections = []
        for candidate in self.candidates:
            try:
                return antiderivative(whole, candidate, given)
            except Refused as objection:
                objections.append(str(objection))
        raise Refused(f"no primitive fits {whole.function}: {'; '.join(objections)}")


@dataclass(frozen=True)
class Split:
    """Each integral over the variable between the outer cuts, in pieces on which |x| and sign x are known."""

    variable: sp.Symbol
    cuts: tuple
    kind: ClassVar[str] = "pieces of an integral"

    def prove(self, left: sp.Expr, right: sp.Expr, given: Given) -> Any:
        ends = (self.cuts[0], self.cuts[-1])
        wholes = [whole for whole in _integrals(left, self.variable) if tuple(whole.limits[0][1:]) == ends]
        return rewritten(left, right, [self._pieces(whole, given) for whole in wholes])

    def _pieces(self, whole: sp.Integral, given: Given) -> Any:
        ranges = zip(self.cuts, self.cuts[1:], strict=False)
        facts = [self._smooth(whole.function, low, high, given) for low, high in ranges]
        return settle(by.pieces(whole, self.cuts[1:-1], *facts), given)

    def _smooth(self, function: sp.Expr, low: sp.Expr, high: sp.Expr, given: Given) -> Any:
        """The function without bars between two points."""
        between = {Claim(">", self.variable - low)} if low != -sp.oo else set()
        between |= {Claim(">", high - self.variable)} if high != sp.oo else set()
        known = given | between
        fact = by.same(function, function)
        while bars := sorted(fact.rhs.atoms(sp.Abs, sp.sign), key=written):
            fact = join(fact, inside(fact.rhs, self._known(bars[0], known)))
        return fact

    def _known(self, part: sp.Expr, given: Given) -> Any:
        """|e| or sign e without the bars."""
        name = "|u| = u" if isinstance(part, sp.Abs) else "sign u = 1"
        for turn in (1, -1):
            try:
                sign = signed(turn * part.args[0], given)
                fact = by.specialise(by.axiom(name), {_U: turn * part.args[0]})
            except Refused:
                continue
            for claim in fact.hypotheses & {sign.claim, sign.claim._replace(kind=">=")}:
                fact = by.cut(fact, sign) if claim in fact.hypotheses else fact
            if not any(hypothesis.free & {self.variable} for hypothesis in fact.hypotheses - given):
                return fact if fact.lhs == part else by.same(part, -fact.rhs, inside(fact.rhs, fact))
        raise Refused(f"the sign of {part.args[0]} is not known on a piece")


_U = sp.Symbol("u", real=True)


def signed(e: sp.Expr, given: Given) -> Any:
    """The sign of an expression, also of cosines of what stays between their zeros."""
    from .signs import sign

    try:
        return sign(e, given)
    except Refused:
        inner = e if isinstance(e, sp.cos) else -e if isinstance(-e, sp.cos) else None
        if inner is None:
            raise
    for turns in range(-3, 4):
        angle = inner.args[0] + turns * sp.pi
        if sp.cos(angle) != e:
            continue
        try:
            low, high = sign(angle + sp.pi / 2, given), sign(sp.pi / 2 - angle, given)
        except Refused:
            continue
        fact = by.specialise(by.axiom("cos u ≥ 0"), {_U: angle})
        return settle(fact, given, low, high)
    raise Refused(f"the sign of {e} is not known")


@dataclass(frozen=True)
class Polar:
    """The plane integrals in polar coordinates; the right side holds what the integrands become."""

    x: sp.Symbol
    y: sp.Symbol
    radius: sp.Symbol
    angle: sp.Symbol
    start: sp.Expr
    kind: ClassVar[str] = "polar coordinates"

    def prove(self, left: sp.Expr, right: sp.Expr, given: Given) -> Any:
        (plane,) = _integrals(left, self.x, 2)
        there = {self.x: self.radius * sp.cos(self.angle), self.y: self.radius * sp.sin(self.angle)}
        function = self.radius * plane.function.xreplace(there)
        fact = by.same(function, canonical(function))
        fact = by.polar(plane, self.radius, self.angle, self.start, fact)
        return rewritten(left, right, [fact])


@dataclass(frozen=True)
class Product:
    """Double integrals as sums of products of single ones."""

    kind: ClassVar[str] = "product of integrals"

    def prove(self, left: sp.Expr, right: sp.Expr, given: Given) -> Any:
        pulled = left.replace(_is_double, _termwise)
        fact = joined(by.same(left, left), pulled)
        doubles = sorted((part for part in pulled.atoms(sp.Integral) if len(part.limits) == 2), key=written)
        factors = [_product(part) for part in doubles]
        return joined(join(fact, inside(pulled, *factors)), right)


def _is_double(e: sp.Basic) -> bool:
    return isinstance(e, sp.Integral) and len(e.limits) == 2


def _termwise(whole: sp.Integral) -> sp.Expr:
    parts = terms(canonical(whole.function), [limit[0] for limit in whole.limits])
    return sp.Add(*(outside * whole.func(inner, *whole.limits) for outside, inner in parts))


def _product(double: sp.Integral) -> Any:
    """∫∫ f(x) g(y) = ∫f ∫g: the inner integral is g ∫f, whose second factor comes out of the outer one."""
    (f, g), (first, second) = _factors(double), double.limits
    if g == 1:  # so that the inner integral is not SymPy's double one again
        f, g = f / 2, sp.Integer(2)
    one, other = sp.Integral(f, first), sp.Integral(g, second)
    inner = by.same(sp.Integral(double.function, first), g * one)
    return joined(by.pieces(double, (), inner), one * other)


def _factors(double: sp.Integral) -> tuple[sp.Expr, sp.Expr]:
    """What depends on the first variable, and the rest; exponentials of sums are taken apart."""
    x = double.limits[0][0]
    outer, inner = sp.Integer(1), sp.Integer(1)
    for factor in sp.Mul.make_args(double.function):
        pieces = (
            [sp.exp(part) for part in sp.Add.make_args(factor.args[0])]
            if isinstance(factor, sp.exp)
            else [factor]
        )
        for piece in pieces:
            outer, inner = (outer * piece, inner) if piece.has(x) else (outer, inner * piece)
    return outer, inner


@dataclass(frozen=True)
class Differentiate:
    """The left side holds derivatives; the right side is what the chain rule makes of them."""

    kind: ClassVar[str] = "derivative"

    def prove(self, left: sp.Expr, right: sp.Expr, given: Given) -> Any:
        parts = sorted(left.atoms(sp.Derivative), key=written)
        facts = [by.same(part, slope(part.expr, part.variables[0])) for part in parts]
        return rewritten(left, right, [settle(fact, given) for fact in facts])


@dataclass(frozen=True)
class Equal:
    """Two functions agree at the start of an interval, and their slopes along it."""

    variable: sp.Symbol
    start: sp.Expr
    inside: tuple = ()
    kind: ClassVar[str] = "slope and value"

    def prove(self, left: sp.Expr, right: sp.Expr, given: Given) -> Any:
        gap = left - right
        known = given | frozenset(self.inside)
        flat = settle(by.same(sp.Derivative(gap, self.variable), sp.Integer(0)), known)
        gained = increase(flat, self.start, self.variable, known)
        start = by.same(gap.xreplace({self.variable: self.start}), sp.Integer(0))
        return by.same(left, right, gained, start)


def increase(fact: Any, low: sp.Expr, high: sp.Expr, given: Given) -> Any:
    """The sign of f(high) − f(low) from that of f' between them, 0 from f' = 0."""
    x = fact.lhs.variables[0]
    end = sp.Dummy(
        "end", **{k: v for k, v in x.assumptions0.items() if k in ("real", "positive", "nonnegative")}
    )
    there = Given(claim.at({x: end}) for claim in given)
    between = there | {Claim(">", x - low), Claim(">", end - x)}
    made = by.rise(settle(fact, between), low, end)
    made = settle(joined(made, fact.rhs) if fact.claim.kind == "=" else made, there)
    return settle(by.specialise(made, {end: high}), given)


def weakened(fact: Any) -> Any:
    """e ≥ 0 from e > 0."""
    return by.cut(by.suppose(Claim(">=", fact.lhs), Given({fact.claim})), fact)
