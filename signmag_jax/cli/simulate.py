"""`signmag simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import (
    Device,
    Distributed,
    DryRun,
    Json,
    Plot,
    Quiet,
    Resume,
    Seed,
    check_plot,
    check_resume,
    emit,
    flags,
    joined,
    prepare,
    remark,
    say,
    several,
    show,
)
from .perturbations import PERTURBATIONS, parse

OURS = ("name", "device", "dry_run", "plot", "json", "quiet", "distributed", "share")
# Those of `simulate.EXPERIMENTS`, which --help would wait seconds for.
NAMES = (
    "block",
    "block_explicit",
    "block_fast",
    "v0",
    "proposition_1",
    "proposition_1_shift",
    "quantizer",
    "ternary",
    "ternary_bitnet",
    "depth",
    "depth_residual",
    "v2",
    "v3",
    "single_flip",
    "column_pool",
)


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("simulate")(simulate)


def simulate(
    name: Annotated[
        str | None,
        typer.Argument(help=f"The experiment: {', '.join(NAMES)}. Without one, all are described."),
    ] = None,
    width: Annotated[int | None, typer.Option("--width", help="Length of the input.")] = None,
    rate: Annotated[str | None, typer.Option("--rate", help="Flip rate, or several: 0.01,0.05.")] = None,
    perturbation: Annotated[
        str | None,
        typer.Option(
            "--perturbation",
            help=f"Instead of a rate, two to compare, or one quantiser: flip:0.1,prune:0.5. {PERTURBATIONS}",
        ),
    ] = None,
    depth: Annotated[int | None, typer.Option("--depth", help="Layers of a chain.")] = None,
    residual: Annotated[bool | None, typer.Option("--residual", help="Chains with skips.")] = None,
    activation: Annotated[str | None, typer.Option("--activation", help="relu, silu, gelu, ...")] = None,
    layers: Annotated[str | None, typer.Option("--layers", help="Perturbed layers: all or first.")] = None,
    scale: Annotated[
        str | None, typer.Option("--scale", help="Pre-activations of a chain: unit, paper.")
    ] = None,
    second_layer: Annotated[
        str | None, typer.Option("--second-layer", help="integrated, explicit or none.")
    ] = None,
    hidden: Annotated[int | None, typer.Option("--hidden", help="Rows of the perturbed matrix.")] = None,
    outputs: Annotated[int | None, typer.Option("--outputs", help="Rows of the second matrix.")] = None,
    difference: Annotated[
        str | None,
        typer.Option("--difference", help="linear: RMSNorm's derivative; finite: the outputs' own."),
    ] = None,
    granularity: Annotated[
        str | None, typer.Option("--granularity", help="One scale of a quantiser per row or tensor.")
    ] = None,
    controlled: Annotated[
        bool | None, typer.Option("--controlled", help="Control variates: a smaller error.")
    ] = None,
    rows: Annotated[int | None, typer.Option("--rows", help="Rows of a single matrix.")] = None,
    inputs: Annotated[int | None, typer.Option("--inputs", help="Inputs of each network.")] = None,
    alpha: Annotated[
        str | None, typer.Option("--alpha", help="Amplitude of the outlier, or several: 0.26,0.6.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", help="Scales of the columns: lognormal or student.")
    ] = None,
    spread: Annotated[float | None, typer.Option("--spread", help="Spread of the profile.")] = None,
    fraction: Annotated[
        float | None, typer.Option("--fraction", help="Part of the columns that makes the pool.")
    ] = None,
    matching: Annotated[
        str | None, typer.Option("--matching", help="Pools: as many flips (count) or one rate (rate).")
    ] = None,
    match: Annotated[
        str | None, typer.Option("--match", help="Equal norms: realised by the draw, or expected.")
    ] = None,
    networks: Annotated[int | None, typer.Option("--networks", help="Stop at this many networks.")] = None,
    standard_error: Annotated[
        float | None, typer.Option("--standard-error", help="Stop at this standard error.")
    ] = None,
    max_networks: Annotated[
        int | None, typer.Option("--max-networks", help="Give up beyond this many.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="Stop at this time (not reproducible).")
    ] = None,
    share: Annotated[
        str | None,
        typer.Option("--share", metavar="I/N", help="Compute the I-th of N shares, from 0, into --resume."),
    ] = None,
    distributed: Distributed = False,
    dtype: Annotated[str | None, typer.Option("--dtype", help="float32 or float64.")] = None,
    device: Device = "auto",
    dry_run: DryRun = False,
    resume: Resume = None,
    plot: Plot = None,
    seed: Seed = 0,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Simulate Gaussian networks until a standard error, a number of networks or a time is reached.

    Example: signmag simulate block --width 256 --rate 0.02 --standard-error 0.005

    Ratios come as the mean of per-network ratios, which the paper prints, and as a ratio of means, which the
    laws predict: they differ by the bias of a quotient, which falls with inputs and width, not with networks.

    Several processes share the work through a folder: with --resume DIR --share I/N each computes the I-th of
    N shares, at the same time as the others or not. The last run, without --share, reads the folder,
    computes what is missing and prints the bits of a single process:

    Slurm array: --share $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT (with --array=0-3)

    GNU parallel: parallel signmag simulate ... --resume DIR --share {}/4 ::: 0 1 2 3

    --distributed takes I and N from JAX's own runtime.
    """
    given = {key: value for key, value in locals().items() if value is not None and key not in OURS}
    if share is not None and distributed:
        raise typer.BadParameter("--share or --distributed, not both: --distributed finds the share itself")
    index, count = joined(distributed=distributed and not dry_run, device=device)
    prepare(quiet=quiet, device=device)
    from signmag_jax import simulate as room

    if share is not None:
        given["share"] = room.parse_share(share)
    elif count > 1:
        given["share"] = index, count
    try:
        return _run(name, given, dry_run=dry_run, plot=plot, json=json, quiet=quiet)
    except room.ShareDone as done:
        if json:
            emit(done.to_json())
        else:
            say(str(done))
        return 0


