"""How well one-bit and ternary weights keep the direction of a trained matrix and of its outputs (Fact 1)."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from signmag_jax.evidence import invalid, keys
from signmag_jax.evidence.compiling import jit
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.precision import unit_of
from signmag_jax.evidence.progress import progress
from signmag_jax.models import SITE_OF, LanguageModel, ModelConfig, fetch, token_nll
from signmag_jax.perturb import Perturbation, SignQuantize, Ternarize

from . import inputs, sweep
from .alignment import Alignment, Quantization
from .inputs import Windows

BY_DIRECTION: dict[str, Perturbation] = {"sign": SignQuantize(), "ternary": Ternarize()}
"""Per tensor; "ternary" has BitNet b1.58's threshold and the least-squares scale (cos² ignores the scale)."""


@counting
def quantization(
    model: LanguageModel,
    tokens: Windows | None = None,
    *,
    layers: Sequence[int] | None = None,
    matrices: Sequence[str] | None = None,
    quantizers: Sequence[str] = tuple(BY_DIRECTION),
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
      layers: numbers of the layers that are quantised, from 0; by default all.
      matrices: names of the matrices that are quantised, such as up_proj; by default all.
      quantizers: names of the quantisers, some of sign and ternary.
      positions: number of evenly spaced positions of each window that serve as inputs.
      spherical: number of random inputs of each matrix, at least 2.
      seed: of the random inputs.
      batch: number of windows that are computed at a time.
      source: added to the provenance.

    Raises:
      InvalidInput: for unknown layers, matrices or quantisers, fewer than 2 windows, inputs or positions.

    Source: arXiv:2605.18933, Fact 1.
    """
    taking_part, names = inputs.selected(model.config, layers, matrices)
    if spherical < 2 or positions < 1:
        raise invalid("spherical >= 2 and positions >= 1", (spherical, positions), "use the defaults")
    asked = tuple(dict.fromkeys(quantizers))
    if not asked or not set(asked) <= set(BY_DIRECTION):
        raise invalid(f"quantizers among {tuple(BY_DIRECTION)}", quantizers, "name some of them")
    real, read = None, {}
    if tokens is not None:
        tokens = inputs.checked_windows(model, tokens, "calibration", inputs.FEWEST_CALIBRATION)
        real = _real(model, tokens, names, asked, positions, batch)
        read = {"tokens_sha256": inputs.sha256_of_tokens(tokens)}
    alignments: dict[str, dict[str, Alignment]] = {quantizer: {} for quantizer in asked}
    with progress("quantisation", len(names)) as advance:
        for name in names:
            key = keys.fold(keys.root(seed), "quantization", name)
            tables = fetch(_weights(model.params["blocks"][name], key, spherical, asked))
            # cos² counts a zero row as 0 but leaves NaN visible, so one quantiser tells for the weights.
            inputs.check_finite(tables[asked[0]][0], f"weights in {name}", "layer")
            for quantizer, (rows, outputs) in tables.items():
                windows = None if real is None else real[quantizer][name]
                alignments[quantizer][name] = Alignment.of(rows, outputs, windows, taking_part)
            advance(1)
    origin = inputs.provenance_of(
        model, source, seed=seed, spherical=spherical, positions=positions, scale="per tensor", **read
    )
    return Quantization(alignments, taking_part, origin)


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


@functools.partial(jit, static_argnums=(2, 3))
def _weights(
    stacked: Float[Array, "layers outputs inputs"], key: PRNGKeyArray, count: int, quantizers: tuple[str, ...]
) -> dict[str, tuple[Float[Array, "layers outputs"], Float[Array, "layers count"]]]:
    """Per quantiser: cos² of every row, and of the outputs for `count` Gaussian inputs."""

    def one(piece: tuple[Array, Array]) -> Any:
        layer, weight = piece
        weight = _at_unit_scale(weight).astype(weight.dtype)
        # cos² does not see lengths: Gaussian inputs are as good as those on the sphere.
        x = jax.random.normal(keys.fold(key, layer), (count, weight.shape[1]), weight.dtype)
        clean, aligned = _apply(x, weight), {}
        for name in quantizers:
            coarse = BY_DIRECTION[name].apply(key, weight)
            aligned[name] = cosine_squared(weight, coarse), cosine_squared(clean, _apply(x, coarse))
        return aligned

    return jax.lax.map(one, (jnp.arange(stacked.shape[0], dtype=jnp.int32), stacked))


def _real(
    model: LanguageModel,
    tokens: Windows,
    names: tuple[str, ...],
    quantizers: tuple[str, ...],
    positions: int,
    batch: int,
) -> dict[str, dict[str, Float[np.ndarray, "layers windows"]]]:
    stride = max(1, tokens.shape[1] // positions)
    program = functools.partial(_outputs, model.config, names, quantizers, stride, model.params)
    pieces = sweep.over_windows("quantised outputs", tokens, batch, program)
    tables = {
        quantizer: {
            name: np.concatenate([piece[SITE_OF[name]][name][quantizer] for piece in pieces], axis=1)
            for name in names
        }
        for quantizer in quantizers
    }
    for table in tables.values():
        for name, values in table.items():
            inputs.check_finite(np.moveaxis(values, 1, 0), f"outputs of {name}")
    return tables


@functools.partial(jit, static_argnums=(0, 1, 2, 3))
def _outputs(
    config: ModelConfig,
    names: tuple[str, ...],
    quantizers: tuple[str, ...],
    stride: int,
    params: dict[str, Any],
    tokens: Int[Array, "batch window"],
) -> Any:
    """Mean over positions of cos²(Wx, Qx), by site, matrix and quantiser: (layers, windows)."""

    def look(x: Float[Array, "batch window features"], layer: Array, site: str) -> Any:
        # The middles of equal stretches: the first token of a window is like no other.
        x, aligned = x[:, stride // 2 :: stride], {}
        x = _at_unit_scale(x, -1).astype(x.dtype)
        for name in (each for each in names if SITE_OF[each] == site):
            weight = params["blocks"][name][layer]
            weight = _at_unit_scale(weight).astype(weight.dtype)
            clean, aligned[name] = _apply(x, weight), {}
            for label in quantizers:
                coarse = _apply(x, BY_DIRECTION[label].apply(jax.random.key(0), weight))
                aligned[name][label] = cosine_squared(clean, coarse).mean(axis=1)
        return aligned

    return token_nll(config, params, tokens, observe=look)[1]


def _apply(x: Float[Array, "*batch inputs"], weight: Float[Array, "outputs inputs"]) -> Float[Array, ...]:
    return jnp.einsum("...i,oi->...o", x, weight, precision=jax.lax.Precision.HIGHEST)
