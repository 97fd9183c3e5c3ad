"""How large the inputs of every matrix are, by column, as llama.cpp's `imatrix` has it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from signmag_jax.evidence.counts import counting
from signmag_jax.models import MATRICES, SITE_OF, LanguageModel
from signmag_jax.models.imatrix import ImportanceMatrix

from .activations import column_means
from .inputs import FEWEST_CALIBRATION, Windows, check_finite, checked_windows
from .sweep import over_windows


@counting
def importance(
    model: LanguageModel, tokens: Windows, *, source: Mapping[str, Any] | None = None
) -> ImportanceMatrix:
    """E x_j² over all tokens for every input column of every matrix, one forward pass.

    Args:
      model: from `models.load`.
      tokens: at least two windows; every position of a window counts, as in `llama-imatrix`.
      source: names the text under "text".

    Raises:
      InvalidInput: for fewer than two windows, or activations that are not finite.
    """
    tokens = checked_windows(model, tokens, "calibration", FEWEST_CALIBRATION)
    program = functools.partial(column_means, model.config, model.params)
    pieces = over_windows("activations", tokens, 1, program)
    squares, counts = {}, {}
    for name in MATRICES:
        # (layers, windows, inputs) in each batch, in the unit of its window.
        _, square, _, unit = (
            np.concatenate([piece[SITE_OF[name]][i] for piece in pieces], axis=1).astype(np.float64)
            for i in range(4)
        )
        with np.errstate(over="ignore"):  # named below instead
            mean = (square * unit**2).mean(axis=1)
        check_finite(mean, f"activations before {name}", "layer")
        for layer, row in enumerate(mean):
            squares[layer, name], counts[layer, name] = row, tokens.size
    order = sorted(squares, key=lambda at: (at[0], MATRICES.index(at[1])))
    text = str((source or {}).get("text", "unknown"))
    return ImportanceMatrix({at: squares[at] for at in order}, counts, (text,), *map(int, tokens.shape))
