"""What every measurement checks and notes before it spends time, and what all of them do afterwards."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from signmag_jax.evidence import invalid
from signmag_jax.models import LanguageModel, Transform, window_nll

from . import inputs, sweep
from .inputs import FEWEST_CALIBRATION, MINIMUM_WINDOWS, Windows
from .sweep import AnyRecords, Row


@dataclass(frozen=True, eq=False)
class Setup:
    """One measurement, checked and ready to run; from `prepare`.

    Args:
      model: what is measured.
      calibration: windows that choose; those that score, where a measurement chooses nothing.
      evaluation: windows that score.
      layers, matrices: which take part, in the model's order.
      batch: evaluation windows that pass through a layer together.
      configuration: everything that determines the numbers, plainly.
      records: where they are kept, if anywhere.
      source: what the caller adds to the provenance.
    """

    model: LanguageModel
    calibration: Windows
    evaluation: Windows
    layers: tuple[int, ...]
    matrices: tuple[str, ...]
    batch: int
    configuration: Mapping[str, Any]
    records: AnyRecords | None
    source: Mapping[str, Any] | None

    def within(self, layer: int, matrix: str, resume: str | Path | None, **options: Any) -> Setup:
        """The same measurement in one matrix alone, with records and options of its own."""
        chosen = {"layers": [layer], "matrices": [matrix]}
        configuration = {**self.configuration, **chosen, **options}
        records = sweep.records_of(resume, self.model, configuration)
        return dataclasses.replace(
            self, layers=(layer,), matrices=(matrix,), configuration=configuration, records=records
        )

    def once(self, choose: Callable[[], Any]) -> Any:
        """What `choose` returns, as record 0: a near tie may not fall differently on resumption."""
        stored = None if self.records is None else self.records.read(0)
        if stored is None:
            stored = choose()
            if self.records is not None:
                self.records.write(0, stored)
        return stored

    def sweep(self, tasks: Sequence[Callable[[], Row]], first: int = 0) -> list[Row]:
        """Rows of all tasks; those already in the records, numbered from `first`, are read."""
        return sweep.run(self.configuration["experiment"], tasks, self.records, first)

    def losses(self, transform: Transform | None = None) -> Row:
        """Mean NLL of each evaluation window, in the model as it is or with transformed weights."""
        return window_nll(self.model, self.evaluation, transform, self.batch).mean(axis=1)

    def noise_floor(self, rows: Sequence[Row] | Float[np.ndarray, "rows windows"]) -> float:
        """Largest |A/A − clean| of a window; `rows` begin with the clean loss and the A/A loss.

        Raises:
          Unmeasurable: if one of them is not finite.
        """
        inputs.check_finite(np.stack((rows[0], rows[1]), axis=1))
        return float(np.abs(rows[1] - rows[0]).max())

    def origin(self) -> dict[str, Any]:
        """The provenance of the result."""
        windows, window = self.evaluation.shape
        return inputs.provenance_of(
            self.model, self.source, **self.configuration, windows=windows, window=window
        )


def prepare(
    model: LanguageModel,
    calibration: Windows | None,
    evaluation: Windows,
    options: Mapping[str, Any],
    layers: Sequence[int] | None = None,
    matrices: Sequence[str] | None = None,
    batch: int | None = None,
    *,
    fewest: int = MINIMUM_WINDOWS,
    choosing: int = FEWEST_CALIBRATION,
    resume: str | Path | None = None,
    source: Mapping[str, Any] | None = None,
) -> Setup:
    """Check what measurements have in common, and open the records.

    Args:
      model: from `models.load`.
      calibration: windows that choose, without text in common with those that score; None where nothing is
        chosen.
      evaluation: windows that score.
      options: the experiment's name and its own options, already checked, as plain values.
      layers, matrices: which take part; None is all.
      batch: evaluation windows that pass through a layer together; None is all.
      fewest: evaluation windows that it takes at least.
      choosing: calibration windows that it takes at least.
      resume: folder of records.
      source: added to the provenance.

    Raises:
      InvalidInput: for too few, unfit or overlapping windows, layers or matrices that do not exist, a batch
        below 1, or records of another run.
    """
    chosen = inputs.selected(model.config, layers, matrices)
    texts = {}
    if calibration is not None:
        calibration = inputs.checked_windows(model, calibration, "calibration", choosing)
        texts["calibration_sha256"] = inputs.sha256_of_tokens(calibration)
    evaluation = inputs.checked_windows(model, evaluation, "evaluation", fewest)
    texts["evaluation_sha256"] = inputs.sha256_of_tokens(evaluation)
    if calibration is None:
        calibration = evaluation
    else:
        inputs.check_disjoint(calibration, evaluation)
    if batch is not None and batch < 1:
        raise invalid("batch >= 1", batch, "pass the number of windows that fit in memory together")
    batch = len(evaluation) if batch is None else min(batch, len(evaluation))
    parts = {"layers": list(chosen[0]), "matrices": list(chosen[1])}
    configuration = {**options, **texts, **parts, "batch": batch}
    records = sweep.records_of(resume, model, configuration)
    return Setup(model, calibration, evaluation, *chosen, batch, configuration, records, source)
