"""Which columns and weights to leave as they are when the rest is quantised, as a mask in a file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from signmag_jax.evidence import invalid
from signmag_jax.evidence.counts import counting
from signmag_jax.models import SITE_OF, LanguageModel, fetch

from .activations import Alpha
from .granularity import TENSOR, Scale, quantized
from .mask import HurtMatrix, Mask, ProtectedColumn, ProtectedWeight
from .quantization_report import QUANTIZERS
from .quantized_matrix import QuantizationReport
from .slopes import separated

COLUMNS, WEIGHTS = 200, 200


@counting
def protection(
    model: LanguageModel,
    profile: Alpha,
    report: QuantizationReport,
    *,
    quantizer: str = "ternary",
    scale: Scale = TENSOR,
    columns: int = COLUMNS,
    weights: int = WEIGHTS,
) -> Mask:
    """The columns and weights that carry most of the cost of quantising the report's matrices.

    The score of a column is the matrix's measured ΔNLL times the column's share of the error energy of its
    output, E x_j²·‖w_·j − w'_·j‖²; that of a weight likewise, with (w_ij − w'_ij)². A matrix whose
    quantisation did not hurt has none. Scores are no better known than the ΔNLL in `matrices`, and they rank:
    what keeping a column or a weight saves is measured by `what_is_left`.

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
    every: list[ProtectedColumn] = []
    single: list[ProtectedWeight] = []
    ranked: list[HurtMatrix] = []
    for entry in entries:
        if entry.damage is None:
            raise invalid("a report with losses", None, "measure it with losses=True")
        at, damage = (entry.layer, entry.matrix), entry.damage.estimate
        ranked.append(HurtMatrix(*at, damage.value, damage.standard_error, bool(separated(damage))))
        # A matrix whose quantisation lowers the loss has nothing to protect.
        score = max(damage.value, 0.0) * scores(model, profile, *at, quantizer, scale)
        every += [ProtectedColumn(*at, j, float(score[:, j].sum())) for j in range(score.shape[1])]
        # None beyond the first of its matrix can be among the first of all: millions are not kept.
        top = np.unravel_index(np.argsort(-score, axis=None, kind="stable")[:weights], score.shape)
        single += [
            ProtectedWeight(*at, int(i), int(j), float(score[i, j])) for i, j in zip(*top, strict=True)
        ]
    best, few = _costly(every, columns), _costly(single, weights)
    known = model.config.shapes()
    shapes = {entry.matrix: (known[entry.matrix][0], known[entry.matrix][1]) for entry in entries}
    total = sum(math.prod(shapes[entry.matrix]) for entry in entries)
    return Mask(quantizer, scale, best, few, tuple(ranked), shapes, total, report.provenance)


def scores(
    model: LanguageModel, profile: Alpha, layer: int, matrix: str, quantizer: str, scale: Scale
) -> Float[np.ndarray, "outputs inputs"]:
    """Each weight's part of the error energy of a quantised matrix's output; 0 of a matrix without error."""
    weight = model.params["blocks"][matrix][layer]
    error = fetch(weight - quantized(QUANTIZERS[quantizer], weight, scale)).astype(np.float64)
    return _shares(error, profile.energy_share[SITE_OF[matrix]].value[layer])


def _costly(candidates: Sequence[Any], count: int) -> tuple[Any, ...]:
    """The `count` of largest score, among those that have one."""
    return tuple(sorted((one for one in candidates if one.score > 0), key=lambda one: -one.score)[:count])


def _shares(
    error: Float[np.ndarray, "outputs inputs"], share: Float[np.ndarray, " inputs"]
) -> Float[np.ndarray, "outputs inputs"]:
    energy = error**2 * share
    total = energy.sum()
    return energy / total if total > 0 else energy
