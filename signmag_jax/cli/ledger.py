"""`signmag reproduce`, `signmag report` and `signmag diff`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from .options import ONE_TASK, check_tasks, emit, prepare, remark, say, show


def reproduce(
    *,
    quick: bool = False,
    full: bool = False,
    model: str | None = None,
    revision: str | None = None,
    file: str | None = None,
    text: str | None = None,
    out: Path = Path("signmag-run"),
    seed: int = 0,
    device: str = "auto",
    dtype: str = "float32",
    mesh: dict[str, int] | None = None,
    dry_run: bool = False,
    resume: Path | None = None,
    overwrite: bool = False,
    timings: bool = False,
    all: bool = False,
    json: bool = False,
    quiet: bool = False,
) -> int:
    """Run the ledger over theory, simulation and measurement; write ledger.json and report.html.

    Args:
      quick: take fewer samples, in about a minute.
      full: take more samples, for publication.
      out: folder for ledger.json and report.html.
      dtype: precision of the model's weights, as in `signmag measure`.
      overwrite: take the place of an earlier run in that folder.
      timings: do one part after another, and say on standard error what each took.
      all: print every row of the ledger, not the abstract's claims alone.

    Example: signmag reproduce --quick --out my-run
    """
    check_tasks(shared=dry_run, how=ONE_TASK)
    prepare(quiet=quiet, device=device)
    from signmag_jax import claims, models
    from signmag_jax import report as reports
    from signmag_jax.evidence.files import check_folder

    check_folder(out, "--out", (reports.FILE_NAME,))
    if quick and full:
        raise typer.BadParameter("--quick and --full exclude each other: give one of them")
    if dry_run and (timings or all):
        unused = "--timings" if timings else "--all"
        raise typer.BadParameter(f"{unused} and --dry-run exclude each other: a dry run computes no rows")
    level = claims.level("quick" if quick else "full" if full else "default")
    asked: dict[str, Any] = {
        "out": out,
        "model": model,
        "text": text,
        "dtype": dtype,
        "revision": revision,
        "file": file,
        "mesh": mesh,
        "resume": resume,
        "overwrite": overwrite,
    }
    if dry_run:
        run = claims.check(level, **asked, fetch=False)
        config = models.config_alone(model) if run is None else run.checkpoint.config
        return show(claims.cost(level, config, dtype), json)
    ledger = claims.reproduce(level, **asked, seed=seed, timed=timings, listener=Shown())
    if timings:
        _print_timings(ledger)
    page = reports.write(out)
    if json:
        emit(ledger)
    else:
        reports.print_ledger(ledger, every=all)
        remark(f"Written: {out / 'ledger.json'} and {page}", quiet=quiet)
    return 1 if ledger["summary"]["claims of ours that fail"] else 0


class Shown:
    """Shows what a run has found so far: on a terminal each claim as it is decided, elsewhere each part."""

    def part(self, name: str, seconds: float) -> None:
        """Show a plain line for a part that ended, where there are no bars."""
        from signmag_jax.evidence import progress

        if not progress.shown() and seconds >= NOTHING:
            progress.tell(f"{name}: {seconds:.1f} s")

    def claim(self, sentence: Any, row: Mapping[str, Any]) -> None:
        """Show a claim's words, verdict and numbers above the bars."""
        from signmag_jax import report as reports
        from signmag_jax.evidence import progress

        if progress.shown():
            for line, _ in reports.claim_lines(sentence, row):
                progress.tell(line)


NOTHING = 0.05
"""Seconds below which a part did nothing, as what a level leaves out."""


def _print_timings(ledger: Mapping[str, Any]) -> None:
    """Print what each part took, to standard error: asked for, whether quiet or not."""
    from signmag_jax.evidence.timings import lines

    for line in lines(ledger["provenance"]["timings"]):
        remark(line, quiet=False)


def report(folder: Path, *, all: bool = False, json: bool = False, quiet: bool = False) -> int:
    """Make report.html again from a saved run folder, and print its table.

    Args:
      folder: what `signmag reproduce --out` wrote.
      all: print every row of the ledger, not the abstract's claims alone.

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
        reports.print_ledger(ledger, every=all)
        remark(f"Written: {page}", quiet=quiet)
    return 0


def diff(first: Path, second: Path, *, json: bool = False, quiet: bool = False) -> int:
    """Which claims moved between two runs, and by how many standard errors.

    Args:
      first, second: folders that `signmag reproduce --out` wrote.

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
