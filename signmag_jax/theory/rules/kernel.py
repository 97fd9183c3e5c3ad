"""The trusted part of the proofs: facts, and the only functions that make them.

A fact is `hypotheses ⊢ claim`: for all real values of its free symbols that meet the symbols' assumptions
(positive, nonnegative, integer) and the hypotheses, every expression in the claim is defined and the claim
holds. Claims are equalities, signs (e > 0, e ≥ 0), integrality, limits (x → 0 from above, n → ∞) and orders
f = g + O(x^k), x → 0 from above; a citation hands out the claim with all that it rests on. It is sound, as
1. only the rules make facts: a closure keeps each with a copy of its parts, and no rule takes another object,
   nor one that was altered;
2. `needs(e)` is what makes e a real number: radicands, denominators, arguments of acos, integrals that converge.
   Rules add the needs of all that they bring in or drop, so nothing holds "where defined". A hypothesis is
   dropped only if the others imply it, and refused if it is false;
3. substitution carries hypotheses and the assumptions of the symbols it replaces, and captures no bound symbol;
   nothing is rewritten under a binder by a fact that speaks of the bound symbol;
4. slopes follow the chain rule, under strict needs (no corner, no branch point). From a slope one comes to its
   function only along an interval, from its end, and only if nothing else is assumed of the variable there;
5. integrals converge absolutely (finite ranges, or a Gaussian factor; at most polynomial growth, nothing
   singular), which is what linearity, Fubini and polar coordinates ask; antiderivatives are continuous;
6. orders come from Taylor's theorem, the last derivative being continuous up to 0, and from smooth functions of
   what has an order; limits from orders, continuity, composition and enclosure.
Trusted beside this file: Python, SymPy's constructors, python-flint through `balls.value`, and, as a named
step ("normal form"), `normal.canonical` where it says that an expression vanishes identically. Of that step
all is checked that can be: at points of the domain, which must be found, Arb balls have to contain 0.
"""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false, reportGeneralTypeIssues=false, reportIndexIssue=false, reportOperatorIssue=false, reportReturnType=false, reportSelfClsParameterName=false

from functools import cache, wraps
from typing import Any, NamedTuple

import sympy as sp
from sympy.core.function import AppliedUndef

from .balls import value
from .doubts import doubt, written
from .normal import canonical

BINDERS = (sp.Integral, sp.Sum, sp.Derivative)
OPAQUE = (*BINDERS, AppliedUndef, sp.Indexed)
_KINDS = ("real", "positive", "nonnegative")
_U = sp.Symbol("u", real=True)
_SLOPES = {sp.exp: sp.exp(_U), sp.sin: sp.cos(_U), sp.cos: -sp.sin(_U), sp.atan: 1 / (1 + _U**2)}
_SLOPES |= {sp.asin: 1 / sp.sqrt(1 - _U**2), sp.acos: -1 / sp.sqrt(1 - _U**2), sp.Abs: sp.sign(_U)}
_SLOPES |= {sp.erf: 2 * sp.exp(-(_U**2)) / sp.sqrt(sp.pi), sp.log: 1 / _U}
_DEFINED: dict[str, tuple] = {}
_USED: set[str] = set()


class Refused(ValueError):
    """A side condition of a rule does not hold, so it makes no fact."""


class Claim(NamedTuple):
    """`kind` is one of = > >= integer limit order; a sign has 0 on the right."""

    kind: str
    left: sp.Expr
    right: sp.Expr = sp.Integer(0)
    variable: sp.Symbol | None = None
    order: Any = None  # of an order its exponent, of a limit the point

    def at(self, values: dict) -> "Claim":
        return self._replace(left=self.left.xreplace(values), right=self.right.xreplace(values))

    @property
    def free(self) -> set:
        return (self.left.free_symbols | self.right.free_symbols) - {self.variable}


def equal(left: sp.Expr, right: sp.Expr) -> Claim:
    return Claim("=", left, right)


def above(left: sp.Expr, right: sp.Expr | int = 0) -> Claim:
    return Claim(">", sp.sympify(left) - right)


def least(left: sp.Expr, right: sp.Expr | int = 0) -> Claim:
    return Claim(">=", sp.sympify(left) - right)


