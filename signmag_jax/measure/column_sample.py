"""Columns of one matrix, sampled evenly over the energies of its input, and what the law predicts of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from jaxtyping import Float, Int

from signmag_jax.evidence import Picture, Result, invalid
from signmag_jax.models import SITE_OF, LanguageModel

from .activations import Alpha, squared_column_norms
from .association import FEWEST
from .inputs import Unmeasurable, check_layers, check_matrices
from .setup import subfolder

# As many as the paper flips.
COLUMNS = 20
R = TypeVar("R", bound=Result)


@dataclass(frozen=True, eq=False)
class ColumnSample(Result):
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

    def title(self) -> str:
        """Which matrix the columns are of."""
        return f"layer {self.layer} {self.matrix}"

    def row(self, index: int) -> dict[str, Any]:
        """What is known of one column, for a table."""
        return {
            "layer": self.layer,
            "matrix": self.matrix,
            "column": int(self.columns[index]),
            "alpha_squared": float(self.alpha_squared[index]),
            "norm_squared": float(self.norm_squared[index]),
        }


def sampled(model: LanguageModel, profile: Alpha, layer: int, matrix: str, count: int) -> ColumnSample:
    """`count` columns at evenly spaced logarithms of α², the largest and the smallest among them.

    Columns without input or weights are left out: whatever happens to them costs nothing.

    Raises:
      InvalidInput: for fewer than 5 columns.
      Unmeasurable: for more columns than the matrix has.
    """
    share = profile.energy_share[SITE_OF[matrix]].value[layer]
    (norms,) = squared_column_norms(model.params["blocks"][matrix][layer][None])
    alive = np.flatnonzero((share > 0) & (norms > 0))
    if not FEWEST <= count <= len(alive):
        problem = invalid(f"{FEWEST} <= columns <= {len(alive)}", count, f"{matrix} has {len(share)} columns")
        raise problem if count < FEWEST else Unmeasurable(str(problem))
    order = alive[np.argsort(share[alive], kind="stable")]
    logs = np.log(share[order])
    chosen: list[int] = []
    # By logarithms: energies span decades, and evenly spaced ranks would pass the large ones over.
    for target in np.linspace(logs[0], logs[-1], count):
        # The nearest that is still free: where columns are sparse, one may be nearest to several targets.
        free = np.setdiff1d(np.arange(len(order)), chosen)
        chosen.append(int(free[np.argmin(np.abs(logs[free] - target))]))
    columns = order[np.sort(chosen)]
    return ColumnSample(layer, matrix, columns, share[columns], norms[columns])


@dataclass(frozen=True, eq=False)
class ByMatrix(Result, Generic[R]):
    """One measurement in several matrices: the result of each, in the order of layers, then matrices."""

    results: tuple[R, ...]

    def summary(self) -> dict[str, str]:
        """The lines of all matrices."""
        return {name: line for each in self.results for name, line in each.summary().items()}

    def rows(self) -> list[dict[str, Any]]:
        """The rows of all matrices."""
        return [row for each in self.results for row in each.rows()]

    def picture(self) -> Picture | None:
        """The series of all matrices in one picture."""
        pictures = [picture for each in self.results if (picture := each.picture())]
        series = {name: one for each in pictures for name, one in each.arguments["series"].items()}
        return Picture(pictures[0].kind, {**pictures[0].arguments, "series": series})


def in_each(
    measurement: Callable[..., R],
    model: LanguageModel,
    layers: Sequence[int] | None,
    matrices: Sequence[str],
    resume: str | Path | None,
) -> ByMatrix[R]:
    """The measurement in every layer (by default the middle one) and matrix; records in a folder for each."""
    chosen = check_layers((model.config.layers // 2,) if layers is None else layers, model.config.layers)
    return ByMatrix(
        tuple(
            measurement(layer, name, subfolder(resume, f"layer-{layer}-{name}"))
            for layer in chosen
            for name in check_matrices(matrices)
        )
    )
