"""Finding signs: forms of an expression whose sign is manifest to the kernel. Nothing here is trusted."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false

import itertools
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import sympy as sp

from .derived import inside, join
from .kernel import OPAQUE, SIGNS, Claim, Refused, by, known, written

_U = sp.Symbol("u", real=True)


def equal(left: sp.Expr, right: sp.Expr) -> Claim:
    """left = right."""
    return Claim("=", left, right)


def above(left: sp.Expr | int, right: sp.Expr | int = 0) -> Claim:
    """left > right."""
    return Claim(">", sp.sympify(left) - right)


def least(left: sp.Expr | int, right: sp.Expr | int = 0) -> Claim:
    """left ≥ right."""
    return Claim(">=", sp.sympify(left) - right)


def limit(left: sp.Expr, right: sp.Expr, x: sp.Symbol) -> Claim:
    """left → right as x → 0 from above."""
    return Claim("order", left, right, x, 0)


def sign(e: sp.Expr, given: frozenset, strict: bool = False, *facts: Any) -> Any:
    """e > 0 or e ≥ 0 where `given` holds, and as signs that are established have it.

    Raises:
      Refused: if no form of it is manifestly so.
    """
    angles = [by.specialise(by.axiom("acos u ≤ π"), {_U: angle.args[0]}) for angle in e.atoms(sp.acos)]
    fact = _sign(e, given | {lemma.claim for lemma in (*facts, *angles)}, strict)
    for lemma in (*facts, *angles):
        fact = by.cut(fact, lemma) if lemma.claim in fact.hypotheses else fact
    return fact


def _sign(e: sp.Expr, given: frozenset, strict: bool) -> Any:
    for form in _forms(e, given):
        for kind in (">",) if strict else (">", ">="):
            made = _bracketed(form, kind, given)
            if made is not None:
                fact = by.suppose(Claim(kind, made), _needed(Claim(kind, made), given))
                return fact if made == e else join(by.same(e, made), fact)
    raise Refused(f"the sign of {written(e)} is not found")


@lru_cache(maxsize=65536)  # what is given is left out in any order
def _bracketed(e: sp.Expr, kind: str, given: frozenset) -> sp.Expr | None:
    """The expression so bracketed that its sign is manifest: what is given stands out as a term or factor."""
    if known(Claim(kind, e), given):
        return e
    if e.is_Mul:
        form = _with_factors(e, given)
        return form if form is not None and known(Claim(kind, form), given) else None
    if e.is_Pow:
        base = _bracketed(e.base, kind, given)
        return None if base is None else sp.Pow(base, e.exp, evaluate=False)
    return _with_terms(e, kind, given) if e.is_Add else None


def _with_factors(e: sp.Expr, given: frozenset) -> sp.Expr | None:
    """Factors that are not seen to be positive change their sign, two by two."""
    forms = {part: _bracketed(part, ">=", given) for part in e.args}
    turned = [part for part, form in forms.items() if form is None]
    if len(turned) % 2 or not all(part.is_Add or part.is_Number for part in turned):
        return None
    forms |= {part: _bracketed(sp.expand(-part), ">=", given) for part in turned}
    return None if None in forms.values() else sp.Mul(*forms.values(), evaluate=False)


def _with_terms(e: sp.Expr, kind: str, given: frozenset) -> sp.Expr | None:
    """What is given and a rest, or a number times a sum."""
    for claim in sorted((claim for claim in given if claim.kind in SIGNS), key=written):
        rest = e - claim.left
        if rest != 0 and len(sp.Add.make_args(rest)) <= len(e.args):
            form = _bracketed(rest, ">=" if claim.kind == ">" else kind, given - {claim})
            if form is not None:
                return sp.Add(claim.left, form, evaluate=False)
    number, part = e.primitive()
    form = None if number == 1 else _bracketed(part, kind, given)
    return None if form is None else sp.Mul(number, form, evaluate=False)


def _needed(claim: Claim, given: frozenset) -> frozenset:
    """A smallest set of the given claims that suffices."""
    for one in (None, *sorted(given, key=written)):
        if known(claim, frozenset({one} - {None})):
            return frozenset({one} - {None})
    for one in sorted(given, key=written):
        given = given - {one} if known(claim, given - {one}) else given
    return given


def settle(fact: Any, given: frozenset, *lemmas: Any) -> Any:
    """The fact without the hypotheses that follow from `given`, as far as signs are found."""
    for lemma in lemmas:
        if fact.hypotheses & {
            lemma.claim,
            lemma.claim._replace(kind=">=" if lemma.claim.kind == ">" else lemma.claim.kind),
        }:
            fact = by.cut(fact, lemma)
    for claim in sorted(fact.hypotheses - given, key=written):
        signed = (
            _found(claim, given, lemmas) if claim in fact.hypotheses and claim.kind in (">", ">=") else None
        )
        fact = by.cut(fact, signed) if signed else fact
    return fact


def settled_by(fact: Any, equalities: Any, given: frozenset) -> Any:
    """The fact without the hypotheses whose sign is seen once equalities are inserted."""
    for claim in sorted(fact.hypotheses - given, key=written):
        used = [equality for equality in equalities if claim.left.has(equality.lhs)]
        if not used or claim.kind not in (">", ">="):
            continue
        try:
            inserted = inside(claim.left, *used)
            others = given | (fact.hypotheses - {claim})
            signed = join(inserted, sign(inserted.rhs, others, strict=claim.kind == ">"))
        except Refused:
            continue
        fact = by.cut(fact, signed) if claim in fact.hypotheses - signed.hypotheses else fact
    return fact


@lru_cache(maxsize=4096)
def _found(claim: Claim, given: frozenset, lemmas: tuple) -> Any:
    try:
        return sign(claim.left, given, claim.kind == ">", *lemmas)
    except Refused:
        return None


def _forms(e: sp.Expr, given: frozenset) -> Iterator[Any]:
    yield e
    if not (e.free_symbols or e.atoms(*OPAQUE)):
        yield sp.nsimplify(sp.simplify(e)) if e.is_zero else e
        return
    size = e.count_ops()
    if size > 120:  # nothing is manifest in so large an expression, and to look takes long
        return
    factored = _factored(e)
    yield factored
    if size > 50:
        return
    top, bottom = sp.fraction(factored)
    intervals = _intervals(e, given)
    # 27: three symbols, each by either end or by both.
    for sides in itertools.islice(itertools.product(*map(_sides, intervals)), 27):
        # What is positive on an interval has positive Bernstein coefficients, of a degree that may be higher
        # than its own.
        for more in (0, 1, 3) if any(None not in side[1:] for side in sides) else (0,):
            parts = [_bernstein(part, sides, more) for part in (top, bottom)]
            yield parts[0] / parts[1]


def _sides(interval: tuple) -> list[tuple]:
    """An interval as it is, and by its lower and upper end alone."""
    x, low, high = interval
    if None in (low, high):
        return [interval]
    return [(x, low, None), (x, None, high), *([interval] if sp.sympify(high - low).is_number else [])]


def _intervals(e: sp.Expr, given: frozenset) -> list:
    """(symbol, low, high) for symbols of `e` between bounds that are given."""
    bounds = []
    for symbol in sorted(e.free_symbols, key=written):
        low, high = (0 if symbol.is_nonnegative else None), None
        for claim in given:
            k = claim.left.coeff(symbol) if claim.kind in (">", ">=") else 0
            rest = claim.left - k * symbol
            if k in (1, -1) and not rest.has(symbol):
                low, high = (-rest, high) if k == 1 else (low, rest)
        if high is not None or (low is not None and low != 0):
            bounds.append((symbol, low, high))
    return sorted(
        bounds, key=lambda bound: -len(sp.Tuple(*(end for end in bound[1:] if end is not None)).free_symbols)
    )


@lru_cache(maxsize=4096)
def _factored(e: sp.Expr) -> sp.Expr:
    return sp.factor(sp.together(e))


@lru_cache(maxsize=16384)
def _bernstein(e: sp.Expr, intervals: tuple, more: int) -> sp.Expr:
    """A polynomial in powers of x − low and high − x, one symbol after the other."""
    if not intervals:
        return sp.factor_terms(e) if e.is_Add else e
    (x, low, high), others = intervals[0], intervals[1:]
    if not e.has(x):
        return _bernstein(e, others, more)
    try:
        whole = sp.Poly(e, x)
        if low is None:
            shifted = _inserted(whole, sp.Poly(high - x, x), sp.Poly(1, x), whole.degree())
            return sp.Add(*(_bernstein(c, others, more) * (high - x) ** k for (k,), c in shifted.terms()))
        if high is None:
            shifted = _inserted(whole, sp.Poly(low + x, x), sp.Poly(1, x), whole.degree())
            return sp.Add(*(_bernstein(c, others, more) * (x - low) ** k for (k,), c in shifted.terms()))
        degree = whole.degree() + more
        shifted = _inserted(whole, sp.Poly(low + high * x, x), sp.Poly(1 + x, x), degree)
    except sp.PolynomialError:
        return e
    total = sp.Add(
        *(
            _bernstein(c, others, more) * (x - low) ** k * (high - x) ** (degree - k)
            for (k,), c in shifted.terms()
        )
    )
    return total / (high - low) ** degree


def _inserted(polynomial: sp.Poly, top: sp.Poly, bottom: sp.Poly, degree: int) -> sp.Poly:
    """The polynomial at top / bottom, times the bottom to that degree."""
    powers = (c * top**k * bottom ** (degree - k) for (k,), c in polynomial.terms())
    return sum(powers, sp.Poly(0, polynomial.gen))
