"""How well one-bit and ternary weights keep the direction of a trained matrix and of its outputs (Fact 1)."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from signmag_jax.evidence import Estimate, Picture, Result, bootstrap, invalid, keys
from signmag_jax.evidence.precision import unit_of
from signmag_jax.evidence.progress import progress
from signmag_jax.evidence.result import KEPT_OUT
from signmag_jax.models import SITE_OF, LanguageModel, ModelConfig, token_nll
from signmag_jax.perturb import Perturbation, SignQuantize, Ternarize

from . import inputs
from .inputs import Windows

QUANTIZERS: dict[str, Perturbation] = {"sign": SignQuantize(), "ternary": Ternarize()}
"""Per tensor; "ternary" has BitNet b1.58's threshold and the least-squares scale (cos² ignores the scale)."""

KINDS = ("rows", "spherical", "real")
"""Of inputs: none, so that rows are compared; uniform ones; the model's own."""
OVER_WINDOWS = "mean over windows of cos² of outputs"


@dataclass(frozen=True, eq=False)
class Alignment:
    """cos² between a matrix and its quantised version; estimates of shape (layers,).

    Args:
      rows: mean over rows of cos²(w_i, q_i), error over rows.
      spherical: mean over inputs of cos²(Wx, Qx), x uniform on the sphere, error over inputs.
      real: the same for activations of the model, error over windows; None without text.
      windows: what `real` is the mean of, matrices × windows; None without text.
    """

    rows: Estimate
    spherical: Estimate
    real: Estimate | None
    windows: Float[np.ndarray, "layers windows"] | None = field(default=None, metadata=KEPT_OUT)


