"""Derivations whose every step is checked.

A proof is a set of chains. A chain starts from an expression (a definition) and each step rewrites its
current value by a named rule; the left side of a step is always the right side of the one before, and the
last step compares with the law in `theory.symbolic`. A finished chain is a fact that later steps may insert.
"""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import flint  # pyright: ignore[reportMissingImports]
import sympy as sp

from .rules import Algebra, Antiderivatives, Fact, Refused, Rule, Series, balls, written
from .rules.normal import canonical

DEFINITION, LAW, CITATION, SIGN = "definition", "law", "citation", "sign"
INTEGRAL_CHECK, NUMERICAL = "check of the integral by balls", "numerical check"

# Equal sides make a step vacuous, except where that is what the step says.
ASIDE = (DEFINITION, CITATION, INTEGRAL_CHECK, NUMERICAL)


class StepFailed(AssertionError):
    """A step that is not an identity; says which one and what is left over."""

    def __init__(self, step: str, index: int, residual: object) -> None:
        text = written(residual) if isinstance(residual, sp.Basic) else str(residual)
        text = text if len(text) <= 400 else f"{text[:400]} …"
        super().__init__(f"step {index} ({step}) is not an identity: {text}")
        self.step, self.index, self.residual = step, index, residual


@dataclass(frozen=True)
class Step:
    """One line of a proof. `kind` is the rule's name or one of definition, law, citation, sign, checks."""

    name: str
    kind: str
    seconds: float
    ok: bool
    lhs: sp.Basic
    rhs: sp.Basic

    @property
    def counts(self) -> bool:
        """Whether it is a step of the derivation, and not a definition, a citation or a check beside it."""
        return self.kind not in ASIDE


@dataclass(frozen=True)
class Tamper:
    """A deliberate error in the claim of one line (from 0); with `believed`, that line is not checked."""

    index: int
    believed: bool = False


@dataclass
class Proof:
    """Collects and checks the lines of one derivation.

    `domain` gives the open interval of each symbol (default (0, 1/2)) for the ball evaluations that
    every step undergoes besides its symbolic rule. `remembered` holds steps that were verified before;
    `cited` gives the conclusions of another proof by its name.
    """

    name: str
    cited: Callable[[str], dict[str, Fact]]
    tamper: Tamper | None = None
    domain: dict[sp.Symbol, tuple] = field(default_factory=dict)
    remembered: set | None = None
    on_step: Callable[[Step], None] | None = None
    steps: list[Step] = field(default_factory=list)
    conclusions: dict[str, Fact] = field(default_factory=dict)

    def let(self, lhs: sp.Expr, rhs: sp.Expr, name: str) -> Fact:
        """Define `lhs` as `rhs`."""
        rhs = self._claim(rhs)
        self._record(name, DEFINITION, lhs, rhs, time.perf_counter())
        return Fact(lhs, rhs)

    def call(self, symbol: sp.Symbol, fact: Fact) -> Fact:
        """Let `symbol` be the left side of an established equality; it then equals the right side."""
        value = self._claim(fact.rhs)
        self._record(str(symbol), DEFINITION, symbol, fact.lhs, time.perf_counter())
        return Fact(symbol, value)

    def start(self, name: str, expr: sp.Expr) -> "Chain":
        """A chain of rewritings of `expr`."""
        claimed = self._claim(expr)
        self._record(name, DEFINITION, sp.Symbol(name), claimed, time.perf_counter())
        return Chain(self, claimed, expr)

    def cite(self, proof: str, conclusion: str) -> Fact:
        """What another proof concludes; that proof is run, and has to stand."""
        began = time.perf_counter()
        found = self.cited(proof)
        if conclusion not in found:
            raise StepFailed(conclusion, len(self.steps), f"{proof} concludes only {', '.join(found)}")
        fact = found[conclusion]
        claimed = self._claim(fact.rhs)
        line = f"{proof}: {conclusion}"
        if not self._believes() and claimed != fact.rhs:
            objection = f"{proof} concludes {written(fact.rhs)}, not {written(claimed)}"
            raise StepFailed(line, len(self.steps), objection)
        self._record(line, CITATION, fact.lhs, claimed, began)
        return Fact(fact.lhs, claimed)

    def positive(self, name: str, expr: sp.Expr) -> None:
        """`expr` > 0 by the signs of its symbols alone (a sum of products of positive terms).

        Of a number, by a ball that lies above 0.
        """
        began = time.perf_counter()
        claimed = self._claim(expr, negate=True)
        if not self._believes() and not _positive(claimed):
            raise StepFailed(name, len(self.steps), f"{written(claimed)} is not manifestly positive")
        self._record(name, SIGN, claimed, sp.Integer(0), began)

    def numerically(self, name: str, lhs: sp.Expr, rhs: sp.Expr) -> None:
        """A remark that is only checked by balls at points. Nothing can be concluded from it."""
        began = time.perf_counter()
        rhs = self._claim(rhs)
        if not self._believes():
            self._refute(name, lhs - rhs)
        self._record(name, NUMERICAL, lhs, rhs, began)

    def _record(self, name: str, kind: str, lhs: sp.Basic, rhs: sp.Basic, began: float) -> None:
        self.steps.append(Step(name, kind, time.perf_counter() - began, True, lhs, rhs))
        if self.on_step is not None:
            self.on_step(self.steps[-1])

    def finish(self) -> None:
        """Refuse a proof that arrives at no law."""
        if not any(step.kind == LAW for step in self.steps):
            raise StepFailed("end of the proof", len(self.steps), "no law was concluded")

    def _claim(self, expr: sp.Expr, negate: bool = False) -> sp.Expr:
        """The expression as claimed on this line: falsified if this is the line to tamper with."""
        if self.tamper is None or self.tamper.index != len(self.steps):
            return expr
        if negate:
            return -expr
        return expr + sp.Rational(1, 1000)

    def _believes(self) -> bool:
        return self.tamper is not None and self.tamper.believed and self.tamper.index == len(self.steps)

    def _refute(self, name: str, difference: sp.Expr) -> None:
        counterexample = balls.refutation(difference, self.domain)
        if counterexample is not None:
            raise StepFailed(name, len(self.steps), counterexample)

    def _verify(self, name: str, lhs: sp.Expr, rhs: sp.Expr, rule: Rule) -> None:
        """Raise StepFailed unless the rule, and the ball evaluation where it applies, accept the step."""
        if self._believes():
            return
        if self.remembered is not None and (lhs, rhs, rule) in self.remembered:
            return
        try:
            differences = rule.differences(lhs, rhs)
        except Refused as refusal:
            raise StepFailed(name, len(self.steps), refusal) from None
        for difference in differences:
            # A rigorous counterexample is found much faster than a non-zero normal form.
            self._refute(name, difference)
            left = canonical(difference)
            if left != 0:
                raise StepFailed(name, len(self.steps), f"the sides differ by {written(left)}")
        if self.remembered is not None:
            self.remembered.add((lhs, rhs, rule))


