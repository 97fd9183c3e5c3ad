"""`signmag measure NAME`: one sub-command for each measurement of a trained model."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import derive
from .group import Group, subcommand
from .options import (
    ONE_TASK,
    check_file,
    check_plot,
    check_resume,
    check_tasks,
    joined,
    prepare,
    remark,
    show,
)
from .parquet import check_parquet, write_parquet
from .reading import ReadingOptions
from .shared import SHARED, UNUSED_SEED, Option

EXAMPLES = {
    "nll": "--text FILE --window 1024 --windows 1",
    "quantization-report": "--layers 11 --matrices down_proj --mask mask.json",
    "metrics": "--perturbation flip:0.01 --draws 4",
    "trained-chain": "--draws 8",
    "columns": "--calibration 2 --windows 4 --plot columns.png",
}
# What is filled in from the model and the text; nothing else of a measurement goes untyped.
FILLED = ("model", "calibration", "evaluation", "tokens", "source")
WINDOWS = ("evaluation", "tokens")


class Measurements(Group):
    """The measurements of `measure.registry`, and the report that theory's predictions stand beside."""

    what = "measurement"

    def lines(self) -> Mapping[str, str]:
        """The first line of each measurement's documentation."""
        return {name: derive.summary_of(each.function) for name, each in _measurements().items()}

    def make(self, name: str) -> Any:
        """The measurement as a sub-command."""
        example = EXAMPLES.get(name, "--windows 8")
        return command(name, _measurements()[name], f"signmag measure {name} {example}")


def command(name: str, measurement: Any, example: str, defaults: Mapping[str, Any] | None = None) -> Any:
    """A measurement as a command, whose model and text have defaults of their own where they are given."""
    function, opened = measurement.function, functools.partial(ReadingOptions, **defaults or {})
    return subcommand(
        name,
        functools.partial(run, measurement, opened),
        [*_reading(function, opened), *_own(function), *_output(function)],
        derive.help_of(function),
        example,
    )


def _measurements() -> dict[str, Any]:
    from signmag_jax.measure.registry import MEASUREMENTS

    from .quantization_report import quantization_report

    def check_files(mask: Path | None) -> None:
        check_file("--mask", mask)

    plain = MEASUREMENTS["quantization-report"]
    return MEASUREMENTS | {"quantization-report": plain.of(quantization_report, check_files)}


def _own(function: Any) -> list[Option]:
    """Options of the measurement itself."""
    return derive.options(function, leave=FILLED)


def _texts(function: Any) -> list[str]:
    """The windows that a measurement takes, in order."""
    return [name for name in inspect.signature(function).parameters if name in ("calibration", *WINDOWS)]


def _reading(function: Any, opened: Any) -> list[Option]:
    """Options of the model, and of the text where the measurement reads one."""
    texts = _texts(function)
    unused = [] if texts else ["text", "window", "windows"]
    unused += [] if "calibration" in texts else ["calibration"]
    return derive.options(ReadingOptions, signature=inspect.signature(opened), leave=unused)


def _output(function: Any) -> list[Option]:
    """Options of where it runs and what is written."""
    from signmag_jax.evidence import Result

    names = ["device", "distributed", "dry_run", "json", "quiet"]
    result = derive.hints_of(function).get("return")
    result = getattr(result, "__origin__", result)
    names += [
        name
        for name, of in (("plot", "picture"), ("parquet", "rows"))
        if getattr(result, of, None) is not getattr(Result, of)
    ]
    options = [option for name, option in SHARED.items() if name in names]
    draws = any(option.name == "seed" for option in _own(function))
    return options if draws else [*options, UNUSED_SEED]


def run(
    measurement: Any,
    opened: Any,
    *,
    device: str = "auto",
    distributed: bool = False,
    dry_run: bool = False,
    plot: Path | None = None,
    parquet: Path | None = None,
    json: bool = False,
    quiet: bool = False,
    **given: Any,
) -> int:
    """Run a measurement with the options that were given, show it, and return the exit code."""
    check_tasks(shared=distributed or dry_run, how=f"{ONE_TASK}, or share it with --distributed")
    index, count = joined(distributed=distributed and not dry_run, device=device)
    prepare(quiet=quiet or index > 0, device=device)
    from signmag_jax.measure import inputs

    function = measurement.function
    reads = {one.name for one in dataclasses.fields(ReadingOptions)}
    asked = {key: value for key, value in given.items() if key in reads}
    takes = {option.name for option in _own(function)}
    options = {key: value for key, value in given.items() if key in takes}
    texts = _texts(function)
    if "calibration" not in texts:
        asked["calibration"] = None
    if not texts:
        asked["windows"] = 0
    if count > 1 and "mesh" not in asked:
        asked["mesh"] = _all_devices()
    reading = opened(**asked)
    # Damage at rates has an interval over the windows, whatever else is measured.
    fewest = max(measurement.fewest, inputs.MINIMUM_WINDOWS if "rates" in options else 1)
    reading.check(fewest if texts else 0)
    _check(measurement, options)
    check_plot(plot)
    check_parquet(parquet)
    if dry_run:
        return show(stated(measurement, reading, options), json)
    if index:  # all processes hold the same numbers; the first one shows and keeps them
        options |= dict.fromkeys({"mask", "out"} & takes)
    result = _measured(function, reading, options)
    if index:
        return 0
    picture = result.picture() if plot is not None else None
    if plot is not None and picture is not None:
        from signmag_jax.report import plots, style

        style.save(plots.draw(picture), plot)
        remark(f"Written: {plot}", quiet=quiet)
    if parquet is not None:
        write_parquet(result.rows(), parquet)
        remark(f"Written: {parquet}", quiet=quiet)
    return show(result.to_json() if json else result.summary(), json)


