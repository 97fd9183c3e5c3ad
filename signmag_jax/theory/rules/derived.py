"""Rules that follow from the kernel's. Nothing here is trusted."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportAssignmentType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false

from typing import Any

import sympy as sp

from .kernel import ENDLESS, Claim, Refused, by, written


def join(first: Any, second: Any) -> Any:
    """From a = b and a claim about b the same about a; from f = g + o(x^m) and g = h (+ o) f = h + o."""
    orders = first.claim.order, second.claim.order
    if None not in orders:
        x, y = first.claim.variable, sp.Dummy("y", real=True)
        first = by.taylor(y, x, min(orders), {y: (first, 0)})
        second = by.same(first.rhs, second.rhs)
    if first.claim.kind == "=":
        return by.rewrite(second, first, first.lhs, second.rhs)
    return by.rewrite(first, second, first.lhs, second.rhs)


def inside(e: sp.Expr, *facts: Any) -> Any:
    """e = e with one side of equalities (the left, if e has it) replaced by the other, one by one."""
    made = by.same(e, e)
    for fact in facts:
        if fact.claim.kind != "=":
            raise Refused(f"{written(fact.claim)} is of kind {fact.claim.kind} and no equality")
        sides = ({fact.lhs: fact.rhs}, {fact.rhs: fact.lhs})
        changed = next((new for new in map(made.rhs.xreplace, sides) if new != made.rhs), None)
        if changed is None:
            raise Refused(f"the expression does not contain {written(fact.lhs)}")
        made = by.rewrite(made, fact, e, changed)
    return made


def antiderivative(integral: sp.Integral, primitive: sp.Expr, given: frozenset) -> Any:
    """∫ = F(high) − F(low) for F of slope f inside the range, continuous up to its ends."""
    from .signs import settle

    ((x, low, high),) = integral.limits
    gaps = {Claim(">", gap) for end, gap in ((low, x - low), (high, high - x)) if end not in ENDLESS}
    slope = settle(by.same(sp.Derivative(primitive, x), integral.function), given | gaps)
    return turned(by.rise(slope, low, high))


def turned(fact: Any) -> Any:
    """b = a from a = b."""
    return by.rewrite(by.same(fact.lhs, fact.lhs), fact, fact.rhs, fact.lhs)
