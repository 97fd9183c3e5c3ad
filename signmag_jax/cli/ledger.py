"""`signmag reproduce`, `signmag report` and `signmag diff`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import (
    Device,
    DryRun,
    Json,
    MeshShape,
    Model,
    Quiet,
    Resume,
    Revision,
    Seed,
    Text,
    UnusedSeed,
    emit,
    mesh_axes,
    place,
    prepare,
    remark,
    say,
    show,
)

Folder = Annotated[
    Path,
    typer.Argument(
        parser=place,
        metavar="FOLDER",
        help="A folder that `signmag reproduce --out` wrote.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command("reproduce")(reproduce)
    app.command("report")(report)
    app.command("diff")(diff)


def reproduce(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer samples: about 90 seconds.")] = False,
    full: Annotated[bool, typer.Option("--full", help="More samples: for publication.")] = False,
    model: Model = None,
    revision: Revision = None,
    text: Text = None,
    out: Annotated[Path, typer.Option("--out", parser=place, metavar="FOLDER", help="Run folder.")] = Path(
        "signmag-run"
    ),
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Annotated[str, typer.Option("--dtype", help="Precision of the model's weights.")] = "float32",
    mesh: MeshShape = None,
    dry_run: DryRun = False,
    resume: Resume = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Run the ledger over theory, simulation and measurement; write ledger.json and report.html.

    Example: signmag reproduce --quick --out my-run
    """
    prepare(quiet=quiet, device=device)
    from signmag_jax import claims

    if quick and full:
        raise typer.BadParameter("--quick and --full exclude each other: give one of them")
    level = claims.level("quick" if quick else "full" if full else "default")
    given = {"out": out, "model": model, "text": text, "dtype": dtype, "resume": resume}
    given |= {"revision": revision, "mesh": mesh_axes(mesh)}
    if dry_run:
        claims.check(level, **given, fetch=False)
        return show(claims.cost(level), json)
    ledger = claims.reproduce(level, seed=seed, **given)
    from signmag_jax import report as reports

    page = reports.write(out)
    if json:
        emit(ledger)
    else:
        reports.print_ledger(ledger)
        remark(f"Written: {out / 'ledger.json'} and {page}", quiet=quiet)
    return 1 if ledger["summary"]["claims of ours that fail"] else 0


def report(folder: Folder, json: Json = False, seed: UnusedSeed = 0, quiet: Quiet = False) -> int:
    """Make report.html again from a saved run folder, and print its table.

    Example: signmag report signmag-run
    """
    prepare(quiet=quiet)
    from signmag_jax import claims
    from signmag_jax import report as reports

    ledger = claims.read(folder)
    page = reports.write(folder)
    if json:
        emit({"report": str(page), "summary": ledger["summary"]})
    else:
        reports.print_ledger(ledger)
        remark(f"Written: {page}", quiet=quiet)
    return 0


def diff(
    first: Folder, second: Folder, json: Json = False, seed: UnusedSeed = 0, quiet: Quiet = False
) -> int:
    """Which claims moved between two runs, and by how many standard errors.

    Example: signmag diff run-a run-b
    """
    prepare(quiet=quiet)
    from signmag_jax import claims

    changes = claims.diff(claims.read(first), claims.read(second))
    if json:
        emit(changes)
        return 0
    for change in changes["changed"]:
        say(f"{change['name']}: {' → '.join(dict.fromkeys(change['verdict']))}")
        for route, move in change["moved"].items():
            size = move.get("standard_errors")
            say(
                f"  {route}: {move['from']} → {move['to']}"
                + (f" ({size:+.1f} SE)" if size is not None else "")
            )
    for side, names in (("first", changes["only_in_first"]), ("second", changes["only_in_second"])):
        if names:
            say(f"only in the {side}: {', '.join(names)}")
    say(f"unchanged: {changes['unchanged']}")
    return 0
