"""The pieces of a run that are measured on a trained model, and what all of them share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from signmag_jax import measure, models
from signmag_jax.evidence import timings

from .claim import Missing
from .levels import Level
from .pieces import Piece, records, subseed

R = TypeVar("R")


@dataclass(frozen=True)
class Measured(Piece[R]):
    """A piece that is measured, named like the function of `measure` that does it.

    Args:
      measure: measures on a run, with the options of the level and the seed, records and source of the run.
      options: what the level asks of it: the same keywords tell what it costs.
      amount: 0 at a level that leaves it out.
      what: what such a level leaves out, as its rows say it.
      profiled: whether it is given the activations on the calibration windows, which others read themselves.
      passes: forward passes of 2,048 tokens, where they are not those that the registry of `measure` tells.
    """

    measure: Callable[..., R | Missing] = field(compare=False)
    options: Callable[[Level], dict[str, Any]] = field(default=lambda level: {}, compare=False)
    amount: Callable[[Level], int] = field(default=lambda level: 1, compare=False)
    what: str = field(default="", compare=False)
    profiled: bool = field(default=False, compare=False)
    passes: Callable[[Level], float] | None = field(default=None, compare=False)

    def cost(self, level: Level) -> float:
        """Forward passes of 2,048 tokens."""
        if not self.amount(level):
            return 0.0
        if self.passes is not None:
            return self.passes(level)
        passes = measure.MEASUREMENTS[self.name.replace("_", "-")].passes(
            windows=level.windows,
            window=level.window,
            calibration=level.calibration_windows,
            **self.options(level),
        )
        return passes - (level.calibration_passes if self.profiled else 0)

    def peak_bytes(self, config: models.ModelConfig, dtype: str, level: Level) -> float:
        """Memory at its peak; of what the registry of `measure` does not know, that of a forward pass."""
        known = measure.MEASUREMENTS.get(self.name.replace("_", "-"), measure.MEASUREMENTS["nll"])
        sizes = {"windows": level.windows, "window": level.window}
        return known.peak_bytes(config, dtype, mesh=None, **sizes | self.options(level))


@dataclass(frozen=True, eq=False)
class ModelRun:
    """A model, its text, the sample sizes, where records are kept, and what has been measured so far.

    Several threads may measure: who needs what another measures waits for it.

    Args:
      source: of the text, for the provenance.
    """

    model: models.LanguageModel
    calibration: Any
    evaluation: Any
    level: Level
    seed: int
    resume: Path | None
    source: Mapping[str, Any]
    results: dict[Piece[Any], Any] = field(default_factory=dict)
    _locks: dict[Piece[Any], threading.Lock] = field(default_factory=dict, init=False, repr=False)

    @property
    def windows(self) -> tuple[models.LanguageModel, Any, Any]:
        """The first arguments of a measurement that chooses on one text and scores on another."""
        return self.model, self.calibration, self.evaluation

    def result(self, measurement: Measured[R]) -> R | Missing:
        """The measurement's result, measured at most once, or why there is none."""
        with self._locks.setdefault(measurement, threading.Lock()):
            if measurement not in self.results:
                self.results[measurement] = self._measure(measurement)
        return self.results[measurement]

    def needed(self, measurement: Measured[R]) -> R:
        """A result that another measurement needs: without it, that one has none for the same reason."""
        result = self.result(measurement)
        if isinstance(result, Missing):
            raise _Absent(result)
        return result

    def _measure(self, measurement: Measured[R]) -> R | Missing:
        if not measurement.amount(self.level):
            return Missing("NOT RUN", f"the {self.level.name} level leaves {measurement.what} out")
        try:
            with timings.part(measurement.name):
                return measurement.measure(
                    self,
                    **measurement.options(self.level),
                    seed=subseed(self.seed, measurement.name),
                    resume=records(self.resume, measurement.name),
                    source=self.source,
                )
        except measure.Unmeasurable as error:
            return Missing("UNRESOLVED", str(error))
        except _Absent as absent:
            return absent.reason


class _Absent(Exception):
    """A measurement that another one needs has no result."""

    def __init__(self, reason: Missing) -> None:
        super().__init__()
        self.reason = reason
