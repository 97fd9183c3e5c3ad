"""What quantising one matrix does: to its direction, its outputs, the next normalisation and the loss."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from signmag_jax.evidence import ConfidenceInterval, Estimate, bootstrap, invalid
from signmag_jax.evidence.compiling import jit
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.precision import at_least_float32
from signmag_jax.evidence.progress import progress
from signmag_jax.frechet import split
from signmag_jax.models import MATRICES, LanguageModel, ModelConfig, fetch
from signmag_jax.perturb import Ternarize

from . import inputs
from .granularity import TENSOR, Scale, check_scales, quantized
from .inputs import Windows
from .layer import LEVELS, LayerStates, entering, layer_states
from .quantization import BY_DIRECTION, cosine_squared
from .quantized_matrix import PARTS, QuantizationReport, QuantizedMatrix
from .setup import Setup, prepare

QUANTIZERS = BY_DIRECTION | {"bitnet": Ternarize.bitnet()}
"""Quantisers by name. BitNet b1.58's own scale is one more: the loss depends on it, a direction does not."""
Option = tuple[str, Scale]


@counting
def quantization_report(
    model: LanguageModel,
    tokens: Windows,
    *,
    quantizers: Sequence[str] | None = None,
    scales: Sequence[Scale] = (TENSOR,),
    layers: Sequence[int] | None = None,
    matrices: Sequence[str] | None = None,
    losses: bool = True,
    batch: int | None = None,
    resume: str | Path | None = None,
    source: Mapping[str, Any] | None = None,
) -> QuantizationReport:
    """Quantise each matrix alone, and measure the error with the model's own activations.

    Args:
      model: from `models.load`.
      tokens: at least 8 windows.
      quantizers: some of "sign", "ternary" and "bitnet"; by default all.
      scales: what shares one scale: "tensor", "row", or a number of neighbours in a row, like 32.
      layers: numbers of the layers that are quantised, from 0; by default all.
      matrices: names of the matrices that are quantised, such as up_proj; by default all.
      losses: measure ΔNLL too, which costs a forward pass for each matrix, quantiser and scale.
      batch: number of windows that are computed at a time for the losses; by default all.
      resume: folder of records of the losses.
      source: added to the provenance.

    Raises:
      InvalidInput: for fewer than 8 windows, unknown names, or activations, weights or a loss that are not
        finite.
    """
    options = checked_options(quantizers, scales)
    written = [[label, str(scale)] for label, scale in options]
    setup = prepare(
        model,
        None,
        tokens,
        {"experiment": "quantization report", "options": written},
        batch=batch,
        layers=layers,
        matrices=matrices,
        seed=None,
        resume=resume if losses else None,
        source=source,
    )
    targets = [(layer, name) for layer in setup.layers for name in setup.matrices]
    tables = _tables(setup, targets, options)
    damage, floor = _losses(setup, targets, options) if losses else ({}, None)
    entries = [
        _entry(layer, name, option, table, damage.get((layer, name, option)))
        for layer, name in targets
        for option, table in zip(options, tables[layer, name], strict=True)
    ]
    return QuantizationReport(tuple(entries), floor, setup.origin())


def checked_options(quantizers: Sequence[str] | None, scales: Sequence[Scale]) -> tuple[Option, ...]:
    """Every quantiser with every scale.

    Raises:
      InvalidInput: for one that does not exist, or one named twice.
    """
    labels = tuple(QUANTIZERS) if quantizers is None else tuple(quantizers)
    strange = [label for label in labels if label not in QUANTIZERS]
    if strange or not labels or len(set(labels)) < len(labels):
        raise invalid(f"distinct quantizers in {tuple(QUANTIZERS)}", strange or labels, "name some of them")
    return tuple((label, scale) for label in labels for scale in check_scales(scales))


Table = dict[str, Float[np.ndarray, " windows"]]


def _tables(
    setup: Setup, targets: Sequence[tuple[int, str]], options: tuple[Option, ...]
) -> dict[tuple[int, str], list[Table]]:
    """For each matrix one table for each option; window by window, so that the streams of one are kept."""
    model, tokens = setup.model, setup.evaluation
    rows: dict[tuple[int, str], list[Any]] = {target: [] for target in targets}
    with progress("quantised matrices", len(tokens) * len(targets)) as advance:
        for window in tokens:
            streams = _entering(model.config, model.params, jnp.asarray(window[None]))
            for layer, name in targets:
                blocks, at = model.params["blocks"], jnp.asarray(layer, jnp.int32)
                rows[layer, name].append(fetch(_row(model.config, name, options, blocks, streams[layer], at)))
                advance(1)
    tables = {}
    for (layer, name), pieces in rows.items():
        stacked = jax.tree.map(lambda *each: np.stack(each, axis=1).astype(np.float64), *pieces)
        inputs.check_finite(np.concatenate([*stacked.values()]).T, f"outputs of {name} in layer {layer}")
        tables[layer, name] = [{key: x[i] for key, x in stacked.items()} for i in range(len(options))]
    return tables


_entering = jit(entering, static_argnums=0)


