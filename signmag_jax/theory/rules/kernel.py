"""The trusted part of the proofs: facts, and the only functions that make them.

A fact is `hypotheses ⊢ claim`: for all real values of its free symbols that meet the symbols' assumptions
(positive, nonnegative, integer) and the hypotheses, all in the claim is defined and the claim holds. Claims
are equalities, signs (e > 0, e ≥ 0) and orders f = g + o(x^m), x → 0 from above; an order 0 is a limit.
A citation hands out the claim with all that it rests on. This is sound, as
1. only the rules make facts: a closure keeps each, and no rule takes another object, an altered fact, or an
   expression that is not of SymPy's own plain types, as their constructors make them;
2. `needs(e)` is what makes e a real number: radicands, denominators, arguments of acos, integrals that
   converge. Rules add the needs of all that they bring in or drop, so nothing holds "where defined". A
   hypothesis is dropped only if the others imply it, and refused if it is false;
3. substitution carries hypotheses and the assumptions of the symbols it replaces, and captures no bound
   symbol; nothing is rewritten under a binder by a fact that speaks of the bound symbol;
4. slopes follow the chain rule, under strict needs (no corner, no branch point). From a slope one comes to
   its function, or to an integral, only between two ends up to which the function is continuous, and only if
   all that is assumed of the variable holds between them;
5. integrals converge absolutely (finite ranges, or a Gaussian factor; at most polynomial growth, nothing
   singular), as linearity, Fubini and polar coordinates ask;
6. orders come from Taylor's theorem (Peano's remainder: derivatives continuous at 0), from smooth functions
   of what has an order, and from composition. Of a new sequence nothing is known but its recursion.
Trusted beside this file: Python, with objects that nobody alters behind their constructors; SymPy's
constructors, caches and `expand`, with no class beside them that passes for theirs; python-flint through
`balls.value`; and, as a named step ("normal form"), `normal.canonical` where it says that an expression
vanishes identically and `expand` does not show it. Of that step all is checked that can be: at points of the
domain, which must be found, Arb balls have to contain 0. What finds forms, pieces and expansions (`signs`,
`tactics`, `expansions`) is not trusted: it proposes, and the rules decide. The promise ends where Python is
open: it is not kept to who rebinds a name of these modules or of SymPy's, reads the closure that keeps the
facts, alters an object behind its constructor, or fills SymPy's caches with classes of his own.
"""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportOperatorIssue=false
# pyright: reportOptionalMemberAccess=false, reportReturnType=false, reportSelfClsParameterName=false

from functools import lru_cache, wraps
from typing import Any, NamedTuple

import sympy as sp
from sympy.core.function import AppliedUndef, UndefinedFunction

from .balls import OPAQUE, value
from .doubts import doubt, written
from .normal import canonical

BINDERS, ENDLESS, SIGNS = (sp.Integral, sp.Sum, sp.Derivative), {sp.oo, -sp.oo}, (">", ">=")
_U, _ZERO = sp.Symbol("u", real=True), sp.Integer(0)
_SLOPES = {sp.exp: sp.exp(_U), sp.sin: sp.cos(_U), sp.cos: -sp.sin(_U), sp.atan: 1 / (1 + _U**2)}
_SLOPES |= {sp.asin: 1 / sp.sqrt(1 - _U**2), sp.acos: -1 / sp.sqrt(1 - _U**2), sp.Abs: sp.sign(_U)}
_SLOPES |= {sp.erf: 2 * sp.exp(-(_U**2)) / sp.sqrt(sp.pi), sp.log: 1 / _U}
_PARTS = (sp.Add, sp.Mul, sp.Pow, sp.sign, *_SLOPES, *BINDERS)
_NUMBERS = (_ZERO, sp.S.One, sp.S.NegativeOne, sp.S.Half, sp.Integer(2), sp.Rational(2, 3), sp.pi, sp.E)
_PLAIN = {*_PARTS, *map(type, (*_NUMBERS, *ENDLESS)), sp.Tuple, sp.Symbol, sp.Dummy}
_COUNTS = {sp.Pow: 2, **dict.fromkeys((sp.sign, *_SLOPES), 1)}
_KINDS = [
    sp.Symbol("x", **{kind: True}, integer=whole).assumptions0
    for kind in ("real", "positive", "nonnegative")
    for whole in (None, True)
]
_SEEN: dict[int, sp.Basic] = {}
_DEFINED: dict[str, tuple] = {}
# By type too: True and 1 equal SymPy's one, and have no meaning here.
_kept = lru_cache(maxsize=None, typed=True)


