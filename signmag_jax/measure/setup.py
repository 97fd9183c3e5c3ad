"""What every measurement checks and notes before it spends time, and what all of them do afterwards."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from signmag_jax.models import LanguageModel, Prefixes, Transform, window_nll
from signmag_jax.models.chunks import windows_at_once

from . import inputs, recorded, sweep
from .inputs import FEWEST_CALIBRATION, MINIMUM_WINDOWS, Windows
from .recorded import Read
from .sweep import AnyRecords, Row


class Options(TypedDict, total=False):
    """What most measurements take besides their own arguments.

    Args:
      layers: numbers of the layers whose weights take part, from 0; by default all.
      matrices: names of the matrices that take part, some of q_proj, k_proj, v_proj, o_proj, gate_proj,
        up_proj and down_proj; by default all.
      seed: root seed of everything random; by default 0.
      resume: folder of records; an interrupted run goes on where it stopped, with an identical result.
      source: added to the provenance.
    """

    layers: Sequence[int] | None
    matrices: Sequence[str] | None
    seed: int
    resume: str | Path | None
    source: Mapping[str, Any] | None


def nested(options: Options, name: str) -> Options:
    """These options for a measurement inside another, whose records lie in a folder of that name."""
    return {**options, "resume": subfolder(options.get("resume"), name)}


def subfolder(resume: str | Path | None, name: str) -> Path | None:
    """A folder inside that of the records; None where none are kept."""
    return None if resume is None else Path(resume) / name


@dataclass(frozen=True, eq=False)
class Setup:
    """One measurement, checked and ready to run; from `prepare`.

    Args:
      model: what is measured.
      calibration: windows that choose; those that score, where a measurement chooses nothing.
      evaluation: windows that score.
      layers, matrices: which take part, in the model's order.
      batch: number of evaluation windows that are computed at a time.
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

    @property
    def seed(self) -> int:
        """The root seed of a measurement that draws."""
        return self.configuration["seed"]

    def within(self, layer: int, matrix: str, resume: str | Path | None, **own: Any) -> Setup:
        """This measurement in one matrix alone, with records and arguments of its own."""
        configuration = {**self.configuration, "layers": [layer], "matrices": [matrix], **own}
        together = self.batch, self.evaluation.shape[1]
        records = sweep.records_of(resume, self.model, configuration, together)
        return dataclasses.replace(
            self, layers=(layer,), matrices=(matrix,), configuration=configuration, records=records
        )

    def once(self, choose: Callable[[], Any], reader: Callable[[Any], Read]) -> Read:
        """What `reader` makes of what `choose` returns, which is record 0: a near tie may not fall
        differently on resumption.

        Raises:
          InvalidInput: if the record holds nothing that the reader knows.
        """
        stored = None if self.records is None else self.records.read(0)
        if stored is not None:
            return recorded.read(self.records, 0, stored, reader)
        chosen = choose()
        if self.records is not None:
            self.records.write(0, chosen)
        return reader(chosen)

    def sweep(
        self,
        tasks: Sequence[Callable[[], Row]],
        first: int = 0,
        entries: int | Sequence[int] | None = None,
    ) -> list[Row]:
        """Rows of all tasks; those already in the records, numbered from `first`, are read.

        Args:
          entries: how many numbers each task gives, or one task after another; by default one a window.
        """
        sizes = len(self.evaluation) if entries is None else entries
        return sweep.run(self.configuration["experiment"], tasks, self.records, sizes, first)

    def losses(self, transform: Transform | None = None) -> Row:
        """Mean NLL of each evaluation window, in the model as it is or with transformed weights."""
        return window_nll(self.model, self.evaluation, transform, self.batch).mean(axis=1)

    def losses_from(self, layer: int, transform: Transform) -> Row:
        """`losses` with transformed weights, of which those before that layer stay as they are."""
        return self._prefixes.nll(transform, layer).mean(axis=1)

    @functools.cached_property
    def _prefixes(self) -> Prefixes:
        return Prefixes(self.model, self.evaluation, self.batch)

    @functools.cached_property
    def batches(self) -> list[Int[Array, "batch window"]]:
        """The evaluation windows, in pieces that are computed together."""
        starts = range(0, len(self.evaluation), self.batch)
        return [jnp.asarray(self.evaluation[start : start + self.batch]) for start in starts]

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
            self.model,
            self.source,
            family=self.model.config.family,
            **self.configuration,
            windows=windows,
            window=window,
        )


def prepare(
    model: LanguageModel,
    calibration: Windows | None,
    evaluation: Windows,
    own: Mapping[str, Any],
    *,
    batch: int | None = None,
    fewest: int = MINIMUM_WINDOWS,
    choosing: int = FEWEST_CALIBRATION,
    layers: Sequence[int] | None = None,
    matrices: Sequence[str] | None = None,
    seed: int | None = 0,
    resume: str | Path | None = None,
    source: Mapping[str, Any] | None = None,
) -> Setup:
    """Check what measurements have in common, and open the records.

    Args:
      model: from `models.load`.
      calibration: windows that choose, without text in common with those that score; None where nothing is
        chosen.
      evaluation: windows that score.
      own: the experiment's name and its own arguments, already checked, as plain values.
      batch: number of evaluation windows that are computed at a time; None is all that fit.
      fewest: evaluation windows that it takes at least.
      choosing: calibration windows that it takes at least.
      layers, matrices, seed, resume, source: as in `Options`; no seed where nothing is drawn.

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
    inputs.check_batch(batch)
    # What is larger than all windows is all of them: records name the batch, as another one rounds otherwise.
    fits = windows_at_once(model.config, evaluation.shape[1], on_cpu=len(evaluation))
    batch = min(fits if batch is None else batch, len(evaluation))
    parts = {"layers": list(chosen[0]), "matrices": list(chosen[1])}
    drawn = {} if seed is None else {"seed": seed}
    configuration = {**own, **drawn, **texts, **parts, "batch": batch}
    records = sweep.records_of(resume, model, configuration, (batch, evaluation.shape[1]))
    return Setup(model, calibration, evaluation, *chosen, batch, configuration, records, source)