@functools.partial(jit, static_argnums=(0, 1, 2))
def _row(
    config: ModelConfig,
    name: str,
    options: tuple[Option, ...],
    blocks: dict[str, Array],
    x: Float[Array, "1 window hidden"],
    layer: Int[Array, ""],
) -> dict[str, Float[Array, " options"]]:
    clean = layer_states(config, blocks, x, layer, name)
    weight = blocks[name][layer]

    def one(coarse: Array) -> dict[str, Array]:
        def transform(w: Array, _: Array, which: str) -> Array:
            return coarse if which == name else w

        changed = layer_states(config, blocks, x, layer, name, transform)
        return _of_weights(weight, coarse) | output_errors(clean, changed)

    # One program for the layer, however many options there are.
    return jax.lax.map(one, jnp.stack([_quantized(option, weight) for option in options]))


def _of_weights(
    weight: Float[Array, "outputs inputs"], coarse: Float[Array, "outputs inputs"]
) -> dict[str, Float[Array, ""]]:
    wide = at_least_float32(weight.dtype)
    w, q = weight.astype(wide), coarse.astype(wide)
    total = jnp.sum(w * w)
    # Zeros are kept exactly: c = v = 1.
    whole = jnp.where(total > 0, total, jnp.ones_like(total))
    return {
        "c": jnp.where(total == 0, jnp.ones_like(total), jnp.sum(w * q) / whole),
        "v": jnp.where(total == 0, jnp.ones_like(total), jnp.sum(q * q) / whole),
        "row_cosine": jnp.mean(cosine_squared(w, q)),
    }


def output_errors(clean: LayerStates, changed: LayerStates) -> dict[str, Float[Array, ""]]:
    """Means over tokens of the parts of the error at each level, relative to what it is an error of."""
    energies = {}
    for level in LEVELS:
        before, after = getattr(clean, level)[0], getattr(changed, level)[0]
        wide = at_least_float32(before.dtype)
        before, error = before.astype(wide), after.astype(wide) - before.astype(wide)
        parts = split(before, error)
        size = jnp.sum(before**2, axis=-1)
        for part, vector in zip(PARTS, (error, parts.radial, parts.transverse), strict=True):
            # No error is none in a signal of zero too, which has no direction; any other is infinite there.
            none = jnp.all(error == 0, axis=-1)
            energies[f"{level} {part}"] = jnp.mean(jnp.where(none, 0.0, jnp.sum(vector**2, axis=-1) / size))
        if level == "output":
            energies["signal"], energies["noise"] = jnp.sum(size), jnp.sum(error**2)
    return energies


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OneQuantized:
    """The weight transform that quantises one matrix. Which, and how, is data: one program serves them all.

    Args:
      names: matrices among which it is.
      options: the ways to quantise.
      layer, matrix, option: its layer, its index in `MATRICES`, and which of the options.
    """

    names: tuple[str, ...] = field(metadata={"static": True})
    options: tuple[Option, ...] = field(metadata={"static": True})
    layer: Any
    matrix: Any
    option: Any

    def __call__(self, weight: Array, layer: Array, name: str) -> Array:
        """The transformed weight, as `models.token_nll` asks for it."""
        if name not in self.names:
            return weight
        branches = [functools.partial(_quantized, option) for option in self.options]
        hit = (layer == self.layer) & (self.matrix == MATRICES.index(name))
        change = lambda w: jax.lax.switch(self.option, branches, w)  # noqa: E731
        # Not `where`, which would quantise every matrix of every layer and keep one.
        return jax.lax.cond(hit, change, lambda w: w, weight)


def _quantized(option: Option, weight: Array) -> Array:
    label, scale = option
    return quantized(QUANTIZERS[label], weight, scale)


def _losses(
    setup: Setup, targets: Sequence[tuple[int, str]], options: tuple[Option, ...]
) -> tuple[dict[tuple[int, str, Option], ConfidenceInterval], float]:
    cells = [(layer, name, option) for layer, name in targets for option in options]
    # Layer −1 is none: the program with nothing quantised.
    indices = [(-1, 0, 0), *((layer, MATRICES.index(m), options.index(o)) for layer, m, o in cells)]
    transforms = [
        OneQuantized(setup.matrices, options, *(jnp.asarray(i, jnp.int32) for i in each)) for each in indices
    ]
    rows = setup.sweep([setup.losses, *(functools.partial(setup.losses, one) for one in transforms)])
    floor = setup.noise_floor(rows)
    inputs.check_finite(np.stack(rows[2:], axis=1), "the loss with a quantised matrix")
    gaps = (bootstrap.mean((row - rows[0])[None], unit="nat/token") for row in rows[2:])
    return dict(zip(cells, gaps, strict=True)), floor


def _entry(
    layer: int, name: str, option: Option, table: Table, damage: ConfidenceInterval | None
) -> QuantizedMatrix:
    over = "mean over windows of the mean over tokens"
    parts = {
        level: {part: Estimate.of_samples(table[f"{level} {part}"], estimator=over) for part in PARTS}
        for level in LEVELS
    }
    noise = table["noise"].sum()
    sqnr = float(10 * np.log10(table["signal"].sum() / noise)) if noise > 0 else None
    # Those of the weights are the same in every window.
    c, v, cosine = (float(table[key][0]) for key in ("c", "v", "row_cosine"))
    return QuantizedMatrix(layer, name, *option, c, v, cosine, parts, sqnr, damage)