def _all_devices() -> dict[str, int]:
    """A mesh over the devices of all processes, which share the windows."""
    import jax

    return {"data": jax.device_count()}


def _check(measurement: Any, options: dict[str, Any]) -> None:
    """Refuse whatever can be judged of the options before a model is opened."""
    from signmag_jax.evidence import invalid
    from signmag_jax.measure import inputs
    from signmag_jax.measure.association import FEWEST

    layers = options.get("layers") or ()
    if len(set(layers)) < len(layers) or any(layer < 0 for layer in layers):
        # Which layers the model has is known only when its config is read.
        raise invalid("distinct layers >= 0", layers, "name layers of the model, from 0")
    inputs.check_matrices(options.get("matrices"))
    inputs.check_batch(options.get("batch"))
    if options.get("columns", FEWEST) < FEWEST:
        raise invalid(f"--columns >= {FEWEST}", options["columns"], "fewer have no ranks to speak of")
    measurement.refuse(options)
    check_resume(options.get("resume"))


def _measured(function: Any, reading: ReadingOptions, options: dict[str, Any]) -> Any:
    """The measurement on a model and the windows of a text, those of the calibration first."""
    model, parts, source = _loaded(reading, options)
    if parts is None:
        return function(model, **options)
    texts = {name: parts[name] for name in _texts(function)}
    return function(model, **texts, **options, source=source)


def _loaded(reading: ReadingOptions, options: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """The model, the windows, and where their text is from; the files of both are let go."""
    checkpoint, read = reading.open()
    _check_places(checkpoint.config, options)
    model = checkpoint.load(reading.dtype, reading.devices())
    if read is None:
        return model, None, {}
    parts = {"calibration": read.calibration, **dict.fromkeys(WINDOWS, read.evaluation)}
    return model, parts, {"text": read.text.source, "text_sha256": read.text.sha256}


def _check_places(config: Any, options: dict[str, Any]) -> None:
    """Refuse layers and matrices that a model does not have."""
    from signmag_jax.measure import inputs

    inputs.selected(config, options.get("layers"), options.get("matrices"))


def stated(measurement: Any, reading: ReadingOptions, options: dict[str, Any]) -> dict[str, Any]:
    """What a run would take, as far as what need not be fetched tells: a model's config alone is enough."""
    from signmag_jax.evidence.provenance import threads

    config, source = reading.described()
    sizes = {"windows": reading.windows, "window": reading.window, **options}
    known: dict[str, Any] = {} if config is None else {"layers_of_model": config.layers}
    passes = measurement.passes(**sizes, calibration=reading.calibration or 0, **known)
    cost = {"memory": f"the weights in {reading.dtype}, and what grows with them"}
    if config is not None:
        _check_places(config, options)
        cost = _cost(measurement, reading, config, passes, sizes)
    return {
        "forward_passes_of_2048_tokens": round(passes, 2),
        **cost,
        "model_is_described_by": source,
        "threads": threads(),
    }


def _cost(
    measurement: Any, reading: ReadingOptions, config: Any, passes: float, sizes: dict[str, Any]
) -> dict[str, Any]:
    """Minutes, and memory at its peak."""
    from signmag_jax.measure.footprint import minutes_on_two_cores
    from signmag_jax.models.memory import count_parameters

    peak = measurement.peak_bytes(config, reading.dtype, mesh=reading.devices(), **sizes) / 2**30
    return {
        "minutes_on_two_cores": minutes_on_two_cores(config, passes),
        "peak_memory_gib": round(peak, 2),
        "memory": f"about {peak:.1f} GiB, {count_parameters(config):,} weights in {reading.dtype} among them",
    }