AXIOMS = {  # of any real u
    "|u| = u": (Claim("=", sp.Abs(_U), _U), {Claim(">=", _U)}),
    "cos u ≥ 0": (Claim(">=", sp.cos(_U)), {Claim(">=", _U + sp.pi / 2), Claim(">=", sp.pi / 2 - _U)}),
    "sign u = 1": (Claim("=", sp.sign(_U), sp.Integer(1)), {Claim(">", _U)}),
    "acos u ≤ π": (Claim(">=", sp.pi - sp.acos(_U)), {Claim(">=", 1 - _U**2)}),
    "1/u → 0": (Claim("limit", 1 / _U, sp.Integer(0), _U, sp.oo), set()),
}


def _ask(condition: object, objection: str, *parts: Any) -> None:
    if not condition:
        raise Refused(objection.format(*map(written, parts)) if parts else objection)


def _sealed(rules: type) -> tuple:
    made: dict[int, tuple] = {}

    class Fact:
        """What the kernel has established: `claim` under `hypotheses`, resting on `trusted` steps."""

        __slots__ = ("claim", "hypotheses", "trusted")
        lhs = property(lambda self: self.claim.left)
        rhs = property(lambda self: self.claim.right)

        def __new__(cls, *_: Any, **__: Any) -> "Fact":
            raise Refused("only the rules of the kernel make facts")

        def __setattr__(self, name: str, value: object) -> None:
            raise Refused("a fact does not change")

    def genuine(fact: Any) -> bool:
        """Whether the kernel made this very object, and it is as it was made."""
        return type(fact) is Fact and made.get(id(fact)) == (fact, fact.claim, fact.hypotheses, fact.trusted)

    def rule(check: Any) -> Any:
        @wraps(check)
        def make(*given: Any) -> Fact:
            parts = [x for many in given for x in (many.values() if isinstance(many, dict) else [many])]
            facts = [x for x in parts if not isinstance(x, sp.Basic | Claim | frozenset | str | int)]
            _ask(all(map(genuine, facts)), "this is no fact of the kernel's")
            _USED.clear()
            claim, hypotheses = check(*given)
            known = claim, reduced(frozenset(hypotheses)), frozenset(_USED).union(*(x.trusted for x in facts))
            fact = object.__new__(Fact)
            for name, part in zip(Fact.__slots__, known, strict=True):
                object.__setattr__(fact, name, part)
            made[id(fact)] = (fact, *known)
            return fact

        return staticmethod(make)

    return Fact, genuine, type("by", (), {name: rule(f) for name, f in vars(rules).items() if name[0] != "_"})


@cache
def needs(e: sp.Expr, strict: bool = False) -> frozenset:
    """Claims under which `e` is a real number; if strict, under which it is smooth."""
    if e.is_Symbol:
        plain = [dict.fromkeys((kind, *more), True) for kind in _KINDS for more in ((), ("integer",))]
        _ask(
            any(e.assumptions0 == sp.Symbol("x", **kind).assumptions0 for kind in plain),
            "{} is not {}",
            e,
            _KINDS,
        )
    if e.is_Symbol or e.is_Rational or e in (sp.pi, sp.E):
        return frozenset()
    _ask(not (strict and isinstance(e, OPAQUE)), "{} has no slope here", e)
    if isinstance(e, BINDERS):
        return _needs_of_binder(e)
    known = (
        e.is_Add or e.is_Mul or e.is_Pow or e.func in _SLOPES or e.func is sp.sign or isinstance(e, OPAQUE)
    )
    plain = not isinstance(e, OPAQUE[3:]) or (e.is_nonnegative, e.is_integer, e.is_nonpositive) == (None,) * 3
    _ask(known and plain, "the kernel gives no meaning to {}", e)
    found = set().union(*(needs(part, strict) for part in e.args if not isinstance(e, sp.Indexed)))
    if (e.is_Pow and e.exp.is_Integer and e.exp < 0) or (strict and e.func in (sp.Abs, sp.sign)):
        found.add(Claim(">", sp.Pow(e.args[0], 2)))
    elif (e.is_Pow and not e.exp.is_Integer) or e.func is sp.log:
        weak = e.is_Pow and not strict and e.exp.is_Rational and e.exp > 0
        found.add(Claim(">=" if weak else ">", e.args[0]))
    elif e.func in (sp.acos, sp.asin):
        found.add(Claim(">" if strict else ">=", 1 - e.args[0] ** 2))
    return frozenset(found)


