"""The main job: all three routes, one ledger, one run folder."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from signmag_jax import models
from signmag_jax.evidence import InvalidInput, invalid, provenance, timings
from signmag_jax.evidence.compiling import compiled_sooner, platform
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.files import check_folder, writable_folder
from signmag_jax.evidence.memory import give_back
from signmag_jax.evidence.progress import progress
from signmag_jax.evidence.threads import in_threads
from signmag_jax.measure.footprint import SECONDS_OF_A_PASS, minutes_on_two_cores
from signmag_jax.models.memory import available_memory, count_parameters
from signmag_jax.theory import proof_files
from signmag_jax.theory.provers import Provers

from . import families
from .claim import Missing
from .families import pictures
from .ledger import FILE_NAME, assemble, fill, sampled_comparisons, save
from .levels import Level
from .measured import Measured, ModelRun
from .news import Listener, News
from .pieces import Results, Simulated

NO_MODEL = "none"
# A piece is compiled in one thread: while one is compiled, others are computed. The proofs are one of these
# pieces, and other processes.
AT_ONCE = 4
MEASURED_AT_ONCE = 2
# An accelerator's programs are compiled by its host: this many of its cores compile one.
CORES_A_PIECE = 3
# Beside forward passes: proofs and simulations, on two cores.
SECONDS_BESIDE = 50
# Measured on two idle cores with the embedded model and no kept programs.
MINUTES = {"quick": 1, "default": 5}
PEAK_GIB = {"quick": 1.6, "default": 2.9}


@counting
def reproduce(
    level: Level,
    *,
    out: Path,
    model: str | None = None,
    text: str | None = None,
    seed: int = 0,
    dtype: str = "float32",
    revision: str | None = None,
    file: str | None = None,
    mesh: Mapping[str, int] | None = None,
    resume: Path | None = None,
    overwrite: bool = False,
    timed: bool = False,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Run the ledger, write `ledger.json` into `out` and return it.

    Args:
      level: sample sizes.
      out: run folder; the ledger appears there when everything is done, and only then.
      model: see `models.load`; "none" leaves the rows of trained models NOT RUN.
      text: see `models.text.load`.
      seed: root seed.
      dtype: precision of the model's weights.
      revision: branch, tag or commit of a model on the hub.
      file: of the GGUF files of a repository or folder, the one to take.
      mesh: sizes of the axes of a mesh of devices that share model and windows; see `models.make_mesh`.
      resume: folder of records; finished pieces of simulation and measurement are not computed again.
      overwrite: take the place of an earlier run in `out`.
      timed: do one part after another and say in the provenance what each took, as `timings.Part`.
      listener: hears of parts that end and of claims that are decided.

    Raises:
      InvalidInput, MissingResource: before anything is computed or written.
    """
    # Where samples are few, the compiler takes longer than what it compiles.
    with (
        timings.recorded(timed) as spent,
        compiled_sooner(level.name != "full"),
        contextlib.closing(Provers(proof_files.names(), provenance.threads())) as provers,
    ):
        with timings.part("reading"):
            reading = check(
                level,
                out=out,
                model=model,
                text=text,
                dtype=dtype,
                revision=revision,
                file=file,
                mesh=mesh,
                resume=resume,
                overwrite=overwrite,
            )
            if not timed:
                provers.begin()  # they need nothing of what is read here
            run = None
            if reading is not None:
                loaded = reading.checkpoint.load(dtype, _devices(mesh))
                source = {"text": reading.text.source, "text_sha256": reading.text.sha256}
                texts = reading.calibration, reading.evaluation
                run = ModelRun(loaded, *texts, level, seed, resume, source)
            del reading  # or the model's file would stay in memory
        name = "no model" if run is None else run.model.report.source["name"]
        at_once = 1 if timed else _at_once()
        news = News(level, name, listener)
        proved, results = _all_routes(level, run, seed, resume, at_once, provers, news)
        with timings.part("laws and verdicts"):
            claims = families.rows(level, results)
            rows = fill(claims, proved, at_once)
        with timings.part("pictures"):
            drawn = pictures.series(level, results)
    particular = _read(run) | ({"timings": spent.to_json()} if spent else {})
    ledger = assemble(
        rows,
        level=level.to_json(),
        comparisons=sampled_comparisons(claims),
        pictures=drawn,
        provenance=provenance.collect(seed=seed, **particular),
    )
    save(ledger, writable_folder(out))
    return ledger


def cost(level: Level, config: models.ModelConfig | None = None, dtype: str = "float32") -> dict[str, Any]:
    """Networks, passes, minutes and memory of a run of this level; by default of the embedded model."""
    passes = sum(measurement.cost(level) for measurement in families.measurements())
    return {
        "level": level.name,
        "forward_passes_of_2048_tokens": round(passes, 1),
        "simulated_networks": sum(experiment.networks for experiment in families.experiments(level)),
        **(_of_embedded(level, passes) if config is None else _of(config, dtype, level, passes)),
    }


def _of_embedded(level: Level, passes: float) -> dict[str, Any]:
    minutes = math.ceil((SECONDS_BESIDE + SECONDS_OF_A_PASS * passes) / 60)
    return {
        "minutes_on_two_cores": MINUTES.get(level.name, minutes),
        "peak_memory_gib": PEAK_GIB.get(level.name, "not measured"),
        "both_for": "the embedded model",
    }


def _of(config: models.ModelConfig, dtype: str, level: Level, passes: float) -> dict[str, Any]:
    """What measuring a model of these sizes costs; the memory is that of one measurement at a time."""
    return {
        "minutes_on_two_cores": math.ceil(SECONDS_BESIDE / 60) + minutes_on_two_cores(config, passes),
        "peak_memory_gib": round(_peak_bytes(config, dtype, level) / 2**30, 2),
        "both_for": f"a model of {count_parameters(config):,} weights in {dtype}",
    }


