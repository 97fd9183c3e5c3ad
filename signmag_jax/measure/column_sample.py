"""Columns of one matrix, sampled evenly over the energies of its input, and what the law predicts of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from signmag_jax.evidence import invalid
from signmag_jax.models import MATRICES, SITE_OF, LanguageModel

from .activations import Alpha
from .association import FEWEST
from .inputs import Unmeasurable, check_layers

COLUMNS = 20


@dataclass(frozen=True, eq=False)
class ColumnSample:
    """Some columns of one matrix.

    Args:
      layer, matrix: which matrix.
      columns: their numbers, by increasing α².
      alpha_squared: E[x_j²]/E‖x‖² of the calibration windows.
      norm_squared: ‖W_·j‖².
    """

    layer: int
    matrix: str
    columns: Int[np.ndarray, " columns"]
    alpha_squared: Float[np.ndarray, " columns"]
    norm_squared: Float[np.ndarray, " columns"]

    @property
    def predictor(self) -> Float[np.ndarray, " columns"]:
        """α²‖w‖², to which the damage should be proportional if every output mattered alike."""
        return self.alpha_squared * self.norm_squared

    def to_json(self) -> dict[str, Any]:
        """A strict-JSON object."""
        return {
            "layer": self.layer,
            "matrix": self.matrix,
            "columns": self.columns.tolist(),
            "alpha_squared": self.alpha_squared.tolist(),
            "norm_squared": self.norm_squared.tolist(),
        }


def check_place(model: LanguageModel, layer: int | None, matrix: str) -> tuple[int, str]:
    """One layer (by default the middle one) and one matrix of a model.

    Raises:
      InvalidInput: for one that does not exist, with the valid ones.
    """
    middle = model.config.layers // 2
    (found,) = check_layers((middle if layer is None else layer,), model.config.layers)
    if matrix not in MATRICES:
        raise invalid(f"matrix in {MATRICES}", matrix, "name one of them")
    return found, matrix


def sampled(model: LanguageModel, profile: Alpha, layer: int, matrix: str, count: int) -> ColumnSample:
    """`count` columns at evenly spaced logarithms of α², the largest and the smallest among them.

    Columns without input or weights are left out: whatever happens to them costs nothing.

    Raises:
      InvalidInput: for fewer than 5 columns.
      Unmeasurable: for more columns than the matrix has.
    """
    share = profile.energy_share[SITE_OF[matrix]].value[layer]
    norms = (np.asarray(model.params["blocks"][matrix][layer], np.float64) ** 2).sum(axis=0)
    alive = np.flatnonzero((share > 0) & (norms > 0))
    if not FEWEST <= count <= len(alive):
        problem = invalid(f"{FEWEST} <= columns <= {len(alive)}", count, f"{matrix} has {len(share)} columns")
        raise problem if count < FEWEST else Unmeasurable(str(problem))
    order = alive[np.argsort(share[alive], kind="stable")]
    logs = np.log(share[order])
    chosen: list[int] = []
    for target in np.linspace(logs[0], logs[-1], count):
        free = np.setdiff1d(np.arange(len(order)), chosen)
        chosen.append(int(free[np.argmin(np.abs(logs[free] - target))]))
    columns = order[np.sort(chosen)]
    return ColumnSample(layer, matrix, columns, share[columns], norms[columns])
