"""Running proofs: finding the `proofs` folder, checking each derivation, reporting it as text or LaTeX.

What a proof states is rendered from the facts that it concludes, with all hypotheses and trusted steps.
"""

import importlib.util
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef

from signmag_jax.evidence import MissingResource

from . import proof_files
from .derivation import DEFINITION, HYPOTHESIS, LAW, SIGN, Chain, Proof, Step, StepFailed, Tamper
from .proof_files import names, select
from .rules import Refused, by, doubts, genuine, written
from .rules.kernel import RECURSIONS
from .rules.sources import objection

__all__ = [
    "Chain",
    "Proof",
    "ProofResult",
    "Step",
    "StepFailed",
    "Tamper",
    "claimed",
    "equation",
    "hypotheses",
    "names",
    "prove",
    "run",
    "select",
    "stated",
]


@dataclass(frozen=True)
class ProofResult:
    """The outcome of one proof: proved, if every line was accepted and at least one law was concluded."""

    name: str
    title: str
    steps: tuple[Step, ...]
    failure: str | None = None
    conclusions: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def proved(self) -> bool:
        """Whether the derivation stands: nobody else's objects count as conclusions."""
        return (
            self.failure is None and bool(self.conclusions) and all(map(genuine, self.conclusions.values()))
        )

    @property
    def statement(self) -> str:
        """What is concluded, fact by fact, each with its hypotheses."""
        return "\n".join(f"{name}: {stated(fact)}" for name, fact in self.conclusions.items())

    @property
    def seconds(self) -> float:
        """Time spent on the checks."""
        return sum(step.seconds for step in self.steps)

    def count(self, *kinds: str) -> int:
        """Number of lines of the given kinds; of derivation steps, if no kind is given."""
        return sum(step.kind in kinds if kinds else step.counts for step in self.steps)

    @property
    def trusted(self) -> dict[str, int]:
        """What the proof takes on trust, and in how many steps."""
        every = [what for step in self.steps if step.kind != LAW for what in step.trusted]
        return {what: every.count(what) for what in sorted(set(every))}

    @property
    def summary(self) -> str:
        """One line: the verdict and what it rests on."""
        verdict = "PROVED" if self.proved else "FAILED"
        trusted = (
            ", ".join(f"{count} by {what} (trusted)" for what, count in self.trusted.items())
            or "none trusted"
        )
        return f"{verdict} {self.name}: {self.count()} steps, {trusted}, {self.seconds:.1f} s"

    def to_text(self) -> str:
        """The derivation, line by line."""
        lines = [self.title, "=" * len(self.title), self.statement, ""]
        for number, step in enumerate(self.steps):
            mark = "" if step.ok else "  FAILED"
            lines.append(f"{number:3d}. {step.name}  [{step.kind}]{mark}")
            lines.append(f"       {written(step.lhs)}")
            lines.append(f"     {_RELATION.get(step.kind, '=')} {written(step.rhs)}")
        if self.failure:
            lines.append(self.failure)
        return "\n".join([*lines, "", self.summary, ""])

    def to_latex(self) -> str:
        """A LaTeX document of the derivation (for lualatex or xelatex)."""
        lines = [
            _PREAMBLE,
            rf"\section*{{{_plain(self.title)}}}",
            _plain(self.statement),
            r"\begin{enumerate}",
        ]
        lines.append(r"\setcounter{enumi}{-1}")
        for step in self.steps:
            mark = "" if step.ok else r" \textbf{FAILED}"
            lines.append(rf"\item {_plain(step.name)} \emph{{({_plain(step.kind)})}}{mark}")
            lines.append(rf"\begin{{dmath*}} {equation(step)} \end{{dmath*}}")
        lines.append(r"\end{enumerate}")
        if self.failure:
            lines.append(_plain(self.failure))
        return "\n".join([*lines, _plain(self.summary), r"\end{document}", ""])


def stated(fact: Any) -> str:
    """A fact as text: its claim, what its symbols stand for and its hypotheses."""
    text, under = doubts.stated(fact.claim), hypotheses(fact)
    return f"{text}, for {', '.join(under)}" if under else text


def hypotheses(fact: Any) -> list[str]:
    """What the symbols of a fact stand for, and what it supposes, as text."""
    return [*doubts.domains(fact), *_recursions(fact), *sorted(map(doubts.stated, fact.hypotheses))]


def _recursions(fact: Any) -> list[str]:
    """What the sequences are that a fact speaks of."""
    sides = [side for claim in (fact.claim, *fact.hypotheses) for side in (claim.left, claim.right)]
    names = sorted({part.name for side in sides for part in side.atoms(AppliedUndef)})
    known = [(name, RECURSIONS.get(name)) for name in names]
    return [
        doubts.stated(by.sequence(name, *parts, begins).claim)
        for name, parts in known
        if parts is not None
        for begins in (True, False)
    ]