def _needs_of_binder(e: sp.Expr) -> frozenset:
    if isinstance(e, sp.Derivative):
        return needs(e.expr, True)
    ends, inside = [end for limit in e.limits for end in limit[1:]], needs(e.function)
    fixed = len(ends) == 2 * len(_bound(e)) and not any(claim.free & _bound(e) for claim in inside)
    _ask(fixed, "{} is not known to be defined over the whole range", e.function)
    endless = {x for x, *both in e.limits if {sp.oo, -sp.oo} & {*both}}
    terms = [term * sp.Mul(*(sp.exp(x**2 / 2) for x in endless)) for term in sp.Add.make_args(e.function)]
    tame = isinstance(e, sp.Sum) or all(_grows_slowly(term, _bound(e)) for term in terms)
    _ask(tame, "{} is not known to converge", e)
    return inside.union(*(needs(end) for end in ends if end not in (sp.oo, -sp.oo)))


def _bound(binder: sp.Expr) -> set:
    return {x[0] for x in (binder.variable_count if isinstance(binder, sp.Derivative) else binder.limits)}


def _grows_slowly(e: sp.Expr, names: set) -> bool:
    """At most polynomially, and bounded on bounded sets."""
    if e.is_Symbol or not e.free_symbols & names or e.func in (sp.sin, sp.cos, sp.erf, sp.atan, sp.sign):
        return True
    natural = e.is_Add or e.is_Mul or e.func is sp.Abs or (e.is_Pow and e.exp.is_Integer and e.exp > 0)
    return bool(natural) and all(_grows_slowly(part, names) for part in e.args)


def _minus(e: sp.Expr, given: frozenset) -> str | None:
    """The sign of −e, of a number, of a sum or where it is given."""
    seen = {claim.left for claim in given}
    return (
        _sign(sp.expand(-e), given)
        if e.is_Add or -e in seen or not (e.free_symbols or e.atoms(*OPAQUE))
        else None
    )


@cache
def _sign(e: sp.Expr, given: frozenset) -> str | None:
    """'>' or '>=' if that is certain where `given` holds: sums and products of what is; balls for numbers."""
    if Claim(">", e) in given or Claim(">=", e) in given:
        return ">" if Claim(">", e) in given else ">="
    if e.is_Symbol or not (e.free_symbols or e.atoms(*OPAQUE)):
        positive = e.is_positive if e.is_Symbol else value(e, {}) > 0
        return ">" if positive else ">=" if e == 0 or (e.is_Symbol and e.is_nonnegative) else None
    parts = e.args if e.is_Add or e.is_Mul else ()
    if e.is_Add:  # the numbers together
        moving = [part for part in parts if part.free_symbols or part.atoms(*OPAQUE)]
        fixed = [part for part in parts if part not in moving]
        parts = (sp.Add(*fixed), *moving) if fixed else parts
    kinds = [_sign(part, given) for part in parts]
    if e.is_Mul and kinds.count(None) % 2 == 0:
        kinds = [kind or _minus(part, given) for kind, part in zip(kinds, e.args, strict=True)]
    if kinds and all(kinds):
        return ">" if kinds.count(">") >= (1 if e.is_Add else len(kinds)) else ">="
    if kinds:
        less = [claim for claim in given if e.is_Add and len(sp.Add.make_args(e - claim.left)) <= len(e.args)]
        found = {
            (_sign(e - claim.left, given - {claim}), claim.kind)
            for claim in less
            if claim.kind in (">", ">=")
        }
        sums = {">=" if pair == (">=", ">=") else ">" for pair in found if pair[0]}
        whole = sums or not e.is_Add or e.primitive()[0] == 1
        return min(sums, default=None) if whole else _sign(e.primitive()[1], given)
    if e.is_Pow and e.exp.is_Rational:
        base = _sign(e.base, given)
        if e.exp.is_Integer and e.exp % 2 == 0:
            base = ">" if ">" in (base, _minus(e.base, given)) else ">="
        base = base or (None if e.exp.is_Integer else ">=")
        return ">" if base and e.exp < 0 else base
    return ">" if e.is_Pow or e.func is sp.exp else ">=" if e.func in (sp.Abs, sp.acos) else None


