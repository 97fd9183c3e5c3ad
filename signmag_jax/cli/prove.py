"""`signmag prove`."""

from __future__ import annotations

from typing import Any

import typer

from .options import emit, prepare, say


def prove(*names: str, latex: bool = False, json: bool = False, quiet: bool = False) -> int:
    """Run the derivations, checked step by step.

    Args:
      names: proofs to run; all, if there is none.
      latex: print the derivation as LaTeX.

    Example: signmag prove theorem_3
    """
    prepare(quiet=quiet)
    if latex and json:
        raise typer.BadParameter("--latex and --json exclude each other: give one of them")
    from signmag_jax.theory import proof as proofs

    # Derivations cite each other: one library runs each of them once.
    library = proofs.Library()
    results = []
    for name in proofs.select(list(names) or None):
        result = library.result(name)
        results.append(result)
        if latex:
            say(result.to_latex())
        elif not json:
            say(_lines(result))
    if json:
        emit({"proofs": [_plain(result) for result in results], "proved": all(r.proved for r in results)})
    elif not latex:
        proved = sum(result.proved for result in results)
        say(f"{proved} of {len(results)} proved, {sum(result.count() for result in results)} steps")
    return 0 if all(result.proved for result in results) else 1


def _lines(result: Any) -> str:
    """A line for each step, what is concluded with its hypotheses or the failure, and the total."""
    from signmag_jax.theory.proof import line

    body = [result.title, *(f"  {line(step)}" for step in result.steps)]
    return "\n".join([*body, result.failure or result.statement, result.summary, ""])


def _plain(result: Any) -> dict[str, Any]:
    return {
        "name": result.name,
        "title": result.title,
        "statement": result.statement,
        "trusted": result.trusted,
        "proved": result.proved,
        "failure": result.failure,
        "seconds": result.seconds,
        "steps": [
            {"name": step.name, "kind": step.kind, "ok": step.ok, "seconds": step.seconds}
            for step in result.steps
        ],
    }
