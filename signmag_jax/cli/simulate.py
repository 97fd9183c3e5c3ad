"""`signmag simulate NAME`: one sub-command for each experiment."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from . import derive
from .group import Group, subcommand
from .options import ONE_TASK, check_plot, check_resume, check_tasks, emit, joined, prepare, remark, say, show
from .shared import SHARED

if TYPE_CHECKING:
    from signmag_jax.evidence import Estimate
    from signmag_jax.simulate import Named

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

        return {name: each.summary for name, each in EXPERIMENTS.items()}

    def plain(self) -> Any:
        """Summary and arguments of each."""
        from signmag_jax.simulate import EXPERIMENTS

        return {
            name: {"summary": each.summary, "arguments": list(each.arguments)}
            for name, each in EXPERIMENTS.items()
        }

    def make(self, name: str) -> Any:
        """The experiment as a sub-command."""
        from signmag_jax.simulate import EXPERIMENTS

        experiment = EXPERIMENTS[name]
        signature = inspect.signature(experiment)
        own = derive.options(experiment.function, signature=signature, leave=("mesh",))
        summary = experiment.summary[0].upper() + experiment.summary[1:]
        about = [f"{summary}.", derive.help_of(experiment.function), RATIOS, SHARES]
        return subcommand(
            name,
            functools.partial(_run, name, experiment),
            [*own, *OUTPUT],
            "\n\n".join(about),
            f"signmag simulate {name} {EXAMPLES.get(name, '--networks 64')}",
        )


def _run(
    name: str,
    experiment: Named,
    *,
    device: str = "auto",
    distributed: bool = False,
    dry_run: bool = False,
    plot: Path | None = None,
    json: bool = False,
    quiet: bool = False,
    **arguments: Any,
) -> int:
    """Run an experiment; `arguments` are its own, as they were typed."""
    if "share" in arguments and distributed:
        raise typer.BadParameter("--share or --distributed, not both: --distributed finds the share itself")
    check_tasks(
        shared=distributed or dry_run or "share" in arguments,
        how=f"{ONE_TASK}, or share it with --distributed, or --resume DIR --share I/N",
    )
    index, count = joined(distributed=distributed and not dry_run, device=device)
    prepare(quiet=quiet, device=device)
    from signmag_jax import simulate as room

    if count > 1:
        arguments["share"] = index, count
    check_plot(plot)
    check_resume(arguments.get("resume"))
    if dry_run:
        return show(experiment.cost(**arguments), json)
    try:
        result = experiment(**arguments)
    except room.ShareDone as done:
        if json:
            emit(done.to_json())
        else:
            say(str(done))
        return 0
    primary: Estimate = getattr(result, experiment.primary)
    ended = primary.provenance["stopped_by"]
    if ended != "target":
        remark(f"Stopped by {ended}.", quiet=quiet)
    if plot is not None:
        _plot(primary, f"{name}: {experiment.primary}", experiment, arguments, plot)
        remark(f"Written: {plot}", quiet=quiet)
    if json:
        plain = {"experiment": name, "primary": experiment.primary, **primary.to_json()}
        emit({**plain, "results": result.to_json()})
        return 0
    lines = result.summary()
    # Where both are printed, what lies between them is said.
    if all(any(each in line for line in lines.values()) for each in room.BOTH_RATIOS):
        remark(room.TWO_RATIOS, quiet=quiet)
    return show(lines, json)


def _plot(estimate: Estimate, title: str, experiment: Named, arguments: dict[str, Any], path: Path) -> None:
    """The primary estimate along rates or amplitudes, or along the layers of each rate's chain."""
    import numpy as np

    from signmag_jax.report import plots, style

    value, error = np.atleast_1d(estimate.value), np.atleast_1d(estimate.standard_error)
    axis = "alpha" if "alpha" in experiment.arguments else "rate"
    free = "perturbations" not in arguments
    along = np.atleast_1d({**experiment.defaults, **arguments}.get(axis, np.nan) if free else np.nan)
    if "depth" in experiment.arguments:
        pairs = zip(np.atleast_2d(value), np.atleast_2d(error), strict=True)
        series = {f"rate {rate:g}": pair for rate, pair in zip(along, pairs, strict=True)}
        style.save(plots.curves(series, "layer", experiment.primary, title), path)
        return
    law, law_is = _law(title.partition(":")[0], experiment, arguments, along)
    style.save(plots.estimates(axis, along, value, error, title, law, law_is), path)


def _law(name: str, experiment: Named, arguments: Mapping[str, Any], along: Any) -> tuple[Any, str]:
    """What the law of the experiment as it is by default gives at the same width; None for any other."""
    from signmag_jax import theory

    if name not in LAWS or not set(arguments) <= PLAIN:
        return None, ""
    width = int({**experiment.defaults, **arguments}["width"])
    law = getattr(theory, LAWS[name])
    return [float(law(float(at), width)) for at in along], f"law at width {width}"


LAWS = {
    "block": "finite_width_ratio",
    "block_fast": "finite_width_ratio",
    "single_flip": "flip_amplification",
}
"""The law that an experiment's primary result should obey, by experiment."""
PLAIN = {"rate", "alpha", "width", "inputs", "networks", "standard_error", "seconds", "seed", "resume"}
"""Arguments that leave an experiment the one of the law."""
