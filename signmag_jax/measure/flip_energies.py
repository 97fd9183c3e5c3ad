"""What flipping some signs of one column adds to a layer's outputs: real flips, real activations."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from signmag_jax.evidence import Estimate, Picture, Result, keys
from signmag_jax.evidence.compiling import jit
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.precision import at_least_float32
from signmag_jax.evidence.result import by_draw
from signmag_jax.models import LanguageModel, ModelConfig, fetch

from . import inputs, sweep
from .activations import Alpha, alpha
from .association import Association, associate
from .chosen import check_profile
from .column_sample import COLUMNS, ByMatrix, ColumnSample, in_each, sampled
from .draw import subset
from .inputs import Windows
from .layer import LEVELS, LayerStates, entering, layer_states
from .metrics import check_draws
from .outlier_flips import check_rate
from .setup import Setup, prepare

RATE = 0.1
DRAWS = 4


@dataclass(frozen=True, eq=False)
class FlipEnergies(Result):
    """Result of `flip_energies`; estimates of shape (columns,), errors over windows.

    Args:
      sample: the columns, their α² and ‖w‖².
      flips: signs flipped in a column, exactly.
      energy: by level, energy of the change over that of the clean signal: "output", E‖δ Wx‖²/E‖Wx‖²;
        "stream", the residual stream before the next normalisation, E[‖δy‖²/‖y‖²]; "normalised", after it.
      association: by level, of the energies with α²‖w‖².
      samples: by level, energies of each column, draw and window.
      provenance: model, texts, seed, versions, device.
    """

    sample: ColumnSample
    flips: int
    energy: dict[str, Estimate]
    association: dict[str, Association]
    samples: dict[str, Float[np.ndarray, "columns draws windows"]]
    provenance: Mapping[str, Any]

    def summary(self) -> dict[str, str]:
        """What α²‖w‖² says of the energies at each level."""
        return {
            name: line
            for level, association in self.association.items()
            for name, line in association.lines(f"{self.sample.title()}, {level}").items()
        }

    def rows(self) -> list[dict[str, Any]]:
        """The energy at every level of every column, draw and window."""
        return [
            self.sample.row(index) | cell
            for index in range(len(self.sample.columns))
            for cell in by_draw(
                {level: table[index] for level, table in self.samples.items()},
                "level",
                "energy",
                flips=self.flips,
            )
        ]

    def picture(self) -> Picture:
        """The energies of every column against α²‖w‖², by level."""
        title = self.sample.title()
        series = {
            f"{title}, {level}": (self.sample.predictor, energy.value, energy.standard_error)
            for level, energy in self.energy.items()
        }
        y, title = "energy of the change over the signal's", f"{self.flips} flips in one column"
        return Picture("points", {"series": series, "x": "α²‖w‖²", "y": y, "title": title})


@counting
def flip_energies(
    model: LanguageModel,
    calibration: Windows,
    evaluation: Windows,
    *,
    layers: Sequence[int] | None = None,
    matrices: Sequence[str] = ("q_proj",),
    columns: int = COLUMNS,
    rate: float = RATE,
    draws: int = DRAWS,
    seed: int = 0,
    batch: int = 1,
    profile: Alpha | None = None,
    resume: str | Path | None = None,
    source: Mapping[str, Any] | None = None,
) -> ByMatrix[FlipEnergies]:
    """Flip exactly max(1, round(rate·m)) of a column's m signs and measure what changes downstream.

    For the layer's own output, E‖δ Wx‖² = 4·rate·E x_j²·‖W_·j‖² in the mean over masks. Here nothing is
    computed from that formula: signs are flipped, the layer is run again, and α² comes from other windows.

    Args:
      model: from `models.load`.
      calibration: windows that measure α² and choose the columns (at least 2).
      evaluation: other windows, on which the energies are measured (at least 2).
      layers: numbers of the layers whose columns are flipped, from 0; by default the middle one.
      matrices: names of the matrices whose columns are flipped, such as up_proj.
      columns: number of columns of each matrix, evenly spaced in log α², at least 5.
      rate: flip rate, as a part of the signs of a column, in (0, 0.5].
      draws: number of random masks of each column.
      seed: root seed.
      batch: number of windows that are computed at a time.
      profile: `alpha` of these calibration windows, if already computed.
      resume: folder of records to go on from.
      source: added to the provenance.

    Raises:
      InvalidInput: as in `column_flips`.

    Source: arXiv:2605.18933, experiment F, which evaluates the formula instead.
    """
    rate, count = check_rate(rate), check_draws(draws)
    own = {"experiment": "flip energies", "rate": rate, "draws": count}
    setup = prepare(model, calibration, evaluation, own, batch=batch, fewest=2, seed=seed, source=source)
    check_profile(profile, setup.configuration["calibration_sha256"])
    known = alpha(model, calibration) if profile is None else profile
    one = functools.partial(_in_matrix, setup, known, columns, rate, count)
    return in_each(one, model, layers, matrices, resume)


def _in_matrix(
    setup: Setup,
    profile: Alpha,
    columns: int,
    rate: float,
    count: int,
    layer: int,
    matrix: str,
    resume: Path | None,
) -> FlipEnergies:
    model, evaluation, batch = setup.model, setup.evaluation, setup.batch
    sample = sampled(model, profile, layer, matrix, columns)
    outputs = model.config.shapes()[matrix][0]
    # At least one: a column of few signs has no smaller change.
    flips = max(1, round(rate * outputs))
    key = keys.fold(keys.root(setup.seed), "flip energies", layer, matrix)
    rows = flipped_rows(key, jnp.asarray(sample.columns, jnp.int32), outputs, flips, count)
    setup = setup.within(layer, matrix, resume, columns=sample.columns.tolist())

    def task(start: int) -> sweep.Row:
        tokens = jnp.asarray(evaluation[start : start + batch])
        at, which = jnp.asarray(layer, jnp.int32), jnp.asarray(sample.columns, jnp.int32)
        by_level = fetch(_energies(model.config, matrix, model.params, tokens, at, which, rows))
        return np.stack([by_level[level] for level in LEVELS]).ravel()

    tasks = [functools.partial(task, start) for start in range(0, len(evaluation), batch)]
    each = len(LEVELS) * len(sample.columns) * count
    pieces = setup.sweep(tasks, entries=[each * len(tokens) for tokens in setup.batches])
    shape = (len(LEVELS), len(sample.columns), count, -1)
    table = np.concatenate([piece.reshape(shape) for piece in pieces], axis=-1)
    samples: dict[str, Any] = dict(zip(LEVELS, table, strict=True))
    for level, table in samples.items():
        inputs.check_finite(np.moveaxis(table, -1, 0), f"energies of the {level}")
    # Draws share their windows, so the windows are the independent units.
    means = {level: table.mean(axis=1) for level, table in samples.items()}
    name = "mean over windows of the energy of the change over that of the signal"
    return FlipEnergies(
        sample,
        flips,
        {level: Estimate.of_samples(table.T, estimator=name) for level, table in means.items()},
        {level: associate(sample.predictor, table) for level, table in means.items()},
        samples,
        setup.origin(),
    )


def relative(change: Float[Array, "*rows n"], signal: Float[Array, "*rows n"]) -> Float[Array, "*rows"]:
    """‖δ‖²/‖y‖² by row, in at least float32."""
    wide = at_least_float32(signal.dtype)
    change, signal = change.astype(wide), signal.astype(wide)
    return jnp.sum(change * change, axis=-1) / jnp.sum(signal * signal, axis=-1)


@functools.partial(jit, static_argnums=(2, 3, 4))
def flipped_rows(
    key: PRNGKeyArray, columns: Int[Array, " columns"], outputs: int, flips: int, count: int
) -> Int[Array, "columns draws flips"]:
    """Rows of the flipped signs: each column and draw has its own, `flips` of `outputs`."""

    def one(column: Array, draw: Array) -> Array:
        return subset(keys.fold(key, column, draw), outputs, flips, flips)

    draws = jnp.arange(count, dtype=jnp.int32)
    return jax.vmap(lambda column: jax.vmap(lambda draw: one(column, draw))(draws))(columns)


@functools.partial(jit, static_argnums=(0, 1))
def _energies(
    config: ModelConfig,
    matrix: str,
    params: dict[str, Any],
    tokens: Int[Array, "batch window"],
    layer: Int[Array, ""],
    columns: Int[Array, " columns"],
    rows: Int[Array, "columns draws flips"],
) -> dict[str, Float[Array, "columns draws batch"]]:
    x = entering(config, params, tokens)[layer]
    # Once for all columns and draws: a changed column runs its own layer alone.
    clean = layer_states(config, params["blocks"], x, layer, matrix)

    def one(piece: tuple[Array, Array]) -> dict[str, Array]:
        column, flipped = piece

        def transform(weight: Array, _: Array, name: str) -> Array:
            return weight if name != matrix else weight.at[flipped, column].multiply(-1.0)

        return energies(clean, layer_states(config, params["blocks"], x, layer, matrix, transform))

    # One after another: side by side each would hold a layer's activations.
    count, draws = rows.shape[:2]
    tables = jax.lax.map(one, (jnp.repeat(columns, draws), rows.reshape(count * draws, -1)))
    return {level: table.reshape(count, draws, -1) for level, table in tables.items()}


def energies(clean: LayerStates, changed: LayerStates) -> dict[str, Float[Array, " batch"]]:
    """Relative energy of the change in each window, by level."""
    wide = at_least_float32(clean.output.dtype)
    change = (changed.output - clean.output).astype(wide)
    signal = clean.output.astype(wide)
    # The output by its mean energy, as in the formula; streams are normalised token by token.
    energies = {"output": jnp.sum(change**2, axis=(1, 2)) / jnp.sum(signal**2, axis=(1, 2))}
    for level in LEVELS[1:]:
        before, after = getattr(clean, level), getattr(changed, level)
        energies[level] = relative(after - before, before).mean(axis=1)
    return energies
