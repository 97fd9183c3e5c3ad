"""Established equalities and the rules that rewrite one expression into another by exact algebra."""

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import sympy as sp


class Refused(ValueError):
    """A hypothesis of the rule does not hold, so the step cannot be made by it."""


def written(expr: sp.Basic) -> str:
    """The expression as text. To sort its terms SymPy would evaluate the integrals in them, for seconds."""
    return sp.sstr(expr, order="none")


@runtime_checkable
class Rule(Protocol):
    """A way to check lhs = rhs: the step stands if all its `differences` vanish identically."""

    @property
    def kind(self) -> str:
        """Name of the method, shown beside the step."""
        ...

    def differences(self, lhs: sp.Expr, rhs: sp.Expr) -> tuple[sp.Expr, ...]:
        """Expressions that have to be zero; not yet simplified."""
        ...


@dataclass(frozen=True)
class Fact:
    """An equality that a definition, a chain of steps or another proof has established."""

    lhs: sp.Expr
    rhs: sp.Expr

    def at(self, values: dict) -> "Fact":
        """The equality with values for some of its free symbols."""
        return Fact(
            self.lhs.subs(values, simultaneous=True).doit(integrals=False, sums=False),
            self.rhs.subs(values, simultaneous=True),
        )


@dataclass(frozen=True)
class Algebra:
    """Both sides have the same normal form: field operations, radicals, trigonometric addition theorems."""

    kind: ClassVar[str] = "algebra"

    def differences(self, lhs: sp.Expr, rhs: sp.Expr) -> tuple[sp.Expr, ...]:
        return (lhs - rhs,)


@dataclass(frozen=True)
class Using:
    """The right side follows when established equalities are inserted on the left."""

    facts: tuple[Fact, ...]
    kind: ClassVar[str] = "substitution"

    def __init__(self, *facts: Fact) -> None:
        object.__setattr__(self, "facts", facts)

    def differences(self, lhs: sp.Expr, rhs: sp.Expr) -> tuple[sp.Expr, ...]:
        whole = lhs
        for fact in self.facts:
            replaced = lhs.subs(fact.lhs, fact.rhs)
            if replaced == lhs and not whole.has(fact.lhs):
                raise Refused(f"the expression does not contain {written(fact.lhs)}, which the step inserts")
            lhs = replaced
        return (lhs - rhs,)


@dataclass(frozen=True)
class Derivative:
    """Two functions of x that are differentiable on an interval agree if they do at one point of it
    and their derivatives agree."""

    variable: sp.Symbol
    at: sp.Expr
    kind: ClassVar[str] = "derivative and value"

    def differences(self, lhs: sp.Expr, rhs: sp.Expr) -> tuple[sp.Expr, ...]:
        difference = lhs - rhs
        return sp.diff(difference, self.variable), difference.subs(self.variable, self.at)


@dataclass(frozen=True)
class Differentiate:
    """The left side is a derivative; the right side is what the rules of differentiation make of it."""

    kind: ClassVar[str] = "derivative"

    def differences(self, lhs: sp.Expr, rhs: sp.Expr) -> tuple[sp.Expr, ...]:
        return (lhs.doit() - rhs,)