@dataclass(frozen=True, eq=False)
class Quantization(Result):
    """Result of `quantization`.

    Args:
      alignments: by quantiser ("sign", "ternary") and matrix.
      layers: the layers that the arrays stand for.
      provenance: model, text and versions.
    """

    alignments: dict[str, dict[str, Alignment]]
    layers: tuple[int, ...]
    provenance: Mapping[str, Any]

    def overall(self, quantizer: str = "sign", which: str = "rows") -> Estimate:
        """Mean over all matrices of all layers, with a standard error of its own.

        That of rows and spherical inputs is the scatter of matrices, each of which has rows and inputs of
        its own. Real inputs come from windows that all matrices share: the crossed bootstrap resamples
        matrices and windows.

        Args:
          quantizer: "sign" or "ternary".
          which: "rows", "spherical" or "real".

        Raises:
          InvalidInput: for an unknown name, or "real" without text.
        """
        if quantizer not in self.alignments or which not in KINDS:
            raise invalid(
                f"quantizer in {tuple(self.alignments)} and which in {KINDS}",
                (quantizer, which),
                "name one of them",
            )
        found = [getattr(each, which) for each in self.alignments[quantizer].values()]
        if any(each is None for each in found):
            raise invalid("text for real inputs", None, "pass calibration windows to `quantization`")
        if which == "real":
            return self._over_windows(quantizer)
        values = np.concatenate([each.value for each in found])
        if len(values) == 1:
            return Estimate(values[0], found[0].standard_error[0], found[0].n, "1", found[0].estimator)
        name = f"mean over matrices of the {found[0].estimator}"
        return Estimate.of_samples(values, estimator=name, provenance=self.provenance)

    def _over_windows(self, quantizer: str) -> Estimate:
        tables = [each.windows for each in self.alignments[quantizer].values() if each.windows is not None]
        found = bootstrap.mean(np.concatenate(tables), provenance=self.provenance).estimate
        name = "mean over matrices and windows of cos² of outputs, crossed bootstrap"
        return dataclasses.replace(found, estimator=name)

    def _kinds(self) -> list[str]:
        """The kinds of input that were measured."""
        some = next(iter(next(iter(self.alignments.values())).values()))
        return [which for which in KINDS if getattr(some, which) is not None]

    def summary(self) -> dict[str, str]:
        """The mean cos² by quantiser and kind of input."""
        return {
            f"cos², {quantizer}, {which}": str(self.overall(quantizer, which))
            for quantizer in self.alignments
            for which in self._kinds()
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row for each quantiser, matrix and layer: cos² by kind of input, with its error."""
        rows = []
        for quantizer, table in self.alignments.items():
            for name, each in table.items():
                for index, layer in enumerate(self.layers):
                    row = {"quantizer": quantizer, "matrix": name, "layer": layer}
                    for which in self._kinds():
                        estimate = getattr(each, which)
                        row[which] = float(estimate.value[index])
                        row[f"{which}_se"] = float(estimate.standard_error[index])
                    rows.append(row)
        return rows

    def picture(self) -> Picture:
        """cos² of every matrix and layer."""
        which = self._kinds()[-1]
        tables = {
            f"{quantizer}, {name}": getattr(each, which).value
            for quantizer, table in self.alignments.items()
            for name, each in table.items()
        }
        title = f"What quantised weights keep of the direction: {which}"
        layers = [str(layer) for layer in self.layers]
        return Picture(
            "layers",
            {
                "table": list(tables.values()),
                "rows": list(tables),
                "columns": layers,
                "title": title,
                "label": "cos²",
            },
        )


def quantization(
    model: LanguageModel,
    tokens: Windows | None = None,
    *,
    layers: Sequence[int] | None = None,
    matrices: Sequence[str] | None = None,
    positions: int = 32,
    spherical: int = 64,
    seed: int = 0,
    batch: int = 1,
    source: Mapping[str, Any] | None = None,
) -> Quantization:
    """cos² of sign and ternary quantisation, for every matrix: per row, and of outputs.

    `cos²(w, q) = (w·q)²/(‖w‖²‖q‖²)`; a zero row or output counts as 0. Independent Gaussian weights have 2/π.

    Args:
      model: from `models.load`.
      tokens: windows (at least 2) whose activations are the real inputs; None leaves them out.
      layers: numbers of the layers that are quantised; by default all.
      matrices: names of the matrices that are quantised; by default all.
      positions: evenly spaced positions of each window that serve as inputs.
      spherical: number of random inputs.
      seed: of the random inputs.
      batch: windows that pass through a layer together.
      source: added to the provenance.

    Raises:
      InvalidInput: for unknown layers or matrices, fewer than 2 windows, inputs or positions.

    Source: arXiv:2605.18933, Fact 1.
    """
    chosen = inputs.selected(model.config, layers, matrices)
    if spherical < 2 or positions < 1:
        raise invalid("spherical >= 2 and positions >= 1", (spherical, positions), "use the defaults")
    depth = list(chosen[0])
    real = None if tokens is None else _real(model, tokens, chosen[1], positions, batch)
    table: dict[str, dict[str, Alignment]] = {quantizer: {} for quantizer in QUANTIZERS}
    with progress("quantisation", len(chosen[1])) as advance:
        for name in chosen[1]:
            key = keys.fold(keys.root(seed), "quantization", name)
            found = _weights(model.params["blocks"][name], key, spherical)
            _check_weights(name, found["sign"][0])
            for quantizer, (rows, outputs) in found.items():
                table[quantizer][name] = Alignment(
                    _mean(rows, depth, "mean over rows of cos²"),
                    _mean(outputs, depth, "mean over spherical inputs of cos²"),
                    None if real is None else _mean(real[quantizer][name], depth, OVER_WINDOWS),
                    None if real is None else np.asarray(real[quantizer][name], np.float64)[depth],
                )
            advance(1)
    seen = {} if tokens is None else {"tokens_sha256": inputs.sha256_of_tokens(np.asarray(tokens, np.int32))}
    origin = inputs.provenance_of(
        model, source, seed=seed, spherical=spherical, positions=positions, scale="per tensor", **seen
    )
    return Quantization(table, chosen[0], origin)


def cosine_squared(a: Float[Array, "... n"], b: Float[Array, "... n"]) -> Float[Array, ...]:
    """(a·b)²/(‖a‖²‖b‖²) along the last axis, in at least float32, at any scale; 0 where a vector is zero."""
    a, b = _at_unit_scale(a, -1), _at_unit_scale(b, -1)
    size = jnp.sum(a * a, axis=-1) * jnp.sum(b * b, axis=-1)
    inner = jnp.sum(a * b, axis=-1)
    # NaN is not zero: it must stay visible.
    safe = jnp.where(size == 0, jnp.ones_like(size), size)
    return jnp.where(size == 0, jnp.zeros_like(size), inner**2 / safe)


def _at_unit_scale(x: Float[Array, "*shape"], axis: int | None = None) -> Float[Array, "*shape"]:
    """`x` divided by a power of two, along `axis` or as a whole: cos² stays, and becomes computable."""
    unit = unit_of(x, axis)
    return x.astype(unit.dtype) / unit.reshape(unit.shape or (1,) * x.ndim)


@functools.partial(jax.jit, static_argnums=2)
def _weights(
    stacked: Float[Array, "layers outputs inputs"], key: PRNGKeyArray, count: int
) -> dict[str, tuple[Float[Array, "layers outputs"], Float[Array, "layers count"]]]:
    """Per quantiser: cos² of every row, and of the outputs for `count` Gaussian inputs."""

    def one(piece: tuple[Array, Array]) -> Any:
        layer, weight = piece
        weight = _at_unit_scale(weight).astype(weight.dtype)
        x = jax.random.normal(keys.fold(key, layer), (count, weight.shape[1]), weight.dtype)
        clean, found = _apply(x, weight), {}
        for name, quantizer in QUANTIZERS.items():
            coarse = quantizer.apply(key, weight)
            found[name] = cosine_squared(weight, coarse), cosine_squared(clean, _apply(x, coarse))
        return found

    return jax.lax.map(one, (jnp.arange(stacked.shape[0], dtype=jnp.int32), stacked))


def _real(
    model: LanguageModel, tokens: Windows, names: Sequence[str], positions: int, batch: int
) -> dict[str, dict[str, Float[np.ndarray, "layers windows"]]]:
    tokens = inputs.checked_windows(model, tokens, "calibration", inputs.FEWEST_CALIBRATION)
    stride = max(1, tokens.shape[1] // positions)
    pieces = []
    with progress("quantised outputs", len(tokens)) as advance:
        for start in range(0, len(tokens), batch):
            rows = jnp.asarray(tokens[start : start + batch])
            pieces.append(jax.device_get(_outputs(model.config, tuple(names), stride, model.params, rows)))
            advance(len(rows))
    found = {
        quantizer: {
            name: np.concatenate([piece[SITE_OF[name]][name][quantizer] for piece in pieces], axis=1)
            for name in names
        }
        for quantizer in QUANTIZERS
    }
    for table in found.values():
        for name, values in table.items():
            inputs.check_finite(np.moveaxis(values, 1, 0), f"outputs of {name}")
    return found


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _outputs(
    config: ModelConfig,
    names: tuple[str, ...],
    stride: int,
    params: dict[str, Any],
    tokens: Int[Array, "batch window"],
) -> Any:
    """Mean over positions of cos²(Wx, Qx), by site, matrix and quantiser: (layers, windows)."""

    def look(x: Float[Array, "batch window features"], layer: Array, site: str) -> Any:
        x, found = x[:, stride // 2 :: stride], {}
        x = _at_unit_scale(x, -1).astype(x.dtype)
        for name in names:
            if SITE_OF[name] != site:
                continue
            weight = params["blocks"][name][layer]
            weight = _at_unit_scale(weight).astype(weight.dtype)
            clean, found[name] = _apply(x, weight), {}
            for label, quantizer in QUANTIZERS.items():
                coarse = _apply(x, quantizer.apply(jax.random.key(0), weight))
                found[name][label] = cosine_squared(clean, coarse).mean(axis=1)
        return found

    return token_nll(config, params, tokens, observe=look)[1]


def _apply(x: Float[Array, "*batch inputs"], weight: Float[Array, "outputs inputs"]) -> Float[Array, ...]:
    return jnp.einsum("...i,oi->...o", x, weight, precision=jax.lax.Precision.HIGHEST)


def _check_weights(name: str, rows: Float[Array, "layers outputs"]) -> None:
    broken = np.flatnonzero(~np.isfinite(np.asarray(rows)).all(axis=1))
    if broken.size:
        raise invalid(
            f"finite weights in {name}",
            f"NaN or infinity in layer {broken[0]}",
            "check the checkpoint's weights",
        )


def _mean(values: Float[Any, "layers samples"], depth: list[int], estimator: str) -> Estimate:
    return Estimate.of_samples(np.asarray(values, np.float64)[depth].T, estimator=estimator)
