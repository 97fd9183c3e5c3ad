"""What stays as it is when the rest is perturbed, as a file of schema `signmag.protect/1`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from signmag_jax.evidence import Result
from signmag_jax.evidence.files import strict_json, write_atomic
from signmag_jax.evidence.result import KEPT_OUT
from signmag_jax.models.imatrix import Matrix

from .granularity import Scale


class ProtectedColumn(NamedTuple):
    """A column of a matrix (an input), and its score in nats per token."""

    layer: int
    matrix: str
    column: int
    score: float = 0.0


class ProtectedWeight(NamedTuple):
    """A weight of a matrix, and its score in nats per token."""

    layer: int
    matrix: str
    row: int
    column: int
    score: float = 0.0


class HurtMatrix(NamedTuple):
    """A matrix and its measured ΔNLL, `resolved` where 3 standard errors separate it from zero.

    Where the loss is not finite on some windows there is no ΔNLL, and nothing hurts more.
    """

    layer: int
    matrix: str
    delta_nll: float | None
    standard_error: float | None = None
    resolved: bool = False
    not_finite: int = 0


class PredictedMatrix(NamedTuple):
    """A matrix and what its error is predicted to cost, in nats per token."""

    layer: int
    matrix: str
    cost: float


@dataclass(frozen=True, eq=False)
class Mask(Result):
    """Columns, weights and matrices that are to stay as they are, and their costs.

    `columns` lists the columns and `whole` the matrices that are protected wholly, `weights` the most costly
    single weights with their scores, `matrices` what was measured of whole matrices. `kept` holds every
    protected weight, where a budget was spent: for each matrix (layer from 0, name as in `models.MATRICES`,
    shape outputs × inputs) the places row·inputs + column, ascending. What keeping a column or a weight saves
    is not its score, nor does it add.

    Args:
      against, scale: what it protects against.
      columns, weights: the most costly first.
      matrices: with their measured ΔNLL when perturbed alone.
      shapes: by name, outputs and inputs of a matrix.
      of: how many weights all matrices have that take part.
      provenance: model, texts, versions, device.
      predicted: cost of each matrix, where it was predicted.
      budget: share of the weights, the number it is, in which unit, the bits that they take, and how it was
        typed; empty where no budget was spent.
      whole: matrices that are wholly protected, those of largest mean score first.
      kept: by matrix and layer, all places.
    """

    SCHEMA = "signmag.protect/1"

    against: str
    scale: Scale
    columns: tuple[ProtectedColumn, ...]
    weights: tuple[ProtectedWeight, ...]
    matrices: tuple[HurtMatrix, ...]
    shapes: Mapping[str, tuple[int, int]]
    of: int
    provenance: Mapping[str, Any]
    predicted: tuple[PredictedMatrix, ...] = ()
    budget: Mapping[str, Any] = field(default_factory=dict)
    whole: tuple[Matrix, ...] = ()
    kept: Mapping[Matrix, Int[np.ndarray, " places"]] = field(default_factory=dict, metadata=KEPT_OUT)

    def to_json(self) -> dict[str, Any]:
        """The mask as a strict-JSON object."""
        content = {**super().to_json(), "scale": str(self.scale), "quantizer": self.against}
        content["whole"] = [{"layer": layer, "matrix": name} for layer, name in self.whole]
        if self.budget:
            content["kept"] = [
                {"layer": layer, "matrix": name, "shape": list(self.shapes[name]), "places": places.tolist()}
                for (layer, name), places in self.kept.items()
            ]
        return content

    def write(self, path: Path) -> None:
        """Write the mask, whole or not at all."""
        write_atomic(path, strict_json(self.to_json(), indent=None))

    @classmethod
    def of_json(cls, plain: Mapping[str, Any]) -> Mask:
        """The mask of an object of the schema; what it does not say is empty."""
        kept = {
            (each["layer"], each["matrix"]): np.asarray(each["places"], np.int64)
            for each in plain.get("kept", ())
        }
        shapes = {each["matrix"]: each["shape"] for each in plain.get("kept", ()) if "shape" in each}
        shapes |= plain.get("shapes", {})
        return cls(
            plain.get("against") or plain.get("quantizer", "the quantiser"),
            plain.get("scale", ""),
            _rows(ProtectedColumn, plain["columns"]),
            _rows(ProtectedWeight, plain["weights"]),
            _rows(HurtMatrix, plain["matrices"]),
            {name: (shape[0], shape[1]) for name, shape in shapes.items()},
            plain.get("of", 0),
            plain.get("provenance", {}),
            _rows(PredictedMatrix, plain.get("predicted", ())),
            plain.get("budget", {}),
            tuple((each["layer"], each["matrix"]) for each in plain.get("whole", ())),
            kept,
        )


def _rows(kind: Any, rows: Iterable[Mapping[str, Any]]) -> tuple[Any, ...]:
    return tuple(kind(**{name: each[name] for name in kind._fields if name in each}) for each in rows)
