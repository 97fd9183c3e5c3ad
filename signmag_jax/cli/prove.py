"""`signmag prove`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .options import Json, Quiet, UnusedSeed, emit, prepare, say


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("prove")(prove)


def prove(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Proofs to run; default: all.")
    ] = None,
    latex: Annotated[bool, typer.Option("--latex", help="Print the derivation as LaTeX.")] = False,
    json: Json = False,
    seed: UnusedSeed = 0,
    quiet: Quiet = False,
) -> int:
    """Run the derivations, checked step by step.

    Example: signmag prove theorem_3
    """
    prepare(quiet=quiet)
    if latex and json:
        raise typer.BadParameter("--latex and --json exclude each other: give one of them")
    from signmag_jax.theory import proof as proofs

    # Derivations cite each other: one library runs each of them once.
    library = proofs.Library()
    results = []
    for name in proofs.select(names or None):
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
    """The statement, a line for each step, the failure if there is one, and the total."""
    from signmag_jax.theory.proof import line

    body = [f"{result.title}: {result.statement}", *(f"  {line(step)}" for step in result.steps)]
    return "\n".join([*body, *([result.failure] if result.failure else []), result.summary, ""])


def _plain(result: Any) -> dict[str, Any]:
    return {
        "name": result.name,
        "title": result.title,
        "statement": result.statement,
        "proved": result.proved,
        "failure": result.failure,
        "seconds": result.seconds,
        "steps": [
            {"name": step.name, "kind": step.kind, "ok": step.ok, "seconds": step.seconds}
            for step in result.steps
        ],
    }
