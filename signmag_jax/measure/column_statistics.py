"""Statistics of every input column over positions, and the definitions of "outlier" that use them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from signmag_jax.evidence.compiling import jit
from signmag_jax.evidence.precision import at_least_float32
from signmag_jax.models import LanguageModel, ModelConfig, token_nll
from signmag_jax.models.decoder_layer import features_at_sites

from .activations import Columns, largest
from .inputs import FEWEST_CALIBRATION, Windows, check_finite, checked_windows
from .sweep import over_windows

THRESHOLD, LAYERS, POSITIONS = 6.0, 0.25, 0.06
"""LLM.int8(): magnitude of at least 6, in at least 25% of the layers and 6% of the positions
(arXiv:2208.07339, section 4)."""
WATCHED = ("attention_in", "attention_out", "mlp_in")
"""Sites that LLM.int8() looks at: it leaves out the input of the second MLP layer."""
TOP_PARTS = (0.01, 0.02, 0.05, 0.1)
PART = 0.05
INT8 = "LLM.int8"
ROUNDING = 1e-6
"""Relative rounding of activations and of means in float32: several times the spacing of its numbers."""

PerColumn = dict[str, Float[np.ndarray, "layers features"]]


@dataclass(frozen=True, eq=False)
class ColumnStatistics:
    """Statistics over the positions of all windows, by site; arrays of shape (layers, features).

    Args:
      magnitude: E|x_j|.
      square: E x_j².
      kurtosis: E(x_j − Ex_j)⁴/Var(x_j)²; 0 for a column that does not vary.
      exceeding: part of the positions with |x_j| >= 6.
    """

    magnitude: PerColumn
    square: PerColumn
    kurtosis: PerColumn
    exceeding: PerColumn

    def definitions(self) -> dict[str, Columns]:
        """Outlier columns by the name of their definition; a site may have none under LLM.int8()'s rule."""
        definitions = {f"top {part:.0%} by mean |x|": _top(self.magnitude, part) for part in TOP_PARTS}
        definitions[f"top {PART:.0%} by mean x²"] = _top(self.square, PART)
        definitions[f"top {PART:.0%} by kurtosis"] = _top(self.kurtosis, PART)
        definitions[INT8] = {site: _int8(site, table) for site, table in self.exceeding.items()}
        return definitions


def column_statistics(model: LanguageModel, tokens: Windows) -> ColumnStatistics:
    """Streamed over windows; no activation is kept.

    Raises:
      InvalidInput: for fewer than two windows, or activations that are not finite.
    """
    tokens = checked_windows(model, tokens, "calibration", FEWEST_CALIBRATION)
    dtype, layers = model.params["embed"].dtype, model.config.layers
    centre = {site: jnp.zeros((layers, n), dtype) for site, n in features_at_sites(model.config).items()}
    # Moments about the first window's mean do not cancel where a column's mean is large.
    first = _moments(model.config, model.params, centre, jnp.asarray(tokens[:1]))
    centre = {site: table["mean"].astype(centre[site].dtype) for site, table in first.items()}
    program = functools.partial(_moments, model.config, model.params, centre)
    pieces = over_windows("column statistics", tokens, 1, program)
    # Windows are of one length: their means are averaged.
    means = jax.tree.map(lambda *each: np.mean([x.astype(np.float64) for x in each], axis=0), *pieces)
    for site, table in means.items():
        check_finite(np.stack(list(table.values()), axis=1), f"activations at {site}", "layer")
    kurtosis = {site: _kurtosis(table) for site, table in means.items()}
    magnitude, square, exceeding = (
        {site: table[key] for site, table in means.items()} for key in ("magnitude", "square", "exceeding")
    )
    return ColumnStatistics(magnitude, square, kurtosis, exceeding)


@functools.partial(jit, static_argnums=0)
def _moments(
    config: ModelConfig, params: dict[str, Any], centre: dict[str, Array], tokens: Int[Array, "1 window"]
) -> dict[str, dict[str, Float[Array, "layers features"]]]:
    """Means over positions; powers are of x − centre, whose own mean is "mean"."""

    def look(x: Float[Array, "1 window features"], layer: Array, site: str) -> dict[str, Array]:
        wide = x[0].astype(at_least_float32(x.dtype))
        moved = wide - centre[site][layer].astype(wide.dtype)[None]
        values = {
            "mean": moved,
            "magnitude": jnp.abs(wide),
            "square": wide**2,
            "exceeding": (jnp.abs(wide) >= THRESHOLD).astype(wide.dtype),
            "second": moved**2,
            "third": moved**3,
            "fourth": moved**4,
        }
        return {key: value.mean(axis=0) for key, value in values.items()}

    return token_nll(config, params, tokens, observe=look)[1]


def _kurtosis(table: dict[str, Any]) -> Float[np.ndarray, "layers features"]:
    m, second, third, fourth = (table[key] for key in ("mean", "second", "third", "fourth"))
    variance = second - m**2
    # About the mean, from moments about a centre close to it: m is small, and little cancels.
    central = fourth - 4 * m * third + 6 * m**2 * second - 3 * m**4
    # Less than this is the rounding of the activations themselves, or of the means of their powers.
    vary = (variance > ROUNDING**2 * table["square"]) & (variance > ROUNDING * second)
    return np.divide(central, variance**2, out=np.zeros_like(m), where=vary)


def _top(statistic: PerColumn, part: float) -> Columns:
    return {site: largest(x, max(1, round(part * x.shape[1]))) for site, x in statistic.items()}


def _int8(site: str, exceeding: Float[np.ndarray, "layers features"]) -> Int[np.ndarray, "layers chosen"]:
    """Columns of LLM.int8()'s rule, the same in every layer, as the rule is about a feature of the stream."""
    affected = (exceeding > 0).mean(axis=0) >= LAYERS
    columns = np.flatnonzero(affected & (exceeding.mean(axis=0) >= POSITIONS))
    columns = columns if site in WATCHED else columns[:0]
    return np.broadcast_to(columns, (len(exceeding), len(columns)))