class Refused(ValueError):
    """A side condition of a rule does not hold, so it makes no fact."""


class Claim(NamedTuple):
    """`kind` is one of = > >= order. A sign has 0 on the right, an order its exponent m in `order`."""

    kind: str
    left: sp.Expr
    right: sp.Expr = _ZERO
    variable: sp.Symbol | None = None
    order: int | None = None

    def at(self, values: dict) -> "Claim":
        return self._replace(left=self.left.xreplace(values), right=self.right.xreplace(values))

    @property
    def free(self) -> set:
        return (self.left.free_symbols | self.right.free_symbols) - {self.variable}


class Fact(NamedTuple):
    """What the kernel has established: `claim` under `hypotheses`, resting on `trusted` steps."""

    claim: Claim
    hypotheses: frozenset
    trusted: frozenset
    lhs = property(lambda self: self.claim.left)
    rhs = property(lambda self: self.claim.right)


def _ask(condition: object, objection: str, *parts: Any) -> None:
    if not condition:
        raise Refused(objection.format(*map(written, parts)) if parts else objection)


def _real(x: Any) -> bool:
    return type(x) in (sp.Symbol, sp.Dummy) and not x.is_integer


def _counts(x: Any) -> bool:
    return bool(x.is_Symbol and x.is_integer and x.is_nonnegative and not x.is_positive)


def _facts(x: Any) -> list:
    """The facts among what a rule is given. All else has to be built of what has a meaning here."""
    if type(x) in (tuple, frozenset, dict):
        parts = (*x, *x.values()) if type(x) is dict else x
        return [fact for part in parts for fact in _facts(part)]
    if type(x) is Claim:
        limiting = _real(x.variable) and type(x.order) is int and x.order >= 0 and x.kind == "order"
        plain = x.variable is x.order is None and (x.kind == "=" or (x.kind in SIGNS and x.right == 0))
        _ask(type(x.kind) is str and (limiting or plain), "this is no claim")
        return _facts(x[1:3])
    if not isinstance(x, sp.Basic):
        return [] if type(x) in (str, int, bool) else [x]
    if _SEEN.get(id(x)) is not x:
        _ask(_plain(x) and not _facts(x.args), "the kernel gives no meaning to {}", x)
        _SEEN[id(x)] = x
    return []


def _plain(x: sp.Basic) -> bool:
    """Whether the type of x says what it means: no class of one's own, no argument too many."""
    kind = type(x)
    if type(kind) is UndefinedFunction:
        usual = UndefinedFunction(str(kind.__name__), real=True)
        alike = vars(kind) == vars(usual) and kind.__mro__[1:] == usual.__mro__[1:]
        return alike and all(type(own) is type(vars(usual)[name]) for name, own in vars(kind).items())
    if kind not in _PLAIN:
        return False
    if x.is_Symbol:
        return type(x.name) is str and x.assumptions0 in _KINDS
    if x.is_Rational:
        usual = type(x.p) is type(x.q) is int and sp.Rational(x.p, x.q)
        return type(usual) is kind and (usual.p, usual.q) == (x.p, x.q)
    return len(x.args) == _COUNTS.get(kind, len(x.args))