def _peak_bytes(config: models.ModelConfig, dtype: str, level: Level) -> float:
    """Memory of the measurement that takes most."""
    return max(
        each.peak_bytes(config, dtype, level) for each in families.measurements() if each.amount(level)
    )


def _at_once() -> int:
    """Pieces at a time; no number depends on it."""
    return AT_ONCE if platform() == "cpu" else max(AT_ONCE, provenance.threads() // CORES_A_PIECE)


def _measured_at_once(run: ModelRun | None) -> int:
    """Measurements at a time: as many as memory holds, and one where it has an accelerator or a mesh."""
    if run is None or platform() != "cpu" or len(run.model.params["embed"].devices()) > 1:
        return 1
    room = available_memory()
    peak = _peak_bytes(run.model.config, run.model.report.dtype, run.level)
    return MEASURED_AT_ONCE if room is None else max(1, min(MEASURED_AT_ONCE, int(room // peak)))


def _all_routes(
    level: Level,
    run: ModelRun | None,
    seed: int,
    resume: Path | None,
    at_once: int,
    provers: Provers,
    news: News,
) -> tuple[dict[str, bool], Results]:
    """Proofs, simulations and measurements, so many at a time."""
    experiments = families.experiments(level)
    waiting = deque(families.measurements())
    measuring = [partial(_measure, run, waiting, news)] * min(_measured_at_once(run), at_once)
    pieces: list[Callable[[], Any]] = [
        *measuring,
        partial(_prove, provers, news),
        partial(_first_laws, news),
        *(partial(_simulate, experiment, seed, resume, news) for experiment in experiments),
    ]
    with progress("proofs, simulation, measurement", len(pieces)) as advance:
        measured, *others = in_threads(pieces, at_once, advance)
    proved, _, *simulated = others[len(measuring) - 1 :]
    model = {} if run is None else {"model": run.model.report.source["name"]}
    return proved, Results({**dict(zip(experiments, simulated, strict=True)), **measured}, **model)


def _first_laws(news: News) -> None:
    with timings.part("first laws"):
        news.begin()


def _simulate(experiment: Simulated[Any], seed: int, resume: Path | None, news: News) -> Any:
    with news.part(f"simulation {experiment.title}") as results:
        results[experiment] = experiment.run(seed, resume)
    give_back()
    return results[experiment]


def _measure(run: ModelRun | None, waiting: deque[Measured[Any]], news: News) -> dict[Any, Any]:
    """Measure what waits, until other threads have taken the rest; returns the run's results.

    Without a model each says why, and nothing stands in for it.
    """
    if run is None:
        reason = Missing("NOT RUN", f"--model {NO_MODEL}: no model was asked for")
        absent = dict.fromkeys(waiting, reason)
        news.tell(absent)
        return absent
    while True:
        try:
            measurement = waiting.popleft()
        except IndexError:
            return run.results
        with news.part(f"measurement {measurement.name}") as results:
            run.result(measurement)
            results.update(run.results)  # with those that it needed first
        give_back()


def _prove(provers: Provers, news: News) -> dict[str, bool]:
    """Whether each derivation holds."""
    with (
        news.part("proofs"),
        timings.part("proofs"),
        progress("proofs", len(provers.names)) as advance,
    ):

        def tell(name: str, proved: bool) -> None:
            news.tell({name: proved})
            advance(1, name)

        return provers.verdicts(tell)


def check(
    level: Level,
    *,
    out: Path,
    model: str | None = None,
    text: str | None = None,
    dtype: str = "float32",
    revision: str | None = None,
    file: str | None = None,
    mesh: Mapping[str, int] | None = None,
    resume: Path | None = None,
    overwrite: bool = False,
    fetch: bool = True,
) -> models.Reading | None:
    """Find bad input before any work; `fetch` as in `models.open_reading`.

    Returns:
      What the measurements will read; None without a model, or where it was not fetched.
    """
    check_folder(out, "--out", (FILE_NAME,))
    if (out / FILE_NAME).exists() and not overwrite:
        raise InvalidInput(
            f"--out {str(out)!r} holds the {FILE_NAME} of an earlier run: choose another folder, or give "
            "--overwrite"
        )
    if resume is not None:
        check_folder(resume, "--resume")
    models.check_dtype(dtype)
    if model != NO_MODEL:
        devices = _devices(mesh)
        if not fetch and models.config_alone(model) is not None:
            return None  # there is nothing else to look at
        sizes = (level.window, level.calibration_windows, level.windows)
        reading = models.open_reading(model, text, *sizes, fetch=fetch, revision=revision, file=file)
        if reading is not None:
            reading.checkpoint.check_memory(dtype, devices)
        return reading
    for option, value in (("--text", text), ("--revision", revision), ("--file", file), ("--mesh", mesh)):
        if value is not None:
            raise invalid(
                f"no {option} with --model {NO_MODEL}", value, "nothing uses it: leave one of them out"
            )
    return None


def _devices(mesh: Mapping[str, int] | None) -> Any:
    return None if mesh is None else models.make_mesh(**mesh)


def _read(run: ModelRun | None) -> dict[str, Any]:
    """The model and the text of a run, for its provenance."""
    if run is None:
        return {"model": {"name": NO_MODEL}, "text": {"source": NO_MODEL}}
    return {
        "model": {"name": run.model.report.source["name"], **run.model.report.to_json()},
        "text": {"source": run.source["text"], "sha256": run.source["text_sha256"]},
    }
