"""Doubting an identity: Arb balls at points of its domain. What is found here can only refuse a step."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportIndexIssue=false, reportOptionalMemberAccess=false, reportOptionalOperand=false

import math
import random
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import flint  # pyright: ignore[reportMissingImports]
import sympy as sp
from sympy.core.function import AppliedUndef

from .balls import FUNCTIONS, OPAQUE, Unsupported, precision, value
from .normal import canonical, terms

POINTS, TRIES = 6, 4000
_TAKEN = {"pi", "E", "I", "oo", "zoo", "nan", "inf", "sqrt", "cbrt", *(f.__name__ for f in FUNCTIONS)}


class Refused(ValueError):
    """A side condition of a rule does not hold, so it makes no fact."""


@lru_cache(maxsize=20000)
def written(part: Any) -> str:
    """A part as text; unsorted, since SymPy would evaluate integrals to sort the terms."""
    return sp.sstr(part, order="none")


def doubt(e: sp.Expr, given: frozenset) -> str | None:
    """Why `e` is not known to vanish where `given` holds: a point where it does not, or too few points."""
    pulled = _pulled(e)
    with precision():
        points = domain(given, parts(pulled))
    if len(points) < POINTS:
        return f"no points of the domain are found, so this may say nothing: {shown(given)}"
    for point in points:
        gap = value(pulled, point)
        # A wide ball contains 0 whatever the sides are.
        if not (gap.contains(0) and gap.rad() < 1e-20):
            return f"the sides differ by {gap.str(8)} at {_where(point)}"
    return None


def false(claim: Any) -> bool:
    """Whether the claim is the sign of a number that has another."""
    if claim.kind not in (">", ">=") or parts(claim.left):
        return False
    return (claim.left == 0 and claim.kind == ">") or bool(value(claim.left, {}) < 0)


def _pulled(e: sp.Expr) -> sp.Expr:
    """Linearity: what does not depend on the variables comes out of each term; each core is then opaque."""
    if not isinstance(e, sp.Integral | sp.Sum):
        return e.func(*map(_pulled, e.args)) if e.has(sp.Integral, sp.Sum) else e
    split = terms(canonical(e.function), [limit[0] for limit in e.limits])
    return sp.Add(*(outside * e.func(inside, *e.limits) for outside, inside in split))


def parts(e: sp.Basic) -> frozenset:
    """Symbols and opaque parts that the value of `e` depends on."""
    if isinstance(e, OPAQUE) or e.is_Symbol:
        return frozenset({e})
    return frozenset().union(*map(parts, e.args))


@lru_cache(maxsize=4096)
def domain(given: frozenset, names: frozenset) -> list[dict]:
    """Points, as balls, at which the claims of `given` certainly hold; what is opaque is any real number."""
    claims = [claim for claim in sorted(given, key=written) if not _names(claim)]
    wanted = names.union(*(parts(claim.left) | parts(claim.right) for claim in claims))
    points = []
    for point in _candidates(claims, sorted(wanted, key=written)):
        if all(_holds(claim, point) for claim in claims):
            points.append(point)
        if len(points) == POINTS:
            break
    return points


def _names(claim: Any) -> bool:
    """Whether the claim calls something opaque, which may be any real number here, by a symbol."""
    return claim.kind == "=" and bool(claim.left.atoms(*OPAQUE) | claim.right.atoms(*OPAQUE))


def _holds(claim: Any, point: dict) -> bool:
    if claim.kind not in ("=", ">", ">="):
        return True
    gap = value(claim.left - claim.right, point)
    return bool(gap.contains(0)) if claim.kind == "=" else bool(gap > 0)


def _candidates(claims: list, names: list) -> Iterator[dict]:
    """Random points; a part lies between the bounds that the claims give it, if they are linear in it."""
    # A fixed seed: what is refused once is refused every time.
    draw = random.Random(0)
    bounds = {name: _bounds(claims, name) for name in names}
    for _ in range(TRIES):
        point: dict = {}
        for name in sorted(names, key=lambda n: len(bounds[n][2])):
            known = [
                [v for v in (_try(end, point) for end in ends) if v is not None] for ends in bounds[name][:2]
            ]
            point[name] = _between(draw, name, *known)
        yield point


def _try(end: sp.Expr, point: dict) -> Any:
    return value(end, point) if parts(end) <= point.keys() else None


@lru_cache(maxsize=4096)  # for every part that a claim may bound
def _expanded(e: sp.Expr) -> sp.Expr:
    return sp.expand(e)


def _bounds(claims: list, name: sp.Basic) -> tuple[list, list, set]:
    """Lower and upper bounds of a part, and the parts that these depend on."""
    low, high = [], []
    for claim in claims:
        k = _expanded(claim.left).coeff(name) if claim.kind in (">", ">=") else sp.Integer(0)
        rest = sp.expand(claim.left - k * name) if k != 0 and k.is_Rational else name
        if not rest.has(name):
            (low if k > 0 else high).append(-rest / k)
        if claim.kind == "=" and name == claim.left and not claim.right.has(name):
            low.append(claim.right)
            high.append(claim.right)
    return low, high, set().union(*map(parts, low + high))


def _between(draw: random.Random, name: sp.Basic, low: list, high: list) -> Any:
    if name.is_Symbol and name.is_integer:
        first = max([math.ceil(float(v.mid())) for v in low] + [int(bool(name.is_positive))])
        return flint.arb(first + draw.randint(0, 6))
    # Of a prime: shares at which nothing vanishes by its form.
    share = flint.arb(flint.fmpq(draw.randint(1, 126), 127))
    size = flint.arb(flint.fmpq(draw.choice((1, 4, 16)), 4))
    if name.is_nonnegative:
        low = [*low, flint.arb(0)]
    bottom = max(low, key=lambda v: float(v.mid())) if low else None
    top = min(high, key=lambda v: float(v.mid())) if high else None
    if bottom is None and top is None:
        return (2 * share - 1) * size
    if bottom is None or top is None:
        return bottom + size * share if top is None else top - size * share
    return bottom + (top - bottom) * share


def shown(given: Any) -> str:
    """Hypotheses as text."""
    return ", ".join(sorted(map(stated, given)))


def stated(claim: Any) -> str:
    """A claim as text."""
    left, right = written(claim.left), written(claim.right)
    if claim.kind != "order":
        return f"{left} {claim.kind} {right}"
    to = f"{left} → {right}" if claim.order == 0 else f"{left} = {right} + o({claim.variable}^{claim.order})"
    return f"{to} as {claim.variable} → 0+"


def domains(fact: Any) -> list[str]:
    """What the free symbols of a fact stand for, unless it is any real number."""
    lines = []
    for symbol in sorted(_free(fact), key=written):
        sign = " > 0" if symbol.is_positive else " >= 0" if symbol.is_nonnegative else ""
        kind = " an integer" if symbol.is_integer else ""
        lines += [f"{symbol}{sign}{kind}"] if sign or kind else []
    return lines


def _free(fact: Any) -> set:
    symbols = set().union(*(claim.free - {claim.variable} for claim in (fact.claim, *fact.hypotheses)))
    return {symbol for symbol in symbols if symbol.is_Symbol}


def unclear(fact: Any) -> str | None:
    """Why a fact is no statement: names that mislead, an open hypothesis about a number, no point."""
    for name, things in _named(fact).items():
        if len(things) > 1:
            return f"two symbols are called {name}"
        known = (hasattr(sp, name) or hasattr(math, name)) and not all(thing.is_Symbol for thing in things)
        if not (name.isascii() and name.replace("'", "").isidentifier()) or known or name in _TAKEN:
            return f"{name!r} is no name for a symbol of one's own"
    defined = {claim.left: claim for claim in fact.hypotheses if claim.kind == "="}
    for claim in fact.hypotheses:
        sides = (claim.left, claim.right)
        if not (claim.free or any(side.atoms(AppliedUndef) for side in sides)):
            return f"it rests on {stated(claim)}, which is true or false: derive it"
        if claim.kind == "=" and not _solved(claim, defined):
            return f"it rests on {stated(claim)}, which may have no solution: suppose what a name stands for"
    try:
        with precision():
            empty = not domain(fact.hypotheses | _told_twice(fact.hypotheses), frozenset())
    except Unsupported:
        return None
    return f"no point meets the hypotheses {shown(fact.hypotheses)}" if empty else None


def _solved(claim: Any, defined: dict) -> bool:
    """Whether an equality says what one thing is, of others that do not come back to it."""
    left, behind = claim.left, {claim}
    for _ in defined:
        within = frozenset().union(*(parts(one.right) for one in behind))
        behind |= {defined[part] for part in within if part in defined}
    return (left.is_Symbol or isinstance(left, OPAQUE)) and not any(one.right.has(left) for one in behind)


def _told_twice(given: frozenset) -> set:
    """Equalities of things that the same opaque part is said to equal, or to tend to."""
    told: dict[tuple, Any] = {}
    claims = set()
    for claim in sorted(given, key=written):
        if claim.kind == "order" or (claim.kind == "=" and isinstance(claim.left, OPAQUE)):
            one, other = told.setdefault((claim.left, claim.variable), claim).right, claim.right
            gap = sp.expand(one - other)
            # What is opaque in both sides has to cancel, to be seen.
            sides = (gap, 0 * gap) if gap.is_number else (one, other)
            claims.add(type(claim)("=", *sides))
    return claims


def _named(fact: Any) -> dict[str, set]:
    """What the statement calls by each name: symbols, bound ones too, and functions."""
    meanings: dict[str, set] = {}
    for claim in (fact.claim, *fact.hypotheses):
        for side in (claim.left, claim.right):
            for part in side.atoms(sp.Symbol, AppliedUndef):
                # Functions are equal if their names and assumptions are.
                meanings.setdefault(str(part.name), set()).add(part if part.is_Symbol else part.func)
    return meanings


def _where(point: dict) -> str:
    return ", ".join(f"{sp.sstr(name, order='none')} = {point[name].str(6, radius=False)}" for name in point)
