"""The main job: all three routes, one ledger, one run folder."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signmag_jax import models
from signmag_jax.evidence import MissingResource, provenance
from signmag_jax.evidence.files import writable_folder
from signmag_jax.evidence.progress import progress
from signmag_jax.theory import proof as proofs

from . import depth, foundations, pictures, proposition_1, theorem_3, theorem_4, trained
from .claim import Claim, Evidence
from .ledger import assemble, fill, save
from .levels import Level
from .measurements import Measured, measure_all, not_run
from .simulations import simulate_all

NO_MODEL = "none"


@dataclass(frozen=True)
class Subject:
    """The model and the windows of text that the measurements read."""

    model: models.LanguageModel
    text: models.text.Text
    calibration: Any
    evaluation: Any


def reproduce(
    level: Level,
    *,
    out: Path,
    model: str | None = None,
    text: str | None = None,
    seed: int = 0,
    dtype: str = "float32",
    resume: Path | None = None,
) -> dict[str, Any]:
    """Run the ledger, write `ledger.json` into `out` and return it.

    Args:
      level: sample sizes.
      out: run folder; the ledger appears there when everything is done, and only then.
      model: see `models.load`; "none" leaves the rows of trained models NOT RUN.
      text: see `models.text.load`.
      seed: root seed.
      dtype: precision of the model's weights.
      resume: folder of records; finished pieces of simulation and measurement are not computed again.

    Raises:
      InvalidInput, MissingResource: before anything is computed or written.
    """
    _check_folder(out)
    subject = None if model == NO_MODEL else prepare(level, model, text, dtype)
    proved = prove_all()
    simulated = simulate_all(level, seed, resume)
    if subject is None:
        measured = not_run(f"--model {NO_MODEL}: no model was asked for")
    else:
        measured = measure_all(
            subject.model, subject.calibration, subject.evaluation, level, seed, resume, _origin(subject.text)
        )
    claims = declare(level, simulated, measured)
    ledger = assemble(
        fill(claims, proved),
        level=level.to_json(),
        comparisons=sum(len(claim.compare) for claim in claims),
        figures=pictures.series(level, simulated, measured),
        provenance=provenance.collect(seed=seed, **_subject_json(subject)),
    )
    save(ledger, writable_folder(out))
    return ledger


def declare(level: Level, simulated: Mapping[str, Evidence], measured: Measured) -> list[Claim]:
    """Every row of the ledger, in reading order."""
    return [
        *foundations.rows(),
        *theorem_3.rows(level, simulated),
        *theorem_4.rows(simulated),
        *proposition_1.rows(simulated),
        *depth.rows(simulated),
        *trained.rows(level, measured),
    ]


def prove_all() -> dict[str, bool]:
    """Run every derivation; whether each holds."""
    names = proofs.names()
    library = proofs.Library()
    proved = {}
    with progress("proofs", len(names)) as advance:
        for name in names:
            proved[name] = library.result(name).proved
            advance(1, name)
    return proved


def prepare(level: Level, model: str | None, text: str | None, dtype: str) -> Subject:
    """Load text and model and cut disjoint windows, so that bad input is found before any work."""
    chosen = models.text.load(text)
    loaded = models.load(model, dtype=dtype)
    tokens = loaded.tokenizer.encode(chosen.content)
    count = level.calibration_windows + level.windows
    windows = models.text.windows(tokens, level.window, count)
    models.check_windows(loaded, windows)
    return Subject(loaded, chosen, windows[: level.calibration_windows], windows[level.calibration_windows :])


def _check_folder(out: Path) -> None:
    """Refuse a folder that cannot be written, without creating it yet."""
    existing = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    if not existing.is_dir():
        raise MissingResource(f"--out {str(out)!r} lies on a file, {str(existing)!r}: choose another folder")
    try:
        # The permission bits do not tell: only writing does.
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError:
        raise MissingResource(
            f"--out {str(out)!r} cannot be written: choose another folder or change the permissions of "
            f"{str(existing)!r}"
        ) from None


def _origin(text: models.text.Text) -> dict[str, str]:
    return {"text": text.source, "text_sha256": text.sha256}


def _subject_json(subject: Subject | None) -> dict[str, Any]:
    if subject is None:
        return {"model": {"name": NO_MODEL}, "text": {"source": NO_MODEL}}
    report = subject.model.report.to_json()
    return {
        "model": {"name": subject.model.report.source["name"], **report},
        "text": {"source": subject.text.source, "sha256": subject.text.sha256},
    }
