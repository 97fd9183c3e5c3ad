"""`signmag simulate NAME`: one sub-command for each experiment."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from . import derive
from .group import Group, subcommand
from .options import check_plot, check_resume, emit, joined, prepare, remark, say, show
from .shared import SHARED

OUTPUT = [SHARED[name] for name in ("device", "distributed", "dry_run", "plot", "json", "quiet")]
RATIOS = """Ratios come as the mean of per-network ratios, which the paper prints, and as a ratio of means,
which the laws predict: they differ by the bias of a quotient, which falls with inputs and width, not with
networks."""
SHARES = """Several processes share the work through a folder: with --resume DIR --share I/N each computes the
I-th of N shares, at the same time as the others or not. The last run, without --share, reads the folder,
computes what is missing and prints the bits of a single process. In a Slurm array:
--share $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT (with --array=0-3); with GNU parallel:
parallel signmag simulate ... --resume DIR --share {}/4 ::: 0 1 2 3. --distributed takes I and N from JAX's
own runtime."""
EXAMPLES = {
    "block": "--width 256 --rate 0.02 --standard-error 0.005",
    "quantizer": "--perturbation uniform:4 --networks 64",
    "single_flip": "--alpha 0.26,0.6 --networks 64",
}


class Experiments(Group):
    """The experiments of `simulate.EXPERIMENTS`."""

    what = "experiment"

    def lines(self) -> Mapping[str, str]:
        """The summary of each."""
        from signmag_jax.simulate import EXPERIMENTS

        return {name: one.summary for name, one in EXPERIMENTS.items()}

    def plain(self) -> Any:
        """Summary and arguments of each."""
        from signmag_jax.simulate import EXPERIMENTS

        return {
            name: {"summary": one.summary, "arguments": list(one.arguments)}
            for name, one in EXPERIMENTS.items()
        }

    def make(self, name: str) -> Any:
        """The experiment as a sub-command."""
        from signmag_jax.simulate import EXPERIMENTS

        named = EXPERIMENTS[name]
        parameters = inspect.signature(named)
        own = derive.options(named.function, signature=parameters, leave=("mesh",))
        summary = named.summary[0].upper() + named.summary[1:]
        about = [f"{summary}.", derive.help_of(named.function), RATIOS, SHARES]
        example = EXAMPLES.get(name, "--networks 64")
        return subcommand(
            name,
            functools.partial(_run, name, named),
            [*own, *OUTPUT],
            "\n\n".join(about),
            f"signmag simulate {name} {example}",
        )


def _run(
    name: str,
    chosen: Any,
    *,
    device: str = "auto",
    distributed: bool = False,
    dry_run: bool = False,
    plot: Path | None = None,
    json: bool = False,
    quiet: bool = False,
    **given: Any,
) -> int:
    if "share" in given and distributed:
        raise typer.BadParameter("--share or --distributed, not both: --distributed finds the share itself")
    index, count = joined(distributed=distributed and not dry_run, device=device)
    prepare(quiet=quiet, device=device)
    from signmag_jax import simulate as room

    if count > 1:
        given["share"] = index, count
    check_plot(plot)
    check_resume(given.get("resume"))
    if dry_run:
        return show(chosen.cost(**given), json)
    try:
        found = chosen(**given)
    except room.ShareDone as done:
        if json:
            emit(done.to_json())
        else:
            say(str(done))
        return 0
    ended = getattr(found, chosen.primary).provenance["stopped_by"]
    if ended != "target":
        remark(f"Stopped by {ended}.", quiet=quiet)
    if plot is not None:
        _plot(found, chosen, name, given, plot)
        remark(f"Written: {plot}", quiet=quiet)
    return _print(found, chosen, name, json=json, quiet=quiet)


def _print(found: Any, chosen: Any, name: str, *, json: bool, quiet: bool) -> int:
    """The primary estimate first, then every estimate of the result, and what lies between two ratios."""
    if json:
        primary = getattr(found, chosen.primary).to_json()
        emit({"experiment": name, "primary": chosen.primary, **primary, "results": found.to_json()})
        return 0
    from signmag_jax import simulate as room

    lines = found.summary()
    if all(any(each in line for line in lines.values()) for each in room.BOTH_RATIOS):
        remark(room.TWO_RATIOS, quiet=quiet)
    return show(lines, json)


def _plot(found: Any, chosen: Any, name: str, given: dict[str, Any], path: Path) -> None:
    """The primary estimate along rates or amplitudes, or along the layers of each rate's chain."""
    import numpy as np

    from signmag_jax.report import figures, measured

    estimate, title = getattr(found, chosen.primary), f"{name}: {chosen.primary}"
    value, error = np.atleast_1d(estimate.value), np.atleast_1d(estimate.standard_error)
    along = "alpha" if "alpha" in chosen.arguments else "rate"
    free = "perturbations" not in given
    places = np.atleast_1d({**chosen.defaults, **given}.get(along, np.nan) if free else np.nan)
    if "depth" in chosen.arguments:
        pairs = zip(np.atleast_2d(value), np.atleast_2d(error), strict=True)
        series = {f"rate {rate:g}": pair for rate, pair in zip(places, pairs, strict=True)}
        figures.save(measured.curves(series, "layer", chosen.primary, title), path)
        return
    figures.save(figures.estimates(along, places, value, error, title), path)
