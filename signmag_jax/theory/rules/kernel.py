"""The trusted part of the proofs: facts, and the only functions that make them.

A fact is `hypotheses ⊢ claim`: for all real values of its free symbols that meet the symbols' assumptions and
the hypotheses, all in the claim is defined and the claim holds. Claims are equalities, signs (e > 0, e ≥ 0)
and orders f = g + o(x^m), x → 0 from above; an order 0 is a limit. This is sound, as
1. only the rules make facts, of facts and of expressions of SymPy's own plain types; a closure keeps them;
2. `needs(e)` is what makes e a real number or, if strict, smooth. Rules add the needs of what they bring in
   or drop: nothing holds "where defined". A hypothesis is dropped only if the others imply it;
3. substitution carries hypotheses and the assumptions of symbols, and captures no bound symbol;
4. slopes follow the chain rule. From one we come to its function, or to an integral, only between two ends up
   to which the function is continuous, and only if all that is assumed of the variable holds between them;
5. integrals converge absolutely, as linearity, Fubini and polar coordinates ask;
6. orders come from Taylor's theorem, from smooth functions of what has an order, and from composition.
Trusted beside this file: Python; SymPy's constructors, substitution, assumptions, `is_polynomial`, `expand`;
python-flint by `balls.value`, for signs of numbers; and, as a named step ("normal form"), `normal.canonical`
where it says that an expression vanishes and `expand` does not show it: then `doubts` has to find points of
the domain, and Arb balls have to contain 0 there. The promise ends where Python is open: with who rebinds
names, reads the closure that keeps the facts, alters an object behind its constructor, or fills caches.
"""

# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportSelfClsParameterName=false
from functools import lru_cache, wraps
from typing import Any, NamedTuple

import sympy as sp
from sympy.core.function import UndefinedFunction

from .balls import OPAQUE, value
from .doubts import Refused, doubt, false, written
from .normal import canonical

Expr = Any  # SymPy's own annotations are narrower than what its functions take and return.
BINDERS, ENDLESS, SIGNS = (sp.Integral, sp.Sum, sp.Derivative), {sp.oo, -sp.oo}, (">", ">=")
_U, _ZERO, _ONE = sp.Symbol("u", real=True), sp.Integer(0), sp.Integer(1)
_SLOPES = {sp.exp: sp.exp(_U), sp.sin: sp.cos(_U), sp.cos: -sp.sin(_U), sp.atan: 1 / (1 + _U**2)}
_SLOPES |= {sp.asin: 1 / sp.sqrt(1 - _U**2), sp.acos: -1 / sp.sqrt(1 - _U**2), sp.Abs: sp.sign(_U)}
_SLOPES |= {sp.erf: 2 * sp.exp(-(_U**2)) / sp.sqrt(sp.pi), sp.log: 1 / _U}
_PARTS = (sp.Add, sp.Mul, sp.Pow, sp.sign, *_SLOPES)
_SLOW = {sp.Symbol, sp.Dummy, sp.Add, sp.Mul, sp.Abs, sp.sign, sp.sin, sp.cos, sp.atan, sp.erf}
_PLAIN = {*_PARTS, *BINDERS, *map(type, (sp.pi, sp.E, *ENDLESS)), sp.Tuple}
_COUNT = sp.Symbol("n", integer=True, nonnegative=True).assumptions0
_SEEN: dict[int, sp.Basic] = {}
RECURSIONS: dict[str, tuple] = {}  # count, state, start and step of each sequence
_kept = lru_cache(maxsize=None, typed=True)  # by type too: True and 1 equal SymPy's one, and mean nothing


class Claim(NamedTuple):
    """`kind` is one of = > >= order. A sign has 0 on the right, an order its exponent m in `order`."""

    kind: str
    left: Expr
    right: Expr = _ZERO
    variable: Any = None
    order: int | None = None
    free = property(lambda self: self.left.free_symbols | self.right.free_symbols)

    def at(self, values: dict) -> "Claim":
        return self._replace(left=self.left.xreplace(values), right=self.right.xreplace(values))

    def bound(self, *but: Expr) -> set:
        binders = sp.Tuple(self.left, self.right).atoms(*BINDERS) - {*but}
        return {limits[0] for binder in binders for limits in binder.args[1:]}


