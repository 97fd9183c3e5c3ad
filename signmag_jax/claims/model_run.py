"""What all measurements of one run on a model share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signmag_jax import measure, models
from signmag_jax.evidence.ratio import Ratio

from .claim import Evidence, Missing
from .levels import Level
from .parts import records, subseed


@dataclass(frozen=True, eq=False)
class ModelRun:
    """A model, its text, the sample sizes, and where records are kept.

    Args:
      profile: activations on the calibration windows.
      source: of the text, for the provenance.
    """

    model: models.LanguageModel
    calibration: Any
    evaluation: Any
    level: Level
    seed: int
    resume: Path | None
    source: Mapping[str, Any]
    profile: measure.Alpha

    @property
    def windows(self) -> tuple[models.LanguageModel, Any, Any]:
        """The first arguments of a measurement that chooses on one text and scores on another."""
        return self.model, self.calibration, self.evaluation

    def options(self, part: str) -> dict[str, Any]:
        """Seed, records and provenance of one of them."""
        return {
            "seed": subseed(self.seed, part),
            "resume": records(self.resume, part),
            "source": self.source,
        }

    def left_out(self, names: Iterable[str], what: str) -> dict[str, Evidence]:
        """The same answer for all of these names: this level does not measure it."""
        return dict.fromkeys(names, Missing("NOT RUN", f"the {self.level.name} level leaves {what} out"))


def unresolved(names: Iterable[str], error: measure.Unmeasurable) -> dict[str, Evidence]:
    """The same answer for all of these names: this model has no such number."""
    return dict.fromkeys(names, Missing("UNRESOLVED", str(error)))


def evidence_of(ratio: Ratio) -> Evidence:
    """The estimate of a ratio, or the reason why there is none."""
    return Missing("UNRESOLVED", ratio.reason) if ratio.interval is None else ratio.interval.estimate