def _positive(expr: sp.Expr) -> bool:
    """Whether `expr` is certainly positive."""
    if expr.free_symbols:
        return expr.is_positive is True
    flint.ctx.prec, before = balls.BITS, flint.ctx.prec
    try:
        return bool(balls.value(expr, {}) > 0)
    finally:
        flint.ctx.prec = before


class Chain:
    """origin = … = value, each equality checked."""

    def __init__(self, proof: Proof, value: sp.Expr, origin: sp.Expr) -> None:
        self.proof, self.value, self.origin = proof, value, origin
        self.length = 0
        self.exact = True
        self.at_limit = False

    @property
    def fact(self) -> Fact:
        """The equality of the chain's two ends, for later steps to insert."""
        if not self.exact:
            raise StepFailed("use of a truncated series", len(self.proof.steps), "it is not an equality")
        return Fact(self.origin, self.value)

    def limit(self, symbol: sp.Symbol) -> Fact:
        """Let `symbol` be the limit of the chain's origin, after a step that took the constant term."""
        if not self.at_limit:
            raise StepFailed(str(symbol), len(self.proof.steps), "the last step did not take a limit")
        return self.proof.call(symbol, Fact(sp.Symbol(f"lim {symbol}"), self.value))

    def branch(self) -> "Chain":
        """A second chain from the same origin that stands where this one does."""
        copy = Chain(self.proof, self.value, self.origin)
        copy.length, copy.exact, copy.at_limit = self.length, self.exact, self.at_limit
        return copy

    def step(self, name: str, rhs: sp.Expr, rule: Rule) -> "Chain":
        """Rewrite the current value as `rhs` by `rule`."""
        began, lhs, proof = time.perf_counter(), self.value, self.proof
        if lhs == rhs:
            raise StepFailed(name, len(proof.steps), "vacuous: both sides are the same expression already")
        claimed = proof._claim(sp.sympify(rhs))
        proof._verify(name, lhs, claimed, rule)
        proof._record(name, rule.kind, lhs, claimed, began)
        if isinstance(rule, Antiderivatives):
            self._check_integral(name, lhs, claimed)
        self.value, self.length = claimed, self.length + 1
        self.exact = self.exact and not isinstance(rule, Series)
        self.at_limit = isinstance(rule, Series) and rule.order == 1
        return self

    def lemma(self, name: str) -> Fact:
        """Name the equality of the two ends, so that other proofs can cite it."""
        if self.length == 0:
            raise StepFailed(name, len(self.proof.steps), "vacuous: nothing was derived")
        self.proof.conclusions[name] = self.fact
        return self.fact

    def conclude(self, name: str, law: sp.Expr) -> Fact:
        """The chain has arrived at `law`, an expression written down independently of it."""
        began, proof = time.perf_counter(), self.proof
        if self.length == 0:
            raise StepFailed(name, len(proof.steps), "vacuous: nothing was derived before the conclusion")
        if law == self.origin:
            raise StepFailed(name, len(proof.steps), "vacuous: the chain started from the law")
        claimed = proof._claim(sp.sympify(law))
        proof._verify(name, self.value, claimed, Algebra())
        proof._record(name, LAW, self.value, claimed, began)
        proof.conclusions[name] = Fact(self.origin, claimed)
        return proof.conclusions[name]

    def _check_integral(self, name: str, lhs: sp.Expr, rhs: sp.Expr) -> None:
        """A second, numerical but rigorous, look at an integral: enclosures at exact rational points."""
        began, proof = time.perf_counter(), self.proof
        line = f"{name}: enclosure"
        claimed = proof._claim(rhs)
        if not proof._believes() and (proof.remembered is None or (lhs, claimed) not in proof.remembered):
            objection = balls.disagreement(lhs - claimed, proof.domain)
            if objection is not None:
                raise StepFailed(line, len(proof.steps), objection)
            if proof.remembered is not None:
                proof.remembered.add((lhs, claimed))
        proof._record(line, INTEGRAL_CHECK, lhs, claimed, began)