def _sealed(rules: type) -> tuple:
    made: dict[int, Fact] = {}

    def genuine(fact: Any) -> bool:
        """Whether the kernel made this very object."""
        return fact is not None and made.get(id(fact)) is fact

    def rule(check: Any) -> Any:
        @wraps(check)
        def make(*given: Any) -> Fact:
            facts = _facts(given)
            _ask(all(map(genuine, facts)), "this is no fact of the kernel's")
            try:
                claim, hypotheses, *trusted = check(*given)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                raise Refused(f"{check.__name__} does not take this: {error}") from error
            trusted = frozenset().union(*trusted, *(fact.trusted for fact in facts))
            fact = Fact(claim, reduced(frozenset(hypotheses)), trusted)
            _facts(fact[:2])
            made[id(fact)] = fact
            return fact

        return staticmethod(make)

    return genuine, type("by", (), {name: rule(f) for name, f in vars(rules).items() if name[0] != "_"})


@_kept
def needs(e: sp.Expr, strict: bool = False) -> frozenset:
    """Claims under which `e` is a real number; if strict, under which it is smooth."""
    _ask(not _facts(e), "this is no expression")
    if e.is_Symbol or e.is_Rational or e in (sp.pi, sp.E):
        return frozenset()
    _ask(isinstance(e, (*_PARTS, AppliedUndef)), "{} is no real number", e)
    _ask(not (strict and isinstance(e, OPAQUE)), "{} has no slope here", e)
    if isinstance(e, BINDERS):
        return frozenset(_needs_of_binder(e, _bound(e)))
    found = set().union(*(needs(part, strict) for part in e.args))
    if (e.is_Pow and e.exp.is_Integer and e.exp < 0) or (strict and e.func in (sp.Abs, sp.sign)):
        found.add(Claim(">", sp.Pow(e.args[0], 2)))
    elif (e.is_Pow and not e.exp.is_Integer) or e.func is sp.log:
        weak = e.is_Pow and not strict and e.exp.is_Rational and e.exp > 0
        found.add(Claim(">=" if weak else ">", e.args[0]))
    elif e.func in (sp.acos, sp.asin):
        found.add(Claim(">" if strict else ">=", 1 - e.args[0] ** 2))
    return frozenset(found)


def recursion(name: str) -> tuple | None:
    """Count, state, start and step of a sequence that was defined."""
    return _DEFINED.get(name)


def _bound(binder: sp.Expr) -> set:
    return {limits[0] for limits in binder.args[1:]}


def _needs_of_binder(e: sp.Expr, names: set) -> set:
    """A range is finite in sums, does not depend on its own variables, and lies where these may lie."""
    if type(e) is sp.Derivative:
        _ask(e.args[1:] == (sp.Tuple(*names, 1),) and _real(*names), "{} is no slope by a real symbol", e)
        return set(needs(e.expr, True))
    found, sums, terms = set(needs(e.function)), type(e) is sp.Sum, sp.Add.make_args(e.function)
    fixed = len(names) == len(e.limits) and not any(claim.free & names for claim in found)
    _ask(fixed, "{} is not known to be defined over the whole range", e.function)
    for x, low, high in e.limits:
        finite = {low, high} - ENDLESS
        own = any(end.free_symbols & names for end in finite) or low == sp.oo or high == -sp.oo
        fits = x.is_Symbol and bool(x.is_integer) is sums and not (x.is_nonnegative and low == -sp.oo)
        _ask(fits and not own, "{} has no such range", e)
        _ask(not (sums and ENDLESS & {low, high}), "{} is not known to converge", e)
        terms = [term * sp.exp(x**2 / 2) for term in terms] if ENDLESS & {low, high} else terms
        found = found.union(*map(needs, finite))
        if x.is_nonnegative:
            ends = (low - int(bool(x.is_positive)), high - low + 1) if sums else finite
            found |= {Claim(">=", end) for end in ends}
    _ask(sums or all(_slow(term, names) for term in terms), "{} is not known to converge", e)
    return found


