"""`signmag prove`."""

from __future__ import annotations

from typing import Annotated

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
    from signmag_jax.theory.proof import available
    from signmag_jax.theory.proof import prove as run

    results = []
    for name in names or available():
        (result,) = run([name])
        results.append(result)
        if not json:
            say(result.to_latex() if latex else result.to_text())
    if json:
        emit({"proofs": [result.to_json() for result in results], "proved": all(r.proved for r in results)})
    elif not latex:
        proved = sum(result.proved for result in results)
        say(f"{proved} of {len(results)} proved, {sum(len(result.steps) for result in results)} steps")
    return 0 if all(result.proved for result in results) else 1
