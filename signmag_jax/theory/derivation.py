"""Derivations: chains of steps, each a fact of the kernel, from a definition to a law.

A chain starts from an expression and each step rewrites its value by a tactic, which asks the kernel. What a
chain has reached is one fact, origin = value, with all hypotheses of its steps; a conclusion is such a fact.
"""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from .rules import Claim, Refused, by, doubts, expansion, genuine, join, settle, settled_by, sign, written
from .rules.balls import Unsupported

DEFINITION, HYPOTHESIS, LAW, CITATION, SIGN = "definition", "hypothesis", "law", "citation", "sign"
ASIDE = (DEFINITION, HYPOTHESIS, CITATION)


class StepFailed(AssertionError):
    """A step that the kernel refuses; says which one and why."""

    def __init__(self, step: str, index: int, objection: object) -> None:
        text = str(objection)
        text = text if len(text) <= 600 else f"{text[:600]} …"
        super().__init__(f"step {index} ({step}) is refused: {text}")
        self.step, self.index = step, index


@dataclass(frozen=True)
class Step:
    """One line of a proof; `trusted` names what is taken on trust for it."""

    name: str
    kind: str
    seconds: float
    ok: bool
    lhs: sp.Basic
    rhs: sp.Basic
    trusted: tuple[str, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether it is a step of the derivation, and not a definition, a hypothesis or a citation."""
        return self.kind not in ASIDE


@dataclass(frozen=True)
class Tamper:
    """A deliberate error in the claim of one line (from 0)."""

    index: int


@dataclass
class Proof:
    """Collects the lines of one derivation. `cited` gives the conclusions of another proof by its name."""

    name: str
    cited: Callable[[str], dict[str, Any]]
    tamper: Tamper | None = None
    on_step: Callable[[Step], None] | None = None
    given: frozenset = frozenset()
    steps: list[Step] = field(default_factory=list)
    conclusions: dict[str, Any] = field(default_factory=dict)
    _lets: dict[sp.Symbol, sp.Expr] = field(default_factory=dict)
    _signs: list = field(default_factory=list)
    _seen: set[sp.Basic] = field(default_factory=set)

    def suppose(self, name: str, *claims: Claim) -> Any:
        """Hypotheses that stand from here on; the conclusions that need them carry them. Returns the last."""
        began, fact = time.perf_counter(), None
        for claim in claims:
            fact = self._allowed(name, lambda claim=claim: by.suppose(claim))
            self._record(name, HYPOTHESIS, claim.left, claim.right, began)
        self.given |= frozenset(claims)
        return fact

    def let(self, symbol: Any, expr: sp.Expr, name: str) -> Any:
        """A new symbol for an expression, which takes its place again in every conclusion."""
        began = time.perf_counter()
        if not isinstance(symbol, sp.Symbol) or symbol in self._seen or symbol in expr.free_symbols:
            raise StepFailed(name, len(self.steps), f"{symbol} is not a new symbol, so it cannot be defined")
        expr = self._claim(expr)
        fact = self._allowed(name, lambda: by.suppose(Claim("=", symbol, expr)))
        self._lets[symbol] = expr
        self._record(name, DEFINITION, symbol, expr, began)
        return fact

    def call(self, symbol: sp.Symbol, fact: Any) -> Any:
        """A new symbol for the left side of an equality; the fact that it equals the right side."""
        named = self.let(symbol, fact.lhs, str(symbol))
        with suppress(Refused):
            # Kept where it is found: hypotheses about the new symbol are met by it in the end.
            self._signs.append(join(fact, sign(fact.rhs, self.given)))
        return self._allowed(str(symbol), lambda: join(named, fact))

    def start(self, name: str, expr: sp.Expr) -> "Chain":
        """A chain of rewritings of `expr`."""
        began, expr = time.perf_counter(), self._claim(sp.sympify(expr))
        fact = self._allowed(name, lambda: settle(by.same(expr, expr), self.given))
        self._record(name, DEFINITION, sp.Symbol(name), expr, began)
        return Chain(self, fact)

    def begin(self, fact: Any) -> "Chain":
        """A chain that goes on from a fact."""
        chain = Chain(self, fact)
        chain.length = 1
        return chain

    def cite(self, proof: str, conclusion: str) -> Any:
        """What another proof concludes, with its hypotheses; that proof is run, and has to stand."""
        began = time.perf_counter()
        conclusions = self.cited(proof)
        if conclusion not in conclusions:
            raise StepFailed(conclusion, len(self.steps), f"{proof} concludes only {', '.join(conclusions)}")
        fact = conclusions[conclusion]
        self._record(f"{proof}: {conclusion}", CITATION, fact.lhs, fact.rhs, began)
        return fact

    def positive(self, name: str, expr: sp.Expr, *facts: Any, form: sp.Expr | None = None) -> Any:
        """The fact expr > 0 or expr ≥ 0, by signs that are established, in another form if one is given."""
        began = time.perf_counter()
        # A sign is falsified by turning it: a thousandth more would leave most of them true.
        expr = -sp.sympify(expr) if self._tampers() else sp.sympify(expr)

        def make() -> Any:
            signed = sign(expr if form is None else form, self.given, False, *facts)
            signed = signed if form is None or form == expr else join(by.same(expr, form), signed)
            return settle(signed, self.given, *facts)

        fact = self._allowed(name, make)
        self._record(name, SIGN, expr, sp.Integer(0), began, fact)
        return fact

    def apply(self, name: str, fact: Any, values: dict, *facts: Any) -> Any:
        """A fact with values for its symbols, its hypotheses met by other facts."""
        return self.fact(
            name, "substitution", lambda: settle(by.specialise(fact, values), self.given, *facts)
        )

    def sequence(self, name: str, n: sp.Symbol, state: sp.Symbol, start: sp.Expr, step: sp.Expr) -> tuple:
        """q(n) for a new sequence q(0) = start, q(n + 1) = step of n and q(n), and these two facts."""
        facts = [
            self.fact(
                f"{name}({k})",
                DEFINITION,
                lambda first=first: by.sequence(name, n, state, start, step, first),
            )
            for k, first in (("0", True), ("n + 1", False))
        ]
        return facts[1].lhs.xreplace({n + 1: n}), *facts

    def induction(self, name: str, claim: Claim, n: sp.Symbol, base: Any, step: Any) -> Any:
        """The claim for every n, from its start and its step."""
        return self.fact(name, "induction", lambda: settle(by.induction(claim, n, base, step), self.given))

    def fact(self, name: str, kind: str, make: Callable[[], Any]) -> Any:
        """A fact straight from a rule or a tactic, as a line of the proof."""
        began = time.perf_counter()
        fact = self._allowed(name, make)
        self._record(name, kind, fact.lhs, fact.rhs, began, fact)
        return fact

    def conclude(self, name: str, fact: Any) -> Any:
        """A fact that the proof states: without its own definitions, and about a domain that has points."""
        began = time.perf_counter()
        fact = self._allowed(name, lambda: self._stated(fact))
        if name in self.conclusions:
            raise StepFailed(name, len(self.steps), "this name is concluded already")
        self._record(name, LAW, fact.lhs, fact.rhs, began, fact)
        self.conclusions[name] = fact
        return fact

    def finish(self) -> None:
        """Refuse a proof that arrives at no law, or whose facts are not the kernel's."""
        if not any(step.kind == LAW for step in self.steps):
            raise StepFailed("end of the proof", len(self.steps), "no law was concluded")
        for name, fact in self.conclusions.items():
            self._allowed(name, lambda fact=fact: _sound(fact))

    def _stated(self, fact: Any) -> Any:
        if not genuine(fact):
            raise Refused("this fact was not made by the kernel")
        # The last first: a definition may be written in those before it.
        for symbol, expr in reversed(self._lets.items()):
            if any(symbol in claim.free for claim in (fact.claim, *fact.hypotheses)):
                fact = by.specialise(fact, {symbol: expr})
        return _sound(settle(fact, self.given, *self._signs))

    def _allowed(self, name: str, make: Callable[[], Any]) -> Any:
        """What the kernel makes, with its refusal as a failure of this line."""
        try:
            fact = make()
        except (Refused, Unsupported) as objection:
            raise StepFailed(name, len(self.steps), objection) from None
        if genuine(fact):
            # What a fact speaks of is no new symbol any more.
            self._seen |= fact.claim.free.union(*(claim.free for claim in fact.hypotheses))
        return fact

    def _record(
        self, name: str, kind: str, lhs: sp.Basic, rhs: sp.Basic, began: float, fact: Any = None
    ) -> None:
        trusted = tuple(sorted(fact.trusted)) if fact is not None else ()
        self.steps.append(Step(name, kind, time.perf_counter() - began, True, lhs, rhs, trusted))
        if self.on_step is not None:
            self.on_step(self.steps[-1])

    def _tampers(self) -> bool:
        return self.tamper is not None and self.tamper.index == len(self.steps)

    def _claim(self, expr: sp.Expr) -> sp.Expr:
        """The expression as claimed on this line: falsified if this is the line to tamper with."""
        return expr + sp.Rational(1, 1000) if self._tampers() else expr


class Chain:
    """What has been reached from an expression: one fact, origin = value (or = value + o(x^m))."""

    def __init__(self, proof: Proof, fact: Any) -> None:
        self.proof, self.fact, self.length = proof, fact, 0

    @property
    def origin(self) -> sp.Expr:
        return self.fact.lhs

    @property
    def value(self) -> sp.Expr:
        return self.fact.rhs

    def branch(self) -> "Chain":
        """A second chain that stands where this one does."""
        copy = Chain(self.proof, self.fact)
        copy.length = self.length
        return copy

    def step(self, name: str, rhs: sp.Expr, tactic: Any) -> "Chain":
        """Rewrite the current value as `rhs` by a tactic."""
        began, proof = time.perf_counter(), self.proof
        left, right = self.value, proof._claim(sp.sympify(rhs))
        if left == right:
            raise StepFailed(name, len(proof.steps), "vacuous: both sides are the same expression already")
        made = proof._allowed(name, lambda: tactic.prove(left, right, proof.given))
        if not genuine(made) or made.claim != Claim("=", left, right):
            raise StepFailed(
                name, len(proof.steps), f"the tactic gives {written(getattr(made, 'claim', made))}"
            )
        used = getattr(tactic, "facts", ())
        self.fact = proof._allowed(name, lambda: settled_by(self._joined(made), used, proof.given))
        proof._record(name, tactic.kind, left, right, began, made)
        self.length += 1
        return self

    def _joined(self, made: Any) -> Any:
        """The fact of the origin that a fact of the value gives."""
        start = self.fact.claim.kind == "=" and self.origin == self.value
        return settle(made if start else join(self.fact, made), self.proof.given)

    def at(self, name: str, values: dict) -> "Chain":
        """The whole chain with expressions for some of its symbols; their assumptions have to be met."""
        began, proof = time.perf_counter(), self.proof
        self.fact = proof._allowed(name, lambda: settle(by.specialise(self.fact, values), proof.given))
        proof._record(name, "substitution", self.origin, self.value, began, self.fact)
        return self

    def expand(self, name: str, rhs: sp.Expr, x: sp.Symbol, order: int, *known: Any) -> "Chain":
        """Go over from equality to the Taylor polynomial `rhs` of the value, up to o(x^order).

        `known` are equalities of parts of the value to what is analytic at 0.
        """
        began, proof = time.perf_counter(), self.proof
        left, right = self.value, proof._claim(sp.sympify(rhs))

        def make() -> Any:
            expanded = settle(expansion(left, x, order, proof.given, known), proof.given)
            return (
                expanded
                if expanded.rhs == right
                else settle(join(expanded, by.same(expanded.rhs, right)), proof.given)
            )

        made = proof._allowed(name, make)
        self.fact = proof._allowed(name, lambda: self._joined(made))
        proof._record(name, "Taylor polynomial", left, right, began, made)
        self.length += 1
        return self

    def limit(self, name: str, value: sp.Expr, x: sp.Symbol, *known: Any) -> "Chain":
        """The limit of the value as x → 0 from above."""
        return self.expand(name, value, x, 0, *known)

    def sign(self, name: str) -> Any:
        """The sign of the origin, from that of the value."""
        positive = self.proof.positive(name, self.value)
        return self.proof._allowed(name, lambda: settle(join(self.fact, positive), self.proof.given))

    def lemma(self, name: str) -> Any:
        """Conclude what the chain has reached."""
        if self.length == 0:
            raise StepFailed(name, len(self.proof.steps), "vacuous: nothing was derived")
        return self.proof.conclude(name, self.fact)

    def conclude(self, name: str, law: sp.Expr) -> Any:
        """The chain has arrived at `law`, an expression written down independently of it."""
        began, proof = time.perf_counter(), self.proof
        if self.length == 0:
            raise StepFailed(name, len(proof.steps), "vacuous: nothing was derived before the conclusion")
        if law == self.origin:
            raise StepFailed(name, len(proof.steps), "vacuous: the chain started from the law")
        claimed = proof._claim(sp.sympify(law))
        if claimed != self.value:
            made = proof._allowed(name, lambda: by.same(self.value, claimed))
            self.fact = proof._allowed(name, lambda: self._joined(made))
            proof._record(f"{name}: the law", "normal form", self.value, claimed, began, made)
        return proof.conclude(name, self.fact)


def _sound(fact: Any) -> Any:
    """The fact, if it says something, and says what it means."""
    if not genuine(fact):
        raise Refused("this fact was not made by the kernel")
    if fact.claim.kind == "=" and fact.lhs == fact.rhs:
        raise Refused("vacuous: both sides are the same expression already")
    if fact.claim in fact.hypotheses:
        raise Refused("vacuous: this is one of its own hypotheses")
    said = doubts.unclear(fact)
    if said is not None:
        raise Refused(said)
    return fact
