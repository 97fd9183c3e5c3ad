"""How the energy of a linear layer's input is spread over its columns, and which columns are outliers."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from signmag_jax.evidence import Estimate, Picture, Result, invalid
from signmag_jax.evidence.compiling import jit
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.precision import at_least_float32, unit_of
from signmag_jax.evidence.ratio import ratio_over_samples
from signmag_jax.evidence.result import KEPT_OUT
from signmag_jax.models import MATRICES, SITE_OF, SITES, LanguageModel, fetch, token_nll

from .inputs import (
    FEWEST_CALIBRATION,
    Windows,
    check_finite,
    checked_windows,
    provenance_of,
    sha256_of_tokens,
    unmeasurable,
)
from .sweep import over_windows

# The paper's pool, the top 5% of the columns.
OUTLIER_FRACTION = 0.05
Columns = dict[str, Int[np.ndarray, "layers chosen"]]


@dataclass(frozen=True, eq=False)
class Alpha(Result):
    """Energy shares α_j² of the input columns, by site; arrays of shape (layers, features).

    Args:
      token_share: E[x_j²/‖x‖²], the mean over tokens of the share in each token (the theory's α_j²).
      energy_share: E[x_j²]/E‖x‖², a ratio of means (what the paper's script computes).
      magnitude: E|x_j|, by which outlier columns are chosen.
      provenance: model, text and versions.
    """

    SHOWN = ("sites",)

    token_share: dict[str, Estimate] = field(metadata=KEPT_OUT)
    energy_share: dict[str, Estimate] = field(metadata=KEPT_OUT)
    magnitude: dict[str, Estimate] = field(metadata=KEPT_OUT)
    provenance: Mapping[str, Any]

    def outliers(self, fraction: float = OUTLIER_FRACTION) -> Columns:
        """The round(fraction · features) columns, at least one, of largest E|x_j| per layer, ascending.

        Raises:
          InvalidInput: unless 0 < fraction < 1 leaves columns on both sides.
        """
        return {site: _outliers(each.value, fraction) for site, each in self.magnitude.items()}

    @property
    def sites(self) -> dict[str, Any]:
        """Median and largest share of each layer, by site and by both definitions."""
        return {
            site: {
                "token_share": _profile(self.token_share[site]),
                "energy_share": _profile(self.energy_share[site]),
            }
            for site in self.token_share
        }

    def summary(self) -> dict[str, str]:
        """The largest share at every site."""
        lines = {}
        for site, share in self.token_share.items():
            layer, column = divmod(int(share.value.argmax()), share.value.shape[1])
            lines[site] = (
                f"largest α² = {share.value[layer, column]:.4f}({share.standard_error[layer, column]:.4f}) "
                f"in column {column} of layer {layer}; uniform would be {1 / share.value.shape[1]:.5f}"
            )
        return lines

    def rows(self) -> list[dict[str, Any]]:
        """One row for each input column of each layer."""
        return [
            {
                "site": site,
                "layer": layer,
                "column": column,
                **share.cells("token_share", (layer, column)),
                "energy_share": float(self.energy_share[site].value[layer, column]),
                "magnitude": float(self.magnitude[site].value[layer, column]),
            }
            for site, share in self.token_share.items()
            for layer, column in np.ndindex(share.value.shape)
        ]

    def picture(self) -> Picture:
        """Median and largest α of every layer, by site."""
        series = {
            site: {"median": np.sqrt(np.median(share.value, axis=1)), "max": np.sqrt(share.value.max(axis=1))}
            for site, share in self.token_share.items()
        }
        return Picture("alpha", {"data": series})


@dataclass(frozen=True, eq=False)
class ColumnEnergy:
    """What decides a column's cost in one matrix: α_j² ‖W_·j‖²; arrays of shape (layers, features).

    Args:
      alpha_squared: E[x_j²/‖x‖²] of the matrix's input.
      column_norm_squared: ‖W_·j‖², squared norms of the columns.
      pool: which columns are outliers.
      alpha_error: standard error of `alpha_squared` over windows.
    """

    alpha_squared: Float[np.ndarray, "layers features"]
    column_norm_squared: Float[np.ndarray, "layers features"]
    pool: Bool[np.ndarray, "layers features"]
    alpha_error: Float[np.ndarray, "layers features"]


@counting
def alpha(
    model: LanguageModel, tokens: Windows, *, batch: int = 1, source: Mapping[str, Any] | None = None
) -> Alpha:
    """Energy shares of every input column of every linear layer, streamed; no activation is kept.

    Args:
      model: from `models.load`.
      tokens: at least two windows; every position of a window counts.
      batch: number of windows that are computed at a time.
      source: added to the provenance.

    Returns:
      Both definitions of α_j² and E|x_j|, with standard errors over windows.

    Raises:
      InvalidInput: for fewer than two windows, or activations that are not finite.
    """
    tokens = checked_windows(model, tokens, "calibration", FEWEST_CALIBRATION)
    program = functools.partial(column_means, model.config, model.params)
    pieces = over_windows("activations", tokens, batch, program)
    token_share, energy_share, magnitude = {}, {}, {}
    for site in SITES:
        # (layers, windows, features) in each batch -> (windows, layers, features)
        share, square, size, unit = (
            np.concatenate([np.moveaxis(piece[site][i], 1, 0) for piece in pieces]).astype(np.float64)
            for i in range(4)
        )
        # Back to the activations' own scale on the host, where float64 holds squares that float32 did not.
        with np.errstate(over="ignore"):  # named below instead
            square, size = square * unit**2, size * unit
        for table in (share, square, size):
            check_finite(np.moveaxis(table, 1, 0), f"activations at {site}", "layer")
        if not (square.sum(axis=(0, 2)) > 0).all():
            raise unmeasurable(
                "activations not all zero", f"zeros at {site}", "check the checkpoint's weights"
            )
        token_share[site] = Estimate.of_samples(share, estimator="mean over tokens of x_j²/‖x‖²")
        energy_share[site] = ratio_over_samples(
            square, square.sum(axis=-1, keepdims=True), estimator="ratio of means over tokens, E x_j²/E‖x‖²"
        )
        magnitude[site] = Estimate.of_samples(size, estimator="mean over tokens of |x_j|")
    origin = provenance_of(
        model, source, tokens_sha256=sha256_of_tokens(tokens), windows=len(tokens), window=tokens.shape[1]
    )
    return Alpha(token_share, energy_share, magnitude, origin)


@counting
def column_energies(
    model: LanguageModel, profile: Alpha, fraction: float = OUTLIER_FRACTION
) -> dict[str, ColumnEnergy]:
    """α_j², ‖W_·j‖² and the outlier pool of each of the seven matrices, for predictions of leverage.

    Raises:
      InvalidInput: for weights that are not finite, or whose squares are not.
    """
    pools = {
        site: membership(chosen, profile.magnitude[site].value.shape[1])
        for site, chosen in profile.outliers(fraction).items()
    }
    norms = {name: squared_column_norms(model.params["blocks"][name]) for name in MATRICES}
    broken = [name for name, norm in norms.items() if not np.isfinite(norm).all()]
    if broken:
        raise invalid("finite squares of the weights", ", ".join(broken), "check the checkpoint's weights")
    return {
        name: ColumnEnergy(
            profile.token_share[SITE_OF[name]].value,
            norms[name],
            pools[SITE_OF[name]],
            profile.token_share[SITE_OF[name]].standard_error,
        )
        for name in MATRICES
    }


def membership(
    columns: Int[np.ndarray, "layers chosen"], features: int
) -> Bool[np.ndarray, "layers features"]:
    """Column numbers as a mask."""
    mask = np.zeros((len(columns), features), bool)
    np.put_along_axis(mask, columns, True, axis=1)
    return mask


@functools.partial(jit, static_argnums=0)
def column_means(config: Any, params: dict[str, Any], tokens: Int[Array, "batch window"]) -> Any:
    """Mean share, mean square, mean magnitude, and the unit of the latter two; by site."""

    def look(x: Float[Array, "batch window features"], layer: Array, site: str) -> Any:
        wide = x.astype(at_least_float32(x.dtype))
        share = energy_shares(wide)
        # One unit for a whole window, or means over tokens would be weighted; a power of two rounds nothing.
        unit = unit_of(wide, (1, 2))
        scaled = wide / unit
        return share.mean(axis=1), (scaled * scaled).mean(axis=1), jnp.abs(scaled).mean(axis=1), unit[:, 0]

    return token_nll(config, params, tokens, observe=look)[1]


def energy_shares(x: Float[Array, "*tokens features"]) -> Float[Array, "*tokens features"]:
    """x_j²/‖x‖² of each token, in at least float32; 0 where the token is."""
    # At unit scale: shares do not depend on it, and huge activations have no squares.
    squares = (x / unit_of(x, -1)) ** 2
    total = squares.sum(axis=-1, keepdims=True)
    return jnp.where(total > 0, squares / jnp.where(total > 0, total, jnp.ones_like(total)), 0.0)


def _outliers(
    magnitude: Float[np.ndarray, "layers features"], fraction: float
) -> Int[np.ndarray, "layers chosen"]:
    features = magnitude.shape[1]
    count = max(1, round(fraction * features)) if 0 < fraction < 1 else features
    if count >= features:
        raise invalid("0 < outlier fraction < 1, with columns left over", fraction, "pass a part like 0.05")
    return largest(magnitude, count)


def largest(values: Float[np.ndarray, "layers features"], count: int) -> Int[np.ndarray, "layers chosen"]:
    """The columns of the `count` largest values of each layer, ascending; of equal ones the first."""
    return np.sort(np.argsort(-values, axis=1, kind="stable")[:, :count], axis=1)


def _profile(share: Estimate) -> dict[str, Any]:
    """Per layer: median and largest amplitude α_j, and the largest nα_j²."""
    features = share.value.shape[1]
    top = share.value.argmax(axis=1)
    return {
        "features": features,
        "median_amplitude": np.sqrt(np.median(share.value, axis=1)).tolist(),
        "largest_amplitude": np.sqrt(share.value.max(axis=1)).tolist(),
        "largest_column": top.tolist(),
        "largest_n_alpha_squared": (features * share.value.max(axis=1)).tolist(),
        "its_standard_error": (
            features * np.take_along_axis(share.standard_error, top[:, None], axis=1)[:, 0]
        ).tolist(),
    }


def squared_column_norms(stacked: Float[Any, "layers outputs inputs"]) -> Float[np.ndarray, "layers inputs"]:
    """‖W_·j‖² of every column, in float64; infinite where that is."""
    # Layer by layer: a stack in float64 would be twice the model.
    with np.errstate(over="ignore"):
        return np.stack([(weight.astype(np.float64) ** 2).sum(axis=0) for weight in fetch(stacked)])