class Fact(NamedTuple):
    """What the kernel has established: `claim` under `hypotheses`, resting on `trusted` steps."""

    claim: Claim
    hypotheses: frozenset
    trusted: frozenset
    lhs = property(lambda self: self.claim.left)
    rhs = property(lambda self: self.claim.right)
    free = property(lambda self: self.claim.free.union(*(claim.free for claim in self.hypotheses)))


def _ask(condition: object, objection: str, *parts: Any) -> None:
    if not condition:
        raise Refused(objection.format(*map(written, parts)) if parts else objection)


def _real(x: Any) -> bool:
    return type(x) in (sp.Symbol, sp.Dummy) and not x.is_integer


def _facts(x: Any) -> list:
    """The facts among what a rule is given. All else has to be built of what has a meaning here."""
    if type(x) in (tuple, frozenset, dict):
        return [fact for part in (x.items() if type(x) is dict else x) for fact in _facts(part)]
    if type(x) is Claim:
        limiting = _real(x.variable) and type(x.order) is int and x.order >= 0 and x.kind == "order"
        plain = x.variable is x.order is None and (x.kind == "=" or (x.kind in SIGNS and x.right == 0))
        _ask(type(x.kind) is str and (limiting or plain), "this is no claim")
        return _facts(x[1:3])
    if isinstance(x, sp.Basic) and _SEEN.get(id(x)) is not x:
        _ask(_plain(x) and not _facts(x.args), "the kernel gives no meaning to {}", x)
        _SEEN[id(x)] = x
    return [] if isinstance(x, sp.Basic) or type(x) in (str, int, bool) else [x]


def _plain(x: Any) -> bool:
    """Whether the type of x says what it means: no class of one's own, no argument too many."""
    kind = type(x)
    if type(kind) is UndefinedFunction:
        usual = UndefinedFunction(str(kind.__name__), real=True)
        alike = vars(kind) == vars(usual) and kind.__mro__[1:] == usual.__mro__[1:]
        return alike and all(type(own) is type(vars(usual)[name]) for name, own in vars(kind).items())
    if kind in (sp.Symbol, sp.Dummy):
        told = {name: True for name in ("integer", "nonnegative", "positive") if x.assumptions0.get(name)}
        return type(x.name) is str and x.assumptions0 == sp.Symbol("x", real=True, **told).assumptions0
    if x.is_Rational:
        usual: Any = type(x.p) is type(x.q) is int and sp.Rational(x.p, x.q)
        return type(usual) is kind and (usual.p, usual.q) == (x.p, x.q)
    count = 1 if issubclass(kind, sp.Function) else 2 if kind is sp.Pow else len(x.args)
    return kind in _PLAIN and len(x.args) == count


def _sealed(rules: type) -> Any:
    made: dict[int, Fact] = {}

    def genuine(fact: Any) -> bool:
        return fact is not None and made.get(id(fact)) is fact

    def rule(check: Any) -> Any:
        @wraps(check)
        def make(*given: Any) -> Fact:
            try:
                facts = _facts(given)
                _ask(all(map(genuine, facts)), "this is no fact of the kernel's")
                claim, hypotheses, *trusted = check(*given)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                raise Refused(f"{check.__name__} does not take this: {error}") from error
            trusted = frozenset().union(*trusted, *(fact.trusted for fact in facts))
            fact = Fact(claim, reduced(frozenset(hypotheses)), trusted)
            _facts(fact[:2])
            return made.setdefault(id(fact), fact)

        return make

    return type("by", (), {"genuine": genuine} | {k: rule(f) for k, f in vars(rules).items() if k[0] != "_"})


@_kept
def needs(e: Expr, strict: bool = False) -> frozenset:
    """Claims under which `e` is a real number; if strict, under which it is smooth."""
    _ask(not _facts(e), "this is no expression")
    if e.is_Symbol or e.is_Rational or e in (sp.pi, sp.E):
        return frozenset()
    _ask(isinstance(e, _PARTS if strict else (*_PARTS, *OPAQUE)), "{} is no real number, or has no slope", e)
    if isinstance(e, BINDERS):
        return _needs_of_binder(e, {limits[0] for limits in e.args[1:]})
    found = set().union(*(needs(part, strict) for part in e.args))
    if (e.is_Pow and e.exp.is_Integer and e.exp < 0) or (strict and e.func in (sp.Abs, sp.sign)):
        found.add(Claim(">", sp.Pow(e.args[0], 2)))
    elif (e.is_Pow and not e.exp.is_Integer) or e.func is sp.log:
        weak = e.is_Pow and not strict and e.exp.is_Rational and e.exp > 0
        found.add(Claim(">=" if weak else ">", e.args[0]))
    elif e.func in (sp.acos, sp.asin):
        found.add(Claim(">" if strict else ">=", 1 - e.args[0] ** 2))
    return frozenset(found)


