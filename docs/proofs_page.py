"""The page of proofs: what each concludes, under which hypotheses, on which trust, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from mathml import mathml

from signmag_jax.theory import proof as proofs

LONGEST = 800  # characters of LaTeX; longer lines are for `signmag prove NAME --latex`
HEAD = """# Proofs

Each derivation starts from a definition and ends in a law. A small kernel makes every fact; whatever else
finds it only proposes. What is taken on trust is counted: *normal form* means that SymPy found an expression
to vanish identically, which was also put to balls at points of its domain. Hypotheses stand in the
conclusion. `signmag prove NAME` runs one, `--latex` prints it whole.
"""


def page() -> str:
    """The page as Markdown; it runs the proofs."""
    library = proofs.Library()
    results = [library.result(name) for name in proofs.select(None)]
    return "\n\n".join([HEAD, *("\n\n".join(_proof(result)) for result in results)])


def _proof(result: proofs.ProofResult) -> Iterator[str]:
    yield f"## {result.title}"
    yield f"`{result.name}`: {_verdict(result)}"
    yield '<div class="conclusions">'
    for name, fact in result.conclusions.items():
        under = escape(", ".join(proofs.hypotheses(fact)))
        yield f"<p>{escape(name)}{f', for <code>{under}</code>' if under else ''}:</p>"
        yield mathml(proofs.claimed(fact))
    yield "</div>"
    yield f"<details><summary>{len(result.steps)} lines</summary><ol start='0'>"
    for step in result.steps:
        trust = f" [trusted: {', '.join(step.trusted)}]" if step.trusted else ""
        yield f"<li>{escape(step.name)} <em>({escape(step.kind)})</em>{escape(trust)}{_equation(step)}</li>"
    yield "</ol></details>"


def _verdict(result: proofs.ProofResult) -> str:
    trusted = ", ".join(f"{count} by {what}" for what, count in result.trusted.items())
    word = "PROVED" if result.proved else f"FAILED ({result.failure})"
    return f"**{word}** in {result.count()} steps, trusted: {trusted or 'none'}."


def _equation(step: proofs.Step) -> str:
    latex = proofs.equation(step)
    return mathml(latex) if len(latex) < LONGEST else ""
