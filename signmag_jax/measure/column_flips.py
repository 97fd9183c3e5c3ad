"""Whole-column flips, one column at a time: what each costs, against α²‖w‖²."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from signmag_jax.evidence import ConfidenceInterval, Picture, Result, bootstrap
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.result import named
from signmag_jax.models import LanguageModel

from . import inputs
from .activations import Alpha, alpha
from .association import Association, associate
from .chosen import check_profile
from .column_sample import COLUMNS, ByMatrix, ColumnSample, in_each, sampled
from .inputs import Windows
from .setup import Setup, prepare

NOWHERE = -1
"""A layer that no model has: nothing is flipped."""


class FlippedColumn(NamedTuple):
    """The weight transform that flips every sign of one column, given by matrix as (layer, column)."""

    column: dict[str, tuple[Int[Array, ""], ...]]

    def __call__(self, weight: Float[Array, "outputs inputs"], layer: Array, name: str) -> Any:
        """The transformed weight, as `models.token_nll` asks for it."""
        if name not in self.column:
            return weight
        where, column = self.column[name]
        # By 1 in every other layer: one program, whichever layer and column it is.
        sign = jnp.where(layer == where, -1.0, 1.0).astype(weight.dtype)
        return weight.at[:, column].multiply(sign)


@dataclass(frozen=True, eq=False)
class ColumnFlips(Result):
    """Result of `column_flips`.

    Args:
      sample: the columns, their α² and ‖w‖².
      damage: mean ΔNLL of flipping each column, nats per token, with its interval over windows.
      association: of the damages with α²‖w‖², all columns kept.
      by_alpha: the same with α² alone.
      noise_floor: as in `Leverage`.
      samples: ΔNLL of each column and window.
      provenance: model, texts, versions, device.
    """

    sample: ColumnSample
    damage: tuple[ConfidenceInterval, ...]
    association: Association = field(metadata=named("alpha_squared_norm_squared"))
    by_alpha: Association = field(metadata=named("alpha_squared_alone"))
    noise_floor: float
    samples: Float[np.ndarray, "columns windows"]
    provenance: Mapping[str, Any]

    def summary(self) -> dict[str, str]:
        """The most costly column, those whose flip helps, and what α² and ‖w‖² say of them."""
        title, means = self.sample.title(), self.samples.mean(axis=1)
        top = int(means.argmax())
        return {
            f"{title}: most costly of {len(means)} columns": (
                f"column {self.sample.columns[top]}, ΔNLL {self.damage[top].estimate}"
            ),
            f"{title}: columns whose flip lowers the loss": str(int((means < 0).sum())),
            **self.association.lines(f"{title}, α²‖w‖²"),
            **self.by_alpha.lines(f"{title}, α² alone"),
        }

    def rows(self) -> list[dict[str, Any]]:
        """ΔNLL of every column and window."""
        return [
            {**self.sample.row(index), "window": window, "delta_nll": float(value)}
            for index, row in enumerate(self.samples)
            for window, value in enumerate(row)
        ]

    def picture(self) -> Picture:
        """The damage of every column against α²‖w‖²."""
        standard_errors = [damage.estimate.standard_error for damage in self.damage]
        series = {self.sample.title(): (self.sample.predictor, self.samples.mean(axis=1), standard_errors)}
        y, title = "ΔNLL, nats per token", "Flipping one whole column"
        return Picture("points", {"series": series, "x": "α²‖w‖²", "y": y, "title": title})


@counting
def column_flips(
    model: LanguageModel,
    calibration: Windows,
    evaluation: Windows,
    *,
    layers: Sequence[int] | None = None,
    matrices: Sequence[str] = ("q_proj",),
    columns: int = COLUMNS,
    batch: int | None = None,
    profile: Alpha | None = None,
    resume: str | Path | None = None,
    source: Mapping[str, Any] | None = None,
) -> ByMatrix[ColumnFlips]:
    """Flip every sign of one column, column by column, and compare the damage with α_j²‖W_·j‖².

    Columns whose flip lowers the loss are kept: to drop them would flatter the correlation.

    Args:
      model: from `models.load`.
      calibration: windows that measure α² and choose the columns (at least 2).
      evaluation: other windows that score the damage (at least 8).
      layers: numbers of the layers whose columns are flipped, from 0; by default the middle one.
      matrices: names of the matrices whose columns are flipped, such as up_proj.
      columns: number of columns of each matrix, evenly spaced in log α², at least 5.
      batch: number of evaluation windows that are computed at a time; by default all.
      profile: `alpha` of these calibration windows, if already computed.
      resume: folder of records to go on from.
      source: added to the provenance.

    Raises:
      InvalidInput: for too few or overlapping windows, a layer, matrix or number of columns that does not
        exist, or a loss that is not finite.

    Source: arXiv:2605.18933, experiment G.
    """
    own = {"experiment": "column flips"}
    setup = prepare(model, calibration, evaluation, own, batch=batch, seed=None, source=source)
    check_profile(profile, setup.configuration["calibration_sha256"])
    known = alpha(model, calibration) if profile is None else profile
    one = functools.partial(_in_matrix, setup, known, columns)
    return in_each(one, model, layers, matrices, resume)


def _in_matrix(
    setup: Setup, profile: Alpha, columns: int, layer: int, matrix: str, resume: Path | None
) -> ColumnFlips:
    sample = sampled(setup.model, profile, layer, matrix, columns)
    setup = setup.within(layer, matrix, resume, columns=sample.columns.tolist())
    # The program of the flips with nothing flipped: what it differs by from the clean loss is rounding, the
    # floor.
    cells = [(NOWHERE, 0), *((layer, int(column)) for column in sample.columns)]
    flips = [FlippedColumn({matrix: tuple(jnp.asarray(i, jnp.int32) for i in cell)}) for cell in cells]
    flipped = [functools.partial(setup.losses_from, layer, one) for one in flips]
    rows = np.stack(setup.sweep([setup.losses, *flipped]))
    floor = setup.noise_floor(rows)
    inputs.check_finite(rows[2:].T, "the loss with a flipped column")
    # Paired with the clean loss window by window: what makes a text hard drops out.
    samples = rows[2:] - rows[0]
    return ColumnFlips(
        sample,
        tuple(bootstrap.mean(row[None], unit="nat/token") for row in samples),
        associate(sample.predictor, samples),
        associate(sample.alpha_squared, samples),
        floor,
        samples,
        setup.origin(),
    )