def _needs_of_binder(e: Expr, names: set) -> frozenset:
    """A range is finite in sums, free of its own variables, and where they may lie; integrands stay small."""
    if type(e) is sp.Derivative:
        _ask(e.args[1:] == (sp.Tuple(*names, 1),) and _real(*names), "{} is no slope by a real symbol", e)
        return needs(e.expr, True)
    found, sums, terms = needs(e.function), type(e) is sp.Sum, sp.Add.make_args(e.function)
    fixed = len(names) == len(e.limits) and not any(claim.free & names for claim in found)
    _ask(fixed, "{} is not known to be defined over the whole range", e.function)
    for x, low, high in e.limits:
        finite, endless = {low, high} - ENDLESS, bool({low, high} & ENDLESS)
        own = any(end.free_symbols & names for end in finite) or low == sp.oo or high == -sp.oo
        fits = x.is_Symbol and bool(x.is_integer) is sums and not (x.is_nonnegative and low == -sp.oo)
        _ask(fits and not own and not (sums and endless), "{} has no such range, or does not converge", e)
        terms = [term * sp.exp(x**2 / 2) for term in terms] if endless else terms
        ends = (low - int(bool(x.is_positive)), high - low + 1) if sums else finite
        found = found.union(*map(needs, finite), {Claim(">=", end) for end in ends if x.is_nonnegative})
    moving: list[Any] = [p for term in terms for p in sp.preorder_traversal(term) if p.free_symbols & names]
    slow = all(type(p) in _SLOW or (p.is_Pow and p.exp.is_Integer and p.exp > 0) for p in moving)
    _ask(sums or slow, "{} is not known to converge", e)
    return found


@_kept
def known(claim: Claim, given: frozenset) -> bool:
    """Whether `given` manifestly implies the claim: signs of sums, products, powers and numbers show."""
    _ask(not _facts((claim, given)), "this is no claim")
    kind, e, strict = claim.kind, claim.left, claim.kind == ">"
    if claim in given or kind not in SIGNS:
        return claim in given or (kind == "=" and e == claim.right)
    if e.is_Symbol or Claim(">", e) in given:
        return Claim(">", e) in given or bool(e.is_positive if strict else e.is_nonnegative)
    if not (e.free_symbols or e.atoms(*OPAQUE)):
        return bool(value(e, {}) > 0) or (e == 0 and not strict)
    if e.is_Add or e.is_Mul:
        moving = [part for part in e.args if part.free_symbols or part.atoms(*OPAQUE)]
        parts = [e.func(*(part for part in e.args if part not in moving)), *moving]
        enough = any if strict and e.is_Add else all
        weak = all(known(Claim(">=", part), given) for part in parts)
        return weak and enough(known(Claim(kind, part), given) for part in parts)
    if e.is_Pow and e.exp.is_Rational:
        odd, nonzero = e.exp.is_Integer and e.exp % 2 == 1, strict and e.exp > 0
        return not (odd or nonzero) or known(Claim(">" if nonzero else ">=", e.base), given)
    return e.is_Pow or e.func is sp.exp or (e.func in (sp.Abs, sp.acos) and not strict)


def reduced(hypotheses: frozenset) -> frozenset:
    """Without the hypotheses that the others imply. What is false of a number is refused."""
    kept = hypotheses
    for claim in sorted(hypotheses, key=written, reverse=True):
        kept -= {claim} if known(claim, kept - {claim}) else set()
    _ask(not any(map(false, kept)), "a hypothesis is false: {}", kept)
    return kept


@_kept
def slope(e: Expr, x: sp.Symbol) -> Expr:
    _ask(not _facts((e, x)), "this is no expression")
    if not e.has(x) or e == x:
        return sp.Integer(int(e == x))
    if e.is_Add or e.is_Mul:
        return sp.Add(*(slope(p, x) * (1 if e.is_Add else e / p) for p in e.args if p.has(x)))
    if e.is_Pow and not e.exp.has(x):
        return e.exp * e.base ** (e.exp - 1) * slope(e.base, x)
    _ask(e.func in _SLOPES, "no slope of {} is known", e)
    return _SLOPES[e.func].xreplace({_U: e.args[0]}) * slope(e.args[0], x)