def _slow(e: sp.Expr, names: set) -> bool:
    """Whether e grows at most polynomially, and is bounded on bounded sets."""
    if not e.free_symbols & names or any(part.free_symbols & names for part in e.atoms(*OPAQUE)):
        return not e.free_symbols & names
    natural = e.is_Add or e.is_Mul or e.func is sp.Abs or (e.is_Pow and e.exp.is_Integer and e.exp > 0)
    bounded = e.is_Symbol or e.func in (sp.sin, sp.cos, sp.erf, sp.atan, sp.sign)
    return bounded or (bool(natural) and all(_slow(part, names) for part in e.args))


def _fixed(e: sp.Expr) -> bool:
    return not (e.free_symbols or e.atoms(*OPAQUE))


@_kept
def _sign(e: sp.Expr, given: frozenset) -> str | None:
    """'>' or '>=' if that is manifest where `given` holds: of it, sums, products, powers and numbers."""
    _ask(not _facts((e, given)), "this is no expression")
    if Claim(">", e) in given or Claim(">=", e) in given:
        return ">" if Claim(">", e) in given else ">="
    if e.is_Symbol:
        return ">" if e.is_positive else ">=" if e.is_nonnegative else None
    if _fixed(e):
        return ">" if value(e, {}) > 0 else ">=" if e == 0 else None
    if e.is_Add or e.is_Mul:
        number = e.func(*(part for part in e.args if _fixed(part)))
        kinds = [_sign(part, given) for part in (number, *(part for part in e.args if not _fixed(part)))]
        strict = ">" in kinds if e.is_Add else kinds.count(">") == len(kinds)
        return (">" if strict else ">=") if all(kinds) else None
    if e.is_Pow and e.exp.is_Rational:
        odd = e.exp.is_Integer and e.exp % 2 == 1
        base = _sign(e.base, given) or (None if odd else ">=")
        return ">" if base and e.exp < 0 else base
    return ">" if e.is_Pow or e.func is sp.exp else ">=" if e.func in (sp.Abs, sp.acos) else None


def known(claim: Claim, given: frozenset) -> bool:
    """Whether `given` manifestly implies the claim."""
    if claim in given or claim.kind not in SIGNS:
        return claim in given or (claim.kind == "=" and claim.left == claim.right)
    return _sign(claim.left, given) in (">", claim.kind)


def reduced(hypotheses: frozenset) -> frozenset:
    """Without the hypotheses that the others imply. What is false of a number is refused."""
    kept = hypotheses
    for claim in sorted(hypotheses, key=written, reverse=True):
        kept -= {claim} if known(claim, kept - {claim}) else set()
        false = claim in kept and _fixed(claim.left) and (claim.left == 0 or value(claim.left, {}) < 0)
        _ask(not (claim.kind in SIGNS and false), "a hypothesis is false: {} {} 0", claim.left, claim.kind)
    return kept


def _vanishes(e: sp.Expr, given: frozenset) -> set:
    """Refuse unless `e` is 0 where `given` holds: by its normal form, and by balls."""
    if sp.expand(e) == 0:
        return set()
    objection = doubt(e, reduced(given)) or (canonical(e) != 0 and f"what is left is {canonical(e)}")
    _ask(not objection, str(objection).replace("{", "{{"))
    return {"normal form"}


@_kept
def _slope(e: sp.Expr, x: sp.Symbol) -> sp.Expr:
    if not e.has(x) or e == x:
        return sp.Integer(int(e == x))
    if e.is_Add or e.is_Mul:
        return sp.Add(*(_slope(p, x) * (1 if e.is_Add else e / p) for p in e.args if p.has(x)))
    if e.is_Pow and not e.exp.has(x):
        return e.exp * e.base ** (e.exp - 1) * _slope(e.base, x)
    _ask(e.func in _SLOPES, "no slope of {} is known", e)
    return _SLOPES[e.func].xreplace({_U: e.args[0]}) * _slope(e.args[0], x)