def _run(
    name: str | None,
    given: dict[str, Any],
    *,
    dry_run: bool,
    plot: Path | None,
    json: bool,
    quiet: bool,
) -> int:
    from signmag_jax import simulate as room

    chosen = None if name is None else room.experiment(name)
    if chosen is not None and "perturbation" in given:
        given = _perturbed(given, chosen.arguments)
    strange = [key for key in given if key not in (("seed",) if chosen is None else chosen.arguments)]
    if strange:
        whose = f"{name} does not take" if chosen is not None else "without an experiment there is no use for"
        raise typer.BadParameter(f"{whose} {flags(strange)}: leave it out")
    if name is None or chosen is None:
        return _list(room.EXPERIMENTS, json)
    for many in ("rate", "alpha"):
        if isinstance(given.get(many), str):
            values = several(f"--{many}", given[many], float)
            given[many] = values[0] if len(values) == 1 else list(values)
    check_plot(plot)
    check_resume(given.get("resume"))
    if dry_run:
        return show(_cost(chosen, given), json)
    found = chosen(**given)
    ended = getattr(found, chosen.primary).provenance["stopped_by"]
    if ended != "target":
        remark(f"Stopped by {ended}.", quiet=quiet)
    if plot is not None:
        _plot(found, chosen, name, given, plot)
        remark(f"Written: {plot}", quiet=quiet)
    return _print(found, chosen, name, json=json, quiet=quiet)


def _perturbed(given: dict[str, Any], arguments: tuple[str, ...]) -> dict[str, Any]:
    """What was typed as perturbations, for the argument that takes one or two of them."""
    typed = given["perturbation"].split(",")
    if "perturbations" in arguments:
        rest = {key: value for key, value in given.items() if key != "perturbation"}
        return {**rest, "perturbations": tuple(map(parse, typed))}
    return {**given, "perturbation": parse(given["perturbation"])} if "perturbation" in arguments else given


def _list(experiments: Any, json: bool) -> int:
    plain = {
        name: {"summary": one.summary, "arguments": list(one.arguments)} for name, one in experiments.items()
    }
    if json:
        emit(plain)
        return 0
    for name, one in plain.items():
        say(f"{name}: {one['summary']}")
    return 0


def _cost(chosen: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Operations and memory of the run, from its sizes, which are checked."""
    experiment, stop = chosen.plan(**given)
    sizes = experiment.arguments
    width, inputs = sizes["width"], sizes["inputs"]
    rows = sizes.get("hidden") or sizes.get("rows") or width
    rates = max(len(given[many]) if isinstance(given.get(many), list) else 1 for many in ("rate", "alpha"))
    work, size = round(experiment.work), 8 if sizes["dtype"] == "float64" else 4
    # Ten of each matrix, measured: with its random bits, what they become on the way, and its errors.
    matrices = rows * width + (rows * sizes["outputs"] if sizes.get("second_layer") == "explicit" else 0)
    return {
        "networks": "until the target is met" if stop.total is None else stop.total,
        "floating_point_operations_per_network": work,
        "floating_point_operations": "depends on the target" if stop.total is None else work * stop.total,
        "memory_mib": round(size * (10 * matrices + (2 + 4 * rates) * rows * inputs) / 2**20, 1),
    }


def _print(found: Any, chosen: Any, name: str, *, json: bool, quiet: bool) -> int:
    """The primary estimate first, then every estimate of the result, and what lies between two ratios."""
    if json:
        primary = getattr(found, chosen.primary).to_json()
        emit({"experiment": name, "primary": chosen.primary, **primary, "results": found.to_json()})
        return 0
    from signmag_jax import simulate as room
    from signmag_jax.report.numbers import with_error

    estimators = set()
    for leaf, plain in _leaves(found.to_json()):
        value, error = plain["value"], plain["standard_error"]
        cells = [with_error(*pair) for pair in zip(_flat(value), _flat(error), strict=True)]
        say(f"{leaf}: {', '.join(cells)} (n = {plain['n']}; {plain['estimator']})")
        estimators.add(plain["estimator"])
    if estimators >= room.BOTH_RATIOS:
        remark(room.TWO_RATIOS, quiet=quiet)
    return 0


def _leaves(plain: Any, name: str = "") -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(plain, dict):
        return []
    if "standard_error" in plain:
        return [(name, plain)]
    return [leaf for key, item in plain.items() for leaf in _leaves(item, f"{name}.{key}".lstrip("."))]


def _flat(value: Any) -> list[float]:
    return [number for item in value for number in _flat(item)] if isinstance(value, list) else [value]


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