def _over(hypotheses: frozenset, x: sp.Symbol, low: Expr, high: Expr) -> set:
    """Hypotheses about what lies between two ends, as hypotheses about the ends."""
    gaps = {low: x - low, high: high - x}
    given = frozenset(Claim(">", gap) for end, gap in gaps.items() if end not in ENDLESS)
    kept = {claim for claim in hypotheses if not known(claim, given)}
    _ask(not any(x in h.free for h in kept), "not known over the whole range: no interval of {} is given", x)
    return kept | (set() if ENDLESS & {low, high} else {Claim(">=", high - low)})


def _end(e: Expr, x: sp.Symbol, end: Expr) -> Expr:
    """Value at an end; at infinity exp(−x²/2) tends to 0 and erf(x/√2) to ±1, faster than any polynomial."""
    if end not in ENDLESS:
        return e.xreplace({x: end})
    error, bell = sp.Dummy("error"), sp.Dummy("bell")
    whole = sp.expand(e).xreplace({sp.erf(x / sp.sqrt(2)): error, sp.exp(-(x**2) / 2): bell})
    still = sp.expand(whole.xreplace({error: sp.sign(end), bell: _ZERO}))
    _ask(whole.is_polynomial(x, error, bell) and not still.has(x), "no limit of {} is known", e)
    return still