def _over(hypotheses: frozenset, x: sp.Symbol, low: sp.Expr, high: sp.Expr) -> set:
    """Hypotheses about what lies between two ends, as hypotheses about the ends."""
    gaps = {low: x - low, high: high - x}
    given = frozenset(Claim(">", gap) for end, gap in gaps.items() if end not in ENDLESS)
    kept = {claim for claim in hypotheses if not known(claim, given)}
    own = any(x in e.free_symbols for e in (low, high)) or any(x in claim.free for claim in kept)
    _ask(not own, "not known over the whole range: no interval of {} is given", x)
    ends = {Claim(">=", low)} if x.is_nonnegative else set()
    return kept | ends | (set() if ENDLESS & {low, high} else {Claim(">=", high - low)})


def _rise(f: sp.Expr, hypotheses: frozenset, x: sp.Symbol, low: sp.Expr, high: sp.Expr) -> tuple:
    """f(low), f(high), and when f is continuous there and has its slope, under `hypotheses`, between them."""
    ends = {need.at({x: end}) for need in needs(f) for end in {low, high} - ENDLESS}
    values = [_end(f, x, end) for end in (low, high)]
    return *values, _over(hypotheses, x, low, high).union(ends, *map(needs, {low, high} - ENDLESS))


def _end(e: sp.Expr, x: sp.Symbol, end: sp.Expr) -> sp.Expr:
    """Value at an end; at infinity of constants, of polynomials times exp(−x²/2) and of erf(x/√2)."""
    if end not in ENDLESS:
        return e.xreplace({x: end})
    error, whole = sp.erf(x / sp.sqrt(2)), sp.expand(e)
    still, moving = sp.expand(whole - whole.coeff(error) * error).as_independent(x, as_Add=True)
    dies = not whole.coeff(error).has(x) and sp.expand(moving * sp.exp(x**2 / 2)).is_polynomial(x)
    _ask(dies, "no limit of {} is known", e)
    return still + whole.coeff(error) * sp.sign(end)


def _finally(hypotheses: frozenset, x: sp.Symbol) -> set:
    """What is left of hypotheses that have to hold for small x > 0 only: that they do at 0, strictly."""
    kept = {h for h in hypotheses if x not in h.free}
    for h in hypotheses - kept:
        _ask(h.kind in SIGNS, "{} is not known near the limit", h)
        kept |= {need.at({x: _ZERO}) for need in (Claim(">", h.left), *needs(h.left, True))}
    return kept


def _kind(wanted: str, *facts: Any) -> None:
    for fact in facts:
        _ask(fact.claim.kind == wanted, "{} is of kind {}, not of {}", fact.claim, fact.claim.kind, wanted)


_AXIOMS = {
    "|u| = u": (Claim("=", sp.Abs(_U), _U), {Claim(">=", _U)}),
    "sign u = 1": (Claim("=", sp.sign(_U), sp.Integer(1)), {Claim(">", _U)}),
    "cos u ≥ 0": (Claim(">=", sp.cos(_U)), {Claim(">=", _U + sp.pi / 2), Claim(">=", sp.pi / 2 - _U)}),
    "acos u ≤ π": (Claim(">=", sp.pi - sp.acos(_U)), {Claim(">=", 1 - _U**2)}),
}