def known(claim: Claim, given: frozenset) -> bool:
    """Whether `given` implies the claim, as far as is seen here. A claim about numbers that is false is refused."""
    if claim in given or claim.kind not in (">", ">="):
        integral = claim.kind == "integer" and claim.left.is_integer
        return bool(claim in given or integral or (claim.kind == "=" and claim.left == claim.right))
    found = _sign(claim.left, given)
    number = not (claim.left.free_symbols or claim.left.atoms(*OPAQUE))
    false = number and found != claim.kind and (claim.left == 0 or value(claim.left, {}) < 0)
    _ask(found == ">" or not false, "a hypothesis is false: {} {} 0", claim.left, claim.kind)
    return found == ">" or found == claim.kind


def reduced(hypotheses: frozenset) -> frozenset:
    """Without the hypotheses that the others imply."""
    kept = hypotheses
    for claim in sorted(hypotheses, key=written, reverse=True):
        kept -= {claim} if known(claim, kept - {claim}) else set()
    return kept


def _vanishes(e: sp.Expr, given: frozenset) -> None:
    """Refuse unless `e` is 0 where `given` holds: by its normal form, and by balls."""
    if e != 0:
        objection = doubt(e, reduced(given))
        _ask(objection is None, objection or "")
        _ask(canonical(e) == 0, "the normal form leaves {}", canonical(e))
        _USED.add("normal form")


def _slope(e: sp.Expr, x: sp.Symbol) -> sp.Expr:
    if not e.has(x) or e == x:
        return sp.Integer(int(e == x))
    if e.is_Add or e.is_Mul:
        return sp.Add(*(_slope(part, x) * (1 if e.is_Add else e / part) for part in e.args))
    if e.is_Pow and not e.exp.has(x):
        return e.exp * e.base ** (e.exp - 1) * _slope(e.base, x)
    _ask(e.func in _SLOPES, "no slope of {} is known", e)
    return _SLOPES[e.func].xreplace({_U: e.args[0]}) * _slope(e.args[0], x)


def _over(hypotheses: frozenset, integral: sp.Integral) -> set:
    """Hypotheses about an integrand, as hypotheses about the integral."""
    ends = [pair for x, low, high in integral.limits for pair in ((x - low, low), (high - x, high))]
    given = frozenset(Claim(">", gap) for gap, end in ends if end not in (sp.oo, -sp.oo))
    kept = {claim for claim in hypotheses if not known(claim, given)}
    _ask(
        not any(claim.free & _bound(integral) for claim in kept),
        "not known of the integrand over the whole range",
    )
    return kept


def _end(e: sp.Expr, x: sp.Symbol, end: sp.Expr) -> sp.Expr:
    """Value at an end; at infinity of constants, of polynomials times exp(−x²/2) and of erf(x/√2)."""
    if end not in (sp.oo, -sp.oo):
        return e.xreplace({x: end})
    error = sp.erf(x / sp.sqrt(2))
    fixed, moving = sp.expand(sp.expand(e) - sp.expand(e).coeff(error) * error).as_independent(x, as_Add=True)
    _ask(sp.expand(moving * sp.exp(x**2 / 2)).is_polynomial(x), "no limit of {} is known", moving)
    return fixed + sp.expand(e).coeff(error) * sp.sign(end)


def _finally(hypotheses: frozenset, claim: Claim) -> set:
    """What is left of hypotheses that have to hold near the point of a limit only."""
    x, kept = claim.variable, {h for h in hypotheses if claim.variable not in h.free}
    for h in hypotheses - kept:
        late = h.kind in (">", ">=") and (claim.order != sp.oo or not (h.left - x).has(x))
        _ask(late, "{} is not known near the limit", h)
        at_zero = (Claim(">", h.left), *needs(h.left, True)) if claim.order != sp.oo else ()
        kept |= {need.at({x: sp.Integer(0)}) for need in at_zero}
    return kept