def claimed(fact: Any) -> str:
    """The claim of a fact as LaTeX."""
    claim = fact.claim
    left, right = _latex(claim.left), _latex(claim.right)
    if claim.kind != "order":
        return f"{left} {_LATEX_CLAIM[claim.kind]} {right}"
    small = _latex(claim.variable)
    to = rf"{left} \to {right}" if claim.order == 0 else rf"{left} = {right} + o({small}^{{{claim.order}}})"
    return rf"{to} \quad ({small} \to 0^+)"


_RELATION = {DEFINITION: ":=", HYPOTHESIS: "rel", SIGN: ">="}
_LATEX_RELATION = {DEFINITION: ":=", HYPOTHESIS: r"\bowtie", SIGN: r"\geq"}
_LATEX_CLAIM = {"=": "=", ">": ">", ">=": r"\geq"}
_PREAMBLE = "\n".join(
    [
        r"\documentclass{article}",
        r"\usepackage{fontspec,amsmath,amssymb,breqn}",
        r"\begin{document}",
    ]
)


def equation(step: Step) -> str:
    """A line of a proof as LaTeX: its sides and what is between them."""
    return f"{_latex(step.lhs)} {_LATEX_RELATION.get(step.kind, '=')} {_latex(step.rhs)}"


def _latex(expr: sp.Basic) -> str:
    # Unsorted for the reason that `written` gives.
    return sp.latex(expr, order="none")


def _plain(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    for character in ("\\", "{", "}", "&", "%", "$", "#", "_", "^", "~"):
        escaped = {"\\": r"\textbackslash ", "^": r"\^{}", "~": r"\~{}"}.get(character, "\\" + character)
        text = text.replace(character, escaped) if character not in "{}" else text
    return text


def prove(names: Iterable[str] | None = None) -> list[ProofResult]:
    """Run the named proofs, or all of them.

    Args:
        names: names of files in `proofs/`, without `.py`.
    Returns:
        One result a proof, in the order asked for; a failed proof is a result that is not `proved`.
    Raises:
        InvalidInput: for an unknown name.
    """
    library = Library()
    return [library.result(name) for name in select(names)]


class Library:
    """Runs proofs and keeps their results, so that a cited proof runs once."""

    def __init__(self) -> None:
        self._results: dict[str, ProofResult] = {}
        self._running: list[str] = []

    def result(self, name: str) -> ProofResult:
        """The outcome of one proof."""
        if name in self._running:
            raise StepFailed(name, 0, f"the citations go in a circle: {' → '.join([*self._running, name])}")
        if name not in self._results:
            self._running.append(name)
            try:
                module = load(proof_files.folder() / f"{name}.py")
                self._results[name] = check(module, self)
            finally:
                self._running.pop()
        return self._results[name]

    def conclusions(self, name: str) -> dict[str, Any]:
        """What a proof concludes, if it stands."""
        if name not in names():
            raise StepFailed(f"citation of {name}", 0, "there is no such proof")
        result = self.result(name)
        if not result.proved:
            raise StepFailed(f"citation of {name}", 0, result.failure)
        return result.conclusions


def load(path: Path) -> ModuleType:
    """Import a proof file by its path."""
    spec = importlib.util.spec_from_file_location(f"signmag_proof_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise MissingResource(f"{path} is not a Python file")
    said = objection(path.read_text(encoding="utf-8"))
    if said is not None:
        raise StepFailed(f"source of {path.stem}", 0, said)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.NAME = path.stem  # type: ignore[attr-defined]
    return module


def check(
    module: ModuleType,
    library: Library,
    tamper: Tamper | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> ProofResult:
    """Run a loaded proof, possibly with a deliberate error in one line; a failure is part of the result."""
    proof = Proof(module.NAME, library.conclusions, tamper, on_step=on_step)
    failure = None
    try:
        module.prove(proof)
        proof.finish()
    except Exception as error:  # whatever goes wrong in it, a proof that does not come to its end is none
        plain = isinstance(error, StepFailed | Refused)
        failure = f"FAILED: {error if plain else repr(error)}"
        name = error.step if isinstance(error, StepFailed) else "a rule"
        proof.steps.append(Step(name, "failed", 0.0, False, sp.Symbol("lhs"), sp.Symbol("rhs")))
    return ProofResult(module.NAME, module.TITLE, tuple(proof.steps), failure, dict(proof.conclusions))


def run(file: str) -> int:
    """Run one proof file as a script: a line per step, then the total. Returns the exit code."""
    try:
        module = load(Path(file).resolve())
    except StepFailed as failed:
        print(f"FAILED {Path(file).stem}: {failed}", file=sys.stderr)
        return 1
    result = check(module, Library(), on_step=lambda step: print(line(step), flush=True))
    print(result.failure or result.statement, file=sys.stderr if result.failure else sys.stdout)
    print(result.summary)
    return 0 if result.proved else 1


def line(step: Step) -> str:
    """One step in one line: kind, name, what is trusted, seconds."""
    trusted = f" [trusted: {', '.join(step.trusted)}]" if step.trusted else ""
    return f"{'ok' if step.ok else 'FAILED':6s} {step.kind:20s} {step.name}{trusted} ({step.seconds:.2f} s)"