class _Rules:
    def axiom(name: str) -> tuple:
        return _AXIOMS[name]

    def suppose(claim: Claim, given: frozenset = frozenset()) -> tuple:
        """A hypothesis; a sign that is manifest where `given` holds stands without it. Of orders: a limit."""
        limiting = claim.kind == "order"
        limit = claim.order == 0 and not claim.right.has(claim.variable) if limiting else True
        _ask(limit, "of orders only limits are supposed")
        return claim, {claim}.union(given, needs(claim.right), () if limiting else needs(claim.left))

    def same(left: sp.Expr, right: sp.Expr, given: frozenset = frozenset(), *facts: Any) -> tuple:
        """left = right (left − right = a − b for facts a = b) by normal forms: field operations, roots,
        addition theorems, linearity of integrals and sums."""
        _kind("=", *facts)
        hypotheses = needs(left) | needs(right) | given.union(*(fact.hypotheses for fact in facts))
        trusted = _vanishes(left - right - sp.Add(*(fact.lhs - fact.rhs for fact in facts)), hypotheses)
        return Claim("=", left, right), hypotheses, trusted

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
        return first.claim, (first.hypotheses - {cases[0]}) | (second.hypotheses - {cases[1]}) | needs(e)

    def join(first: Any, second: Any) -> tuple:
        """From a = b and a claim about b the same about a; from f = g + o(x^m) and g = h (+ o) f = h + o."""
        a, b, hypotheses = first.claim, second.claim, first.hypotheses | second.hypotheses
        _ask(a.right == b.left and a.kind in ("=", "order"), "{} is not {}", a, b.left)
        if a.kind == "=":
            left = first.hypotheses if b.variable is None else _finally(first.hypotheses, b.variable)
            return b._replace(left=a.left), left | second.hypotheses
        if b.kind == "=":
            return a._replace(right=b.right), first.hypotheses | _finally(second.hypotheses, a.variable)
        _ask(a.variable == b.variable, "{} and {} have no order at one point", a, b)
        return a._replace(right=b.right, order=min(a.order, b.order)), hypotheses

    def inside(e: sp.Expr, *facts: Any) -> tuple:
        """e = e with one side of equalities (the left, if e has it) replaced by the other, one by one."""
        new, hypotheses = e, needs(e)
        _kind("=", *facts)
        for fact in facts:
            turned = new.xreplace({fact.lhs: fact.rhs}) == new
            old, by = (fact.rhs, fact.lhs) if turned else (fact.lhs, fact.rhs)
            spoken = fact.claim.free.union(*(claim.free for claim in fact.hypotheses))
            binders = [part for part in new.atoms(*BINDERS) if part != old and part.has(old)]
            caught = any(spoken & _bound(part) for part in binders)
            _ask(not caught, "{} speaks of a variable that is bound in {}", fact.claim, new)
            changed = new.xreplace({old: by})
            _ask(changed != new, "the expression does not contain {}", fact.lhs)
            new, hypotheses = changed, hypotheses | fact.hypotheses | needs(changed)
        return Claim("=", e, new), hypotheses

    def specialise(fact: Any, values: dict) -> tuple:
        """The fact with expressions for free symbols, or with another name for one that is bound."""
        claims = (fact.claim, *fact.hypotheses)
        free, variables = set().union(*(c.free for c in claims)), {c.variable for c in claims}
        binders = sp.Tuple(*(side for claim in claims for side in claim[1:3])).atoms(*BINDERS)
        caught = variables.union(*map(_bound, binders))
        hypotheses = {claim.at(values) for claim in fact.hypotheses}.union(*map(needs, values.values()))
        for symbol, new in values.items():
            fits = symbol in free - caught and not new.free_symbols & caught
            if len(values) == 1 and symbol in caught - free - variables and new.is_Symbol:
                fits = symbol.assumptions0 == new.assumptions0 and new not in free | caught
            fits = fits and symbol.is_Symbol and (new.is_integer or not symbol.is_integer)
            _ask(fits, "{} cannot be {}: free symbols take values, uncaught", symbol, new)
            least = {Claim(">" if symbol.is_positive else ">=", new)}
            hypotheses |= least if symbol.is_nonnegative else set()
        return fact.claim.at(values), hypotheses

    def slope(e: sp.Expr, x: sp.Symbol) -> tuple:
        _ask(_real(x), "{} is no real symbol", x)
        return Claim("=", sp.Derivative(e, x), _slope(e, x)), needs(e, True) | needs(_slope(e, x))

    def along(fact: Any, low: sp.Expr, high: sp.Expr) -> tuple:
        """From f' = 0 (> 0, ≥ 0) between low and high: f(high) = f(low) (f(high) − f(low) > 0, ≥ 0)."""
        slope, kind = fact.lhs, fact.claim.kind
        fits = type(slope) is sp.Derivative and fact.rhs == 0 and kind != "order"
        _ask(fits and not ENDLESS & {low, high}, "{} is no sign of a slope", fact.claim)
        start, end, hypotheses = _rise(slope.expr, fact.hypotheses, slope.variables[0], low, high)
        if kind == "=":
            return Claim("=", end, start), hypotheses
        return Claim(kind, end - start), hypotheses | {Claim(kind, high - low)}

    def antiderivative(integral: sp.Integral, primitive: sp.Expr) -> tuple:
        """∫ = F(high) − F(low) for F of slope f inside the range, continuous up to its ends."""
        ((x, low, high),), smooth = integral.limits, needs(primitive, True)
        _ask(type(integral) is sp.Integral, "{} does not integrate over the whole range", integral)
        trusted = _vanishes(_slope(primitive, x) - integral.function, smooth | needs(integral.function))
        start, end, hypotheses = _rise(primitive, smooth, x, low, high)
        return Claim("=", integral, end - start), hypotheses | needs(integral), trusted

    def pieces(integral: sp.Integral, cuts: tuple, *facts: Any) -> tuple:
        """∫f = Σ ∫f_k over the pieces between cuts of the outermost range, from f = f_k on the k-th."""
        *inner, (x, low, high) = integral.limits
        function = sp.Integral(integral.function, *inner) if inner else integral.function
        alike = all(fact.claim[:2] == ("=", function) for fact in facts)
        _ask(alike and type(integral) is sp.Integral, "{} has another integrand", integral)
        ranges = zip((low, *cuts), (*cuts, high), facts, strict=True)
        parts = [(fact, sp.Integral(fact.rhs, (x, *ends))) for *ends, fact in ranges]
        hypotheses = needs(integral)
        for fact, part in parts:
            hypotheses = hypotheses | _over(fact.hypotheses, *part.limits[-1]) | needs(part)
        return Claim("=", integral, sp.Add(*(part for _, part in parts))), hypotheses

    def polar(integral: sp.Integral, r: sp.Symbol, t: sp.Symbol, start: sp.Expr, result: sp.Expr) -> tuple:
        """∫∫ f(x, y) over the plane = ∫∫ result, r > 0 and t a full turn, result = f(r cos t, r sin t) r."""
        (x, *line), (y, *other) = integral.limits
        fits = line == other == [-sp.oo, sp.oo] and _real(r) and r.is_positive and _real(t)
        fits = fits and not (t.is_nonnegative or any(e.has(r) or e.has(t) for e in (integral, start)))
        _ask(fits, "polar coordinates take the whole plane and two new names")
        there = r * integral.function.xreplace({x: r * sp.cos(t), y: r * sp.sin(t)})
        trusted = _vanishes(there - result, needs(there) | needs(result))
        new = sp.Integral(result, (r, 0, sp.oo), (t, start, start + 2 * sp.pi))
        return Claim("=", integral, new), needs(integral) | needs(new), trusted

    def taylor(e: sp.Expr, x: sp.Symbol, n: int, facts: dict) -> tuple:
        """e(f, …) = the Taylor polynomial Σ h_k(0) x^k/k! of h(x) = e(g, …) + o(x^n), k = 0 … n.

        For f = g + o(x^n) with polynomials g, where e is smooth and the slopes h_k are continuous at 0.
        """
        _kind("order", *facts.values())
        alike = all(map(_real, (x, *facts))) and not (facts and (x in e.free_symbols or e.atoms(*BINDERS)))
        near = [fact.claim.variable == x and fact.claim.order >= n for fact in facts.values()]
        plain = all(fact.rhs.is_polynomial(x) for fact in facts.values())
        _ask(alike and all(near) and plain, "{} is no function of orders of x", e)
        left, at = (e.xreplace({s: fact.claim[side] for s, fact in facts.items()}) for side in (1, 2))
        ends = {s: fact.rhs.xreplace({x: _ZERO}) for s, fact in facts.items()}
        smooth = {*needs(e, True), *(Claim(">", s) for s in facts if s.is_nonnegative)} if facts else set()
        hypotheses = {need.at(ends) for need in smooth}.union(*(fact.hypotheses for fact in facts.values()))
        at = sp.expand(at) if at.is_polynomial(x) else at
        total, local = at.xreplace({x: _ZERO}), needs(at, True)
        for k in range(1, n + 1):
            at = _slope(at, x)
            total, local = total + at.xreplace({x: _ZERO}) * x**k / sp.factorial(k), local | needs(at, True)
        return Claim("order", left, total, x, n), hypotheses | _finally(local, x)

    def lowered(fact: Any, k: int) -> tuple:
        """f/x^k = g/x^k + o(x^{m−k}), for a polynomial g/x^k, k ≤ m."""
        _kind("order", fact)
        _, f, g, x, m = fact.claim
        lower = sp.expand(g / x**k)
        _ask(m >= k and lower.is_polynomial(x), "{} does not vanish to order {}", f, k)
        return Claim("order", f / x**k, lower, x, m - k), fact.hypotheses

    def composed(outer: Any, inner: Any, sign: Any) -> tuple:
        """F(e(x)) → K from F(t) → K for t → 0, e(x) → 0 and sign e(x) → 1."""
        _kind("order", outer, inner)
        (_, f, end, t, _), (_, e, zero, x, _) = outer.claim, inner.claim
        _ask(sign.claim == Claim("order", sp.sign(e), sp.Integer(1), x, 0) and zero == 0, "{} is not 0+", e)
        spoken = outer.claim.free.union(*(claim.free for claim in outer.hypotheses), end.free_symbols & {t})
        _ask(not spoken & {x, t} and not f.atoms(*BINDERS), "{} is no limit for each {}", outer.claim, x)
        hypotheses = outer.hypotheses | inner.hypotheses | sign.hypotheses
        return Claim("order", f.xreplace({t: e}), end, x, 0), hypotheses

    def induction(claim: Claim, n: sp.Symbol, base: Any, step: Any) -> tuple:
        """P(n) for every n from P(0) and P(n) ⊢ P(n + 1)."""
        starts = _counts(n) and claim.kind != "order" and base.claim == claim.at({n: _ZERO})
        follows = claim in step.hypotheses and step.claim == claim.at({n: n + 1})
        _ask(starts and follows, "there is no start, or no step from n to n + 1")
        kept = step.hypotheses - {claim}
        _ask(not any(n in h.free for h in kept), "{} is assumed of the number of steps", kept)
        return claim, base.hypotheses | kept

    def sequence(name: str, n: sp.Symbol, q: sp.Symbol, start: sp.Expr, step: sp.Expr, begins: bool) -> tuple:
        """q(0) = start or q(n + 1) = step(n, q(n)): a new function of the count and the other symbols."""
        names = sorted((start.free_symbols | step.free_symbols) - {n, q}, key=lambda s: s.sort_key())
        fits = _counts(n) and _real(q) and not q.is_nonnegative and not {n, q} & start.free_symbols
        # Not of their sum, in which an opaque part of both may cancel.
        plain = not any(e.atoms(*OPAQUE) for e in (start, step))
        _ask(fits and plain, "{} needs a count, a state and plain steps", name)
        new = _DEFINED.setdefault(name, (n, q, start, step)) == (n, q, start, step)
        _ask(new, "{} is defined already, as something else", name)
        at = UndefinedFunction(name, real=True)
        following = start if begins else step.xreplace({q: at(n, *names)})
        return Claim("=", at(0 if begins else n + 1, *names), following), needs(following)


genuine, by = _sealed(_Rules)