def _kinds(*facts: Any, kinds: tuple = (">", ">=")) -> None:
    for fact in facts:
        _ask(
            fact.claim.kind in kinds,
            "{} is of kind {}, not {}",
            fact.claim,
            fact.claim.kind,
            " or ".join(kinds),
        )


class _Rules:
    def axiom(name: str) -> tuple:
        return AXIOMS[name]

    def suppose(claim: Claim, given: frozenset = frozenset()) -> tuple:
        """A hypothesis; a sign that is manifest where `given` holds stands without it."""
        sides = (claim.left, claim.right) if claim.kind != "limit" else (claim.right,)
        return claim, {claim}.union(given, *map(needs, sides))

    def same(left: sp.Expr, right: sp.Expr, given: frozenset = frozenset(), *fact: Any) -> tuple:
        """left = right (or left − right = a − b for a fact a = b) by their normal forms: field operations, roots,
        addition theorems, linearity of integrals and sums."""
        _kinds(*fact, kinds=("=",))
        hypotheses = needs(left) | needs(right) | given.union(*(one.hypotheses for one in fact))
        _vanishes(left - right - sp.Add(*(one.lhs - one.rhs for one in fact)), hypotheses)
        return Claim("=", left, right), hypotheses

    def cut(fact: Any, lemma: Any) -> tuple:
        """Drop a hypothesis that is established."""
        met = {lemma.claim} | ({lemma.claim._replace(kind=">=")} if lemma.claim.kind == ">" else set())
        _ask(fact.hypotheses & met, "{} is no hypothesis", lemma.claim)
        return fact.claim, (fact.hypotheses - met) | lemma.hypotheses

    def either(first: Any, second: Any, e: sp.Expr) -> tuple:
        """A claim that holds where e ≥ 0, and where −e ≥ 0."""
        cases = Claim(">=", e), Claim(">=", -e)
        fits = first.claim == second.claim and cases[0] in first.hypotheses and cases[1] in second.hypotheses
        _ask(fits, "these are not the two cases of a claim")
        return first.claim, (first.hypotheses - {cases[0]}) | (second.hypotheses - {cases[1]})

    def join(first: Any, second: Any) -> tuple:
        """From a = b and a claim about b the same about a; from f → b (f = b + O) and b = c that of c; of orders."""
        a, b, hypotheses = first.claim, second.claim, first.hypotheses | second.hypotheses
        _ask(a.right == b.left, "{} is not {}", a.right, b.left)
        if a.kind in ("limit", "order") and b.kind == "=":
            _ask(a.kind == "order" or a.variable not in b.free, "a limit does not depend on its variable")
            return a._replace(right=b.right), first.hypotheses | _finally(second.hypotheses, a)
        if a.kind == b.kind == "order" and a.variable == b.variable:
            return a._replace(right=b.right, order=min(a.order, b.order)), hypotheses
        _kinds(first, kinds=("=",))
        if b.variable is None:
            return b._replace(left=a.left), hypotheses
        return b._replace(left=a.left), _finally(first.hypotheses, b) | second.hypotheses

    def inside(e: sp.Expr, *facts: Any) -> tuple:
        """e = e with one side of equalities (the left, if e has it) replaced by the other, one after the other."""
        new, hypotheses = e, needs(e)
        for fact in facts:
            _kinds(fact, kinds=("=",))
            turned = new.xreplace({fact.lhs: fact.rhs}) == new
            old, by = (fact.rhs, fact.lhs) if turned else (fact.lhs, fact.rhs)
            spoken = fact.claim.free.union(*(claim.free for claim in fact.hypotheses))
            caught = any(
                part != old and part.has(old) and spoken & _bound(part) for part in new.atoms(*BINDERS)
            )
            _ask(not caught, "{} speaks of a variable that is bound in {}", fact.claim, new)
            changed = new.xreplace({old: by})
            _ask(changed != new, "the expression does not contain {}", fact.lhs)
            new, hypotheses = changed, hypotheses | fact.hypotheses | needs(changed)
        return Claim("=", e, new), hypotheses

    def specialise(fact: Any, values: dict) -> tuple:
        """The fact with expressions for free symbols, or new names for bound ones."""
        claims = (fact.claim, *fact.hypotheses)
        sides = [side for claim in claims for side in claim[1:3]]
        caught = {c.variable for c in claims}.union(
            *(_bound(part) for side in sides for part in side.atoms(*BINDERS))
        )
        hypotheses = {claim.at(values) for claim in fact.hypotheses}
        for symbol, new in values.items():
            free = any(symbol in claim.free for claim in claims)
            fresh = (
                new.is_Symbol
                and symbol.assumptions0 == new.assumptions0
                and not any(x.has(new) for x in sides)
            )
            fits = free and symbol not in caught and not new.free_symbols & caught
            renamed = not free and fresh and symbol != fact.claim.variable
            _ask(
                symbol.is_Symbol and (fits or renamed),
                "{} cannot be {}: free symbols take values, uncaught",
                symbol,
                new,
            )
            hypotheses |= (
                needs(symbol) | needs(new) | ({Claim("integer", new)} if symbol.is_integer else set())
            )
            hypotheses |= (
                {Claim(">" if symbol.is_positive else ">=", new)} if symbol.is_nonnegative else set()
            )
        return fact.claim.at(values), hypotheses

    def slope(e: sp.Expr, x: sp.Symbol) -> tuple:
        return Claim("=", sp.Derivative(e, x), _slope(e, x)), needs(e, True) | needs(_slope(e, x))

    def along(fact: Any, start: sp.Expr) -> tuple:
        """From f' = 0 (> 0, ≥ 0) along an interval: f(x) = f(start) (f(x) − f(start) > 0, ≥ 0) for x > start."""
        f, x, low, kind = fact.lhs.expr, fact.lhs.variables[0], set(), fact.claim.kind
        for claim in fact.hypotheses:
            k = claim.left.coeff(x)
            plain = claim.kind in (">", ">=") and k in (1, -1) and not (claim.left - k * x).has(x)
            _ask(plain or x not in claim.free, "{} is no interval of {}", claim, x)
            low |= {Claim(">=", claim.left.xreplace({x: start}))} if k == 1 else set()
        single = len(fact.lhs.variables) == 1 and x not in start.free_symbols and not x.is_integer
        _ask(
            single and fact.rhs == 0 and kind in ("=", ">", ">="),
            "this is no sign of a slope along an interval",
        )
        low |= {Claim(">=", start)} if x.is_nonnegative else set()
        there = f.xreplace({x: start})
        claim = Claim("=", f, there) if kind == "=" else Claim(kind, f - there)
        ends = {Claim(">" if kind == ">" else ">=", x - start), *(need.at({x: start}) for need in needs(f))}
        return claim, fact.hypotheses.union(low, ends, needs(start))

    def under(integral: sp.Integral, fact: Any) -> tuple:
        """∫f = ∫g from f = g over the range."""
        _ask(fact.claim.kind == "=" and fact.lhs == integral.function, "{} is not the integrand", fact.lhs)
        return Claim("=", integral, integral.func(fact.rhs, *integral.limits)), _over(
            fact.hypotheses, integral
        )

    def antiderivative(integral: sp.Integral, primitive: sp.Expr) -> tuple:
        """∫ = F(high) − F(low) for F of slope f inside the range, continuous up to its ends."""
        ((x, low, high),), smooth = integral.limits, needs(primitive, True)
        _vanishes(_slope(primitive, x) - integral.function, smooth | needs(integral.function))
        finite = [end for end in (low, high) if end not in (sp.oo, -sp.oo)]
        ends = {need.at({x: end}) for need in needs(primitive) for end in finite}
        order = {Claim(">=", high - low)} if len(finite) == 2 else set()
        result = _end(primitive, x, high) - _end(primitive, x, low)
        return Claim("=", integral, result), _over(smooth, integral) | needs(integral) | ends | order

    def split(integral: sp.Integral, cut: sp.Expr) -> tuple:
        ((x, low, high),), f = integral.limits, integral.function
        order = {Claim(">=", b - a) for a, b in ((low, cut), (cut, high)) if sp.oo not in (b, -a)}
        pieces = sp.Integral(f, (x, low, cut)) + sp.Integral(f, (x, cut, high))
        return Claim("=", integral, pieces), order | needs(integral) | needs(pieces)

    def product(integral: sp.Integral, f: sp.Expr, g: sp.Expr) -> tuple:
        """∫∫ f(x) g(y) = ∫f ∫g (Fubini)."""
        first, second = integral.limits
        apart = not any(first[0] in s.free_symbols for s in (g, *second[1:]))
        apart = apart and not any(second[0] in s.free_symbols for s in (f, *first[1:]))
        _ask(apart, "the two factors or their ranges depend on each other")
        _vanishes(integral.function - f * g, needs(f) | needs(g))
        new = sp.Integral(f, first) * sp.Integral(g, second)
        return Claim("=", integral, new), needs(integral) | needs(new)

    def polar(integral: sp.Integral, r: sp.Symbol, t: sp.Symbol, start: sp.Expr, result: sp.Expr) -> tuple:
        """∫∫ f(x, y) over the plane = ∫∫ result, r > 0 and t a full turn, where result = f(r cos t, r sin t) r."""
        (x, *line), (y, *other) = integral.limits
        plain = line == other == [-sp.oo, sp.oo] and not {r, t} & (integral.free_symbols | start.free_symbols)
        fits = r.is_positive and not (r.is_integer or t.is_integer or t.is_nonnegative)
        _ask(
            plain and fits and {r, t}.isdisjoint({x, y}),
            "polar coordinates take the whole plane and two new names",
        )
        there = r * integral.function.xreplace({x: r * sp.cos(t), y: r * sp.sin(t)})
        _vanishes(there - result, needs(there) | needs(result))
        new = sp.Integral(result, (r, 0, sp.oo), (t, start, start + 2 * sp.pi))
        return Claim("=", integral, new), needs(integral) | needs(new)

    def taylor(f: sp.Expr, x: sp.Symbol, *slopes: Any) -> tuple:
        """f = Σ f_k(0) x^k/k! + O(x^n), where f_k' = f_{k+1} for k < n, all continuous at 0 and near it."""
        total, hypotheses, at = sp.Integer(0), needs(f, True), f
        for k, fact in enumerate(slopes):
            _ask(
                fact.claim.kind == "=" and fact.lhs == sp.Derivative(at, x),
                "{} is no slope of {}",
                fact.claim,
                at,
            )
            total += at.xreplace({x: sp.Integer(0)}) * x**k / sp.factorial(k)
            hypotheses, at = hypotheses | fact.hypotheses | needs(fact.rhs, True), fact.rhs
        _ask(slopes and not x.is_integer, "a Taylor polynomial takes a slope at least")
        claim = Claim("order", f, total, x, len(slopes))
        return claim, _finally(hypotheses, claim)

    def lowered(fact: Any, m: int) -> tuple:
        """f/x^m = g/x^m + O(x^{n−m}), for a polynomial g/x^m, m < n."""
        _kinds(fact, kinds=("order",))
        f, g, x, n = fact.claim[1:]
        lower = sp.expand(g / x**m)
        _ask(n > m and lower.is_polynomial(x), "{} does not vanish to order {}", f, m)
        return Claim("order", f / x**m, lower, x, n - m), fact.hypotheses

    def limit(fact: Any) -> tuple:
        """The value at 0 of what a function equals up to O(x^k), k ≥ 1."""
        _kinds(fact, kinds=("order",))
        at_zero = fact.rhs.xreplace({fact.claim.variable: sp.Integer(0)})
        return fact.claim._replace(kind="limit", right=at_zero, order=0), fact.hypotheses | needs(
            fact.rhs, True
        )

    def through(e: sp.Expr, facts: dict) -> tuple:
        """e of parts that have limits (orders) is e of the limits (up to the lowest order), where e is smooth."""
        first = next(iter(facts.values())).claim
        _kinds(*facts.values(), kinds=(first.kind,))
        alike = len({(f.claim.variable, first.kind == "order" or f.claim.order) for f in facts.values()}) == 1
        alike = alike and first.kind in ("limit", "order") and first.variable not in e.free_symbols
        _ask(alike and not e.atoms(*BINDERS), "{} is no smooth function of parts with limits at one point", e)
        left, right = (e.xreplace({s: f.claim[i] for s, f in facts.items()}) for i in (1, 2))
        at = {s: f.rhs.xreplace({first.variable: sp.Integer(0)}) for s, f in facts.items()}
        smooth = {Claim(">", at[s]) for s in facts if s.is_nonnegative} | {
            need.at(at) for need in needs(e, True)
        }
        _ask(not any(s.is_integer for s in facts), "parts are real")
        claim = Claim(first.kind, left, right, first.variable, min(f.claim.order for f in facts.values()))
        return claim, smooth.union(*(f.hypotheses for f in facts.values()))

    def composed(outer: Any, inner: Any, sign: Any) -> tuple:
        """F(e(x)) → K from F(t) → K for t → 0 and e(x) → 0, e > 0."""
        a, b, spoken = outer.claim, inner.claim, outer.claim.free.union(*(h.free for h in outer.hypotheses))
        fits = (a.kind, b.kind, a.order, b.right) == ("limit", "limit", 0, 0) and sign.claim == Claim(
            ">", b.left
        )
        _ask(
            fits and b.variable not in spoken and not a.left.atoms(*BINDERS),
            "this is no function of what tends to 0",
        )
        left, kept = a.left.xreplace({a.variable: b.left}), _finally(sign.hypotheses, b)
        return b._replace(left=left, right=a.right), outer.hypotheses | inner.hypotheses | kept

    def squeezed(f: sp.Expr, low: Any, below: Any, high: Any, over: Any) -> tuple:
        """f → K from f − g ≥ 0, g → K, h − f ≥ 0, h → K."""
        _kinds(low, high), _kinds(below, kinds=("limit",))
        g, h = below.claim, over.claim
        _ask(
            h._replace(left=g.left) == g and low.lhs == f - g.left and high.lhs == h.left - f,
            "this encloses nothing",
        )
        return g._replace(left=f), below.hypotheses | over.hypotheses | _finally(
            low.hypotheses | high.hypotheses, g
        )

    def induction(claim: Claim, n: sp.Symbol, base: Any, step: Any) -> tuple:
        """P(n) for n ≥ n_0 from P(n_0), n_0 = 0 or 1, and P(n) ⊢ P(n + 1)."""
        starts = [k for k in (0, 1)[n.is_positive :] if claim.at({n: sp.Integer(k)}) == base.claim]
        _ask(starts and n.is_integer and n.is_nonnegative and claim.variable is None, "there is no start")
        _ask(
            step.claim == claim.at({n: n + 1}) and claim in step.hypotheses,
            "there is no step from n to n + 1",
        )
        begun = Claim(">=", n - starts[0])
        kept = {h for h in step.hypotheses - {claim} if not known(h, frozenset({begun}))}
        _ask(not any(n in h.free for h in kept), "{} is assumed of the number of steps", kept)
        return claim, base.hypotheses | kept | {begun}

    def sequence(name: str, n: sp.Symbol, q: sp.Symbol, start: sp.Expr, step: sp.Expr, begins: bool) -> tuple:
        """q(0) = start or q(n + 1) = step(n, q(n)): a new function of the count and the other symbols."""
        names = sorted((start.free_symbols | step.free_symbols) - {n, q}, key=lambda s: s.sort_key())
        counts = n.is_integer and n.is_nonnegative and not n.is_positive and not {n, q} & start.free_symbols
        _ask(
            counts and not q.is_nonnegative and not q.is_integer, "{} needs a count n and a real state", name
        )
        new = _DEFINED.setdefault(name, (n, q, start, step)) == (n, q, start, step)
        _ask(new, "{} is defined already, as something else", name)
        at = sp.Function(name, real=True)
        if begins:
            return Claim("=", at(0, *names), start), needs(start)
        following = step.xreplace({q: at(n, *names)})
        return Claim("=", at(n + 1, *names), following), needs(following)


Fact, genuine, by = _sealed(_Rules)