@_sealed
class by:
    def axiom(name: str) -> tuple:
        return {
            "|u| = u": (Claim("=", sp.Abs(_U), _U), {Claim(">=", _U)}),
            "sign u = 1": (Claim("=", sp.sign(_U), _ONE), {Claim(">", _U)}),
            "cos u ≥ 0": (Claim(">=", sp.cos(_U)), {Claim(">=", sp.pi / 2 + k * _U) for k in (1, -1)}),
            "acos u ≤ π": (Claim(">=", sp.pi - sp.acos(_U)), {Claim(">=", 1 - _U**2)}),
        }[name]

    def suppose(claim: Claim, given: frozenset = frozenset()) -> tuple:
        """A hypothesis; a sign that is manifest where `given` holds stands without it. Of orders: a limit."""
        limit = claim.order == 0 and not claim.right.has(claim.variable)
        _ask(limit or claim.kind != "order", "of orders only limits are supposed")
        return claim, {claim}.union(given, needs(claim.right), () if limit else needs(claim.left))

    def same(left: Expr, right: Expr, *facts: Any) -> tuple:
        """left = right (left − right = Σ a − b for facts a = b) by normal forms, slopes by the chain rule:
        field operations, roots, addition theorems, linearity of integrals and sums."""
        _ask(all(fact.claim.kind == "=" for fact in facts), "what is of kind order, > or >= is no equality")
        hypotheses = needs(left).union(needs(right), *(fact.hypotheses for fact in facts))
        rest = left - right - sp.Add(*(fact.lhs - fact.rhs for fact in facts))
        rest = rest.xreplace({e: slope(e.expr, *e.variables) for e in rest.atoms(sp.Derivative)})
        objection = None if (plain := sp.expand(rest) == 0) else doubt(rest, reduced(hypotheses))
        _ask(not objection, "{}", objection)
        _ask(plain or canonical(rest) == 0, "what is left is {}", canonical(rest))
        return Claim("=", left, right), hypotheses, set() if plain else {"normal form"}

    def rewrite(fact: Any, equality: Any, left: Expr, right: Expr) -> tuple:
        """A claim whose left and right are what they were, or with b for a, or a for b, from a = b."""
        (kind, a, b, *_), claim = equality.claim, fact.claim._replace(left=left, right=right)
        _ask(kind == "=", "{} is of kind {} and no equality", equality.claim, kind)
        ways = [{old: new} for old, new in ((a, b), (b, a)) if not equality.free & fact.claim.bound(old)]
        _ask(ways, "{} speaks of what is bound", equality.claim)
        fits = all(e in (old, *map(old.xreplace, ways)) for e, old in ((left, fact.lhs), (right, fact.rhs)))
        _ask(fits, "{} is not {} by {}", claim, fact.claim, equality.claim)
        more = equality.hypotheses.union(*map(needs, {left, right} - {a, b, fact.lhs, fact.rhs}))
        # Of a limit they are asked for small x > 0 only: it is enough that they hold at 0, strictly.
        near = {h for h in more if claim.variable in h.free}
        _ask(all(h.kind in SIGNS for h in near), "{} is not known near the limit", equality.claim)
        there = {need for h in near for need in (Claim(">", h.left), *needs(h.left, True))}
        return claim, fact.hypotheses | (more - near) | {need.at({claim.variable: _ZERO}) for need in there}

    def cut(fact: Any, lemma: Any) -> tuple:
        """Drop a hypothesis that is established."""
        met = {lemma.claim} | ({lemma.claim._replace(kind=">=")} if lemma.claim.kind == ">" else set())
        _ask(fact.hypotheses & met, "{} is no hypothesis", lemma.claim)
        return fact.claim, (fact.hypotheses - met) | lemma.hypotheses

    def either(first: Any, second: Any, e: Expr) -> tuple:
        """A claim that holds where e ≥ 0, and where −e ≥ 0."""
        cases = Claim(">=", e), Claim(">=", -e)
        fits = first.claim == second.claim and cases[0] in first.hypotheses and cases[1] in second.hypotheses
        _ask(fits, "these are not the two cases of a claim")
        return first.claim, (first.hypotheses - {cases[0]}) | (second.hypotheses - {cases[1]}) | needs(e)

    def specialise(fact: Any, values: dict) -> tuple:
        """The fact with expressions for free symbols, or with another name for one that is bound."""
        caught = set().union(*(c.bound() | {c.variable} for c in (fact.claim, *fact.hypotheses)))
        signs = {Claim(">" if s.is_positive else ">=", new) for s, new in values.items() if s.is_nonnegative}
        hypotheses = signs.union(
            (claim.at(values) for claim in fact.hypotheses), *map(needs, values.values())
        )
        for symbol, new in values.items():
            fits = symbol in fact.free - caught and not new.free_symbols & caught
            if len(values) == 1 and symbol in caught - fact.free and new.is_Symbol:
                fits = symbol.assumptions0 == new.assumptions0 and new not in fact.free | caught
            fits = fits and symbol.is_Symbol and (new.is_integer or not symbol.is_integer)
            _ask(fits, "{} cannot be {}: free symbols take values, uncaught", symbol, new)
        return fact.claim.at(values), hypotheses

    def rise(fact: Any, low: Expr, high: Expr) -> tuple:
        """From f' = g between low and high f(high) − f(low) = ∫g; from f' > 0 (≥ 0) its sign."""
        (kind, rate, g, *_), ends = fact.claim, {low, high} - ENDLESS
        fits = type(rate) is sp.Derivative and (kind == "=" or (kind in SIGNS and len(ends) == 2))
        _ask(fits, "{} says nothing of a slope between these ends", fact.claim)
        f, x = rate.expr, rate.variables[0]
        gap, integral = _end(f, x, high) - _end(f, x, low), sp.Integral(g, (x, low, high))
        continuous = {need.at({x: end}) for need in needs(f) for end in ends}
        hypotheses = _over(fact.hypotheses, x, low, high).union(continuous, needs(integral))
        if kind == "=":
            return Claim("=", gap, integral), hypotheses
        return Claim(kind, gap), hypotheses | {Claim(kind, high - low)}

    def pieces(integral: sp.Integral, cuts: tuple, *facts: Any) -> tuple:
        """∫f = Σ ∫f_k over the pieces between cuts of the outermost range, from f = f_k on the k-th."""
        *inner, (x, low, high) = integral.limits
        function = sp.Integral(integral.function, *inner) if inner else integral.function
        alike = all(fact.claim[:2] == ("=", function) for fact in facts)
        _ask(alike and type(integral) is sp.Integral, "{} has another integrand", integral)
        total, hypotheses = _ZERO, needs(integral)
        for *ends, fact in zip((low, *cuts), (*cuts, high), facts, strict=True):
            piece = sp.Integral(fact.rhs, (x, *ends))
            total, hypotheses = total + piece, hypotheses | needs(piece) | _over(fact.hypotheses, x, *ends)
        return Claim("=", integral, total), hypotheses

    def polar(integral: sp.Integral, r: sp.Symbol, t: sp.Symbol, start: Expr, fact: Any) -> tuple:
        """∫∫ f(x, y) over the plane = ∫∫ g, r > 0 and t a full turn, from f(r cos t, r sin t) r = g."""
        (x, *line), (y, *other) = integral.limits
        spoken = start.free_symbols.union(integral.atoms(sp.Symbol), *(h.free for h in fact.hypotheses))
        fits = not spoken & {r, t} and _real(r) and r.is_positive and _real(t) and not t.is_nonnegative
        _ask(fits and line == other == [-sp.oo, sp.oo], "it asks for the whole plane and two new names")
        there = r * integral.function.xreplace({x: r * sp.cos(t), y: r * sp.sin(t)})
        _ask(fact.claim[:2] == ("=", there), "{} is not what {} becomes", fact.claim, integral)
        new = sp.Integral(fact.rhs, (r, 0, sp.oo), (t, start, start + 2 * sp.pi))
        return Claim("=", integral, new), fact.hypotheses | needs(integral) | needs(new)

    def taylor(e: Expr, x: sp.Symbol, n: int, parts: dict) -> tuple:
        """e(x, f/x^k, …) = its Taylor polynomial + o(x^n), for e smooth at 0 and facts f = g + o(x^{n+k})."""
        near = [fact.claim.variable == x and fact.claim.order >= n + k for fact, k in parts.values()]
        left = {y: fact.lhs / x**k for y, (fact, k) in parts.items()}
        inner = {y: sp.expand(fact.rhs / x**k) for y, (fact, k) in parts.items()}
        plain = all(map(_real, (x, *parts))) and all(g.is_polynomial(x) for g in inner.values())
        _ask(all(near) and plain and x not in parts, "{} is no function of orders of x", e)
        smooth = needs(e, True) | {Claim(">", y) for y in parts if y.is_nonnegative}
        ends = {x: _ZERO, **{y: g.xreplace({x: _ZERO}) for y, g in inner.items()}}
        h, total = e.xreplace(inner), e.xreplace(ends)
        h = sp.expand(h) if h.is_polynomial(x) else h
        for k in range(1, n + 1):
            h = slope(h, x)
            total += h.xreplace({x: _ZERO}) * x**k / sp.factorial(k)
        given = {need.at(ends) for need in smooth}.union(*(fact.hypotheses for fact, _ in parts.values()))
        return Claim("order", e.xreplace(left), total, x, n), given

    def composed(outer: Any, inner: Any, sign: Any) -> tuple:
        """F(e(x)) → K from F(t) → K for t → 0, e(x) → 0 and sign e(x) → 1."""
        (_, f, end, t, _), (_, e, zero, x, _) = outer.claim, inner.claim
        above = sign.claim == Claim("order", sp.sign(e), _ONE, x, 0)
        _ask(t is not None and zero == 0 and above, "{} is not 0+", e)
        spoken = end.free_symbols.union(*(h.free for h in outer.hypotheses))
        _ask(x not in outer.free and t not in spoken and not f.atoms(*BINDERS), "{} may vary", outer.claim)
        given = inner.hypotheses | sign.hypotheses
        return Claim("order", f.xreplace({t: e}), end, x, 0), outer.hypotheses | given

    def induction(claim: Claim, n: sp.Symbol, base: Any, step: Any) -> tuple:
        """P(n) for every n from P(0) and P(n) ⊢ P(n + 1)."""
        starts, kept = base.claim == claim.at({n: _ZERO}), step.hypotheses - {claim}
        follows = n.assumptions0 == _COUNT and claim.kind != "order" and step.claim == claim.at({n: n + 1})
        _ask(starts and follows and claim in step.hypotheses, "there is no start, or no step from n to n + 1")
        _ask(not any(n in h.free for h in kept), "{} is assumed of the number of steps", kept)
        return claim, base.hypotheses | kept

    def sequence(name: str, n: sp.Symbol, q: sp.Symbol, start: Expr, step: Expr, begins: bool) -> tuple:
        """q(0) = start or q(n + 1) = step(n, q(n)): a new function of the count and the other symbols."""
        told, at = (n, q, start, step), UndefinedFunction(name, real=True)
        others = sorted((start.free_symbols | step.free_symbols) - {n, q}, key=lambda s: s.sort_key())
        fits = n.assumptions0 == _COUNT and _real(q) and not q.is_nonnegative
        plain = not (start.atoms(*OPAQUE) or step.atoms(*OPAQUE) or {n, q} & start.free_symbols)
        _ask(fits and plain, "{} needs a count, a state and plain steps", name)
        _ask(RECURSIONS.setdefault(name, told) == told, "{} is defined already, as something else", name)
        following = start if begins else step.xreplace({q: at(n, *others)})
        return Claim("=", at(0 if begins else n + 1, *others), following), needs(following)
