"""Which columns and weights to leave as they are when the rest is quantised, as a mask in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from signmag_jax.evidence import Estimate, Result, invalid
from signmag_jax.evidence.files import strict_json, write_atomic
from signmag_jax.models import SITE_OF, LanguageModel

from .activations import Alpha
from .granularity import TENSOR, Scale, quantized
from .quantization_report import QUANTIZERS, QuantizationReport
from .slopes import separated

SCHEMA = "signmag.protect/1"
COLUMNS, WEIGHTS = 200, 200


@dataclass(frozen=True, eq=False)
class Protection(Result):
    """Columns and single weights that carry a cost, most costly first; none where nothing was hurt.

    The score of a column is the matrix's measured ΔNLL times the column's share of the error energy of its
    output, E x_j²·‖w_·j − w'_·j‖²; that of a weight likewise, with (w_ij − w'_ij)². A matrix whose
    quantisation did not hurt has none. Scores are no better known than the ΔNLL in `matrices`.

    Args:
      quantizer, scale: what it protects against.
      columns: (layer, matrix, column, score in nats per token).
      weights: (layer, matrix, row, column, score in nats per token).
      matrices: (layer, matrix, measured ΔNLL), most costly first.
      provenance: of the report.
    """

    quantizer: str
    scale: Scale
    columns: tuple[tuple[int, str, int, float], ...]
    weights: tuple[tuple[int, str, int, int, float], ...]
    matrices: tuple[tuple[int, str, Estimate], ...]
    provenance: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The mask: a strict-JSON object of schema `signmag.protect/1`.

        `columns` and `weights` are lists of objects with `layer` (from 0), `matrix` (as in
        `models.MATRICES`), `column` (input index), for weights `row` (output index), and `score`; `matrices`
        holds the ΔNLL behind the scores, `resolved` where 3 standard errors separate it from zero.
        """
        return {
            "schema": SCHEMA,
            "quantizer": self.quantizer,
            "scale": str(self.scale),
            "columns": [
                {"layer": layer, "matrix": name, "column": column, "score": score}
                for layer, name, column, score in self.columns
            ],
            "weights": [
                {"layer": layer, "matrix": name, "row": row, "column": column, "score": score}
                for layer, name, row, column, score in self.weights
            ],
            "matrices": [
                {
                    "layer": layer,
                    "matrix": name,
                    "delta_nll": found.value,
                    "standard_error": found.standard_error,
                    "resolved": bool(separated(found)),
                }
                for layer, name, found in self.matrices
            ],
            "provenance": dict(self.provenance),
        }

    def write(self, path: Path) -> None:
        """Write the mask, whole or not at all."""
        write_atomic(path, strict_json(self.to_json()))


def protection(
    model: LanguageModel,
    profile: Alpha,
    report: QuantizationReport,
    *,
    quantizer: str = "ternary",
    scale: Scale = TENSOR,
    columns: int = COLUMNS,
    weights: int = WEIGHTS,
) -> Protection:
    """The columns and weights that carry most of the cost of quantising the report's matrices.

    Args:
      model: the model of the report.
      profile: `alpha` of calibration windows.
      report: with losses.
      quantizer, scale: which entries of the report.
      columns, weights: how many of each, over all matrices.

    Raises:
      InvalidInput: for a report without losses or without such entries, or numbers below 1.
    """
    entries = report.ranked(quantizer, scale)
    if columns < 1 or weights < 1:
        raise invalid("columns >= 1 and weights >= 1", (columns, weights), "pass how many to protect")
    whole: list[tuple[int, str, int, float]] = []
    single: list[tuple[int, str, int, int, float]] = []
    ranked: list[tuple[int, str, Estimate]] = []
    for entry in entries:
        if entry.damage is None:
            raise invalid("a report with losses", None, "measure it with losses=True")
        place = entry.layer, entry.matrix
        ranked.append((*place, entry.damage.estimate))
        weight = model.params["blocks"][entry.matrix][entry.layer]
        error = np.asarray(weight - quantized(QUANTIZERS[quantizer], jnp.asarray(weight), scale), np.float64)
        share = profile.energy_share[SITE_OF[entry.matrix]].value[entry.layer]
        score = max(entry.damage.estimate.value, 0.0) * _shares(error, share)
        whole += [(*place, j, float(score[:, j].sum())) for j in range(score.shape[1])]
        top = np.argsort(-score, axis=None, kind="stable")[:weights]
        single += [
            (*place, int(i), int(j), float(score[i, j]))
            for i, j in zip(*np.unravel_index(top, score.shape), strict=True)
        ]
    best = tuple(sorted((each for each in whole if each[-1] > 0), key=lambda each: -each[-1])[:columns])
    few = tuple(sorted((each for each in single if each[-1] > 0), key=lambda each: -each[-1])[:weights])
    return Protection(quantizer, scale, best, few, tuple(ranked), report.provenance)


def _shares(
    error: Float[np.ndarray, "outputs inputs"], share: Float[np.ndarray, " inputs"]
) -> Float[np.ndarray, "outputs inputs"]:
    energy = error**2 * share
    total = energy.sum()
    return energy / total if total > 0 else energy
