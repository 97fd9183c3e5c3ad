"""What errors of a fixed direction cost: shifts, pruning, sign and ternary quantisation, to second order."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from signmag_jax.evidence import Estimate, Picture, Result, invalid, keys
from signmag_jax.evidence.result import named
from signmag_jax.models import MATRICES, LanguageModel, ModelConfig
from signmag_jax.perturb import MagnitudeShift, Perturbation, Prune, SignQuantize, Ternarize

from . import curvature, inputs, slopes, sweep
from .inputs import Windows
from .setup import prepare

ERRORS: dict[str, Perturbation] = {
    "shift": MagnitudeShift(0.02),
    "prune": Prune(0.05),
    "sign": SignQuantize(),
    "ternary": Ternarize(),
}
"""Deterministic, so that the error is one direction."""

PROBES = 3
AGREEMENT = 0.25
PROBE_PASSES, WHOLE_PASSES = 8, 5


@dataclass(frozen=True, eq=False)
class ErrorCost(Result):
    """Predicted cost of one deterministic error e at its actual size, in nats per token.

    Args:
      relative_norm: ‖e‖/‖w‖ over everything that takes part.
      first, second: `g·e` and `½ eᵀHe` of the error in all matrices together, exact on the windows.
      predicted: their sum.
      measured: ΔNLL with all errors in place.
      meant: whether the two agree within 25% or 3 standard errors: beyond that the quadratic model is not
        meant at this size.
      each_first: by matrix, `g·e` of the error in that matrix of one layer alone, (layers,).
      each_second: by matrix, `½ eᵀHe` of the same, by random signs of the blocks, (layers,).
    """

    SHOWN = ("resolved",)

    relative_norm: float
    first: Estimate
    second: Estimate
    predicted: Estimate
    measured: Estimate
    meant: bool = field(metadata=named("quadratic_model_meant"))
    each_first: dict[str, Estimate]
    each_second: dict[str, Estimate]

    @property
    def resolved(self) -> dict[str, Any]:
        """By matrix, whether each layer's first and second order are separated from zero."""
        return {
            name: {"first": slopes.separated(first), "second": slopes.separated(self.each_second[name])}
            for name, first in self.each_first.items()
        }


@dataclass(frozen=True, eq=False)
class ErrorResponse(Result):
    """Result of `error_response`: a cost for each error by name, the layers of its arrays, provenance."""

    errors: dict[str, ErrorCost]
    layers: tuple[int, ...]
    provenance: Mapping[str, Any]

    def summary(self) -> dict[str, str]:
        """Both orders, their sum and the measured cost of every error."""
        summary = {}
        for name, cost in self.errors.items():
            for part in ("first", "second", "predicted", "measured"):
                summary[f"{name}: {part}"] = str(getattr(cost, part))
            if not cost.meant:
                summary[f"{name}: predicted"] += "; not meant at this size of error"
        return summary

    def rows(self) -> list[dict[str, Any]]:
        """One row for each error, matrix and layer: both orders with their errors."""
        return [
            {
                "error": name,
                "matrix": matrix,
                "layer": layer,
                "first": float(first.value[index]),
                "first_se": float(first.standard_error[index]),
                "second": float(cost.each_second[matrix].value[index]),
                "second_se": float(cost.each_second[matrix].standard_error[index]),
            }
            for name, cost in self.errors.items()
            for matrix, first in cost.each_first.items()
            for index, layer in enumerate(self.layers)
        ]

    def picture(self) -> Picture:
        """Predicted and measured cost of every error."""
        values = {}
        for name, cost in self.errors.items():
            for part, estimate in (("predicted", cost.predicted), ("measured", cost.measured)):
                values[f"{name}, {part}"] = (estimate.value, *estimate.interval(2.0))
        title = "Errors of a fixed direction, to second order and in place"
        return Picture("bars", {"values": values, "y": "ΔNLL, nats per token", "title": title})


def error_response(
    model: LanguageModel,
    evaluation: Windows,
    errors: Mapping[str, Perturbation] = ERRORS,
    *,
    probes: int = PROBES,
    layers: Sequence[int] | None = None,
    matrices: Sequence[str] | None = None,
    seed: int = 0,
    resume: str | Path | None = None,
    source: Mapping[str, Any] | None = None,
) -> ErrorResponse:
    """`ΔNLL ≈ g·e + ½ eᵀHe` for deterministic errors e = w' − w, in all matrices and in each alone.

    All together: exact second derivative along e. Each matrix of each layer: one product with Σ_b s_b e_b,
    s_b random signs of the blocks b, gives `E[s_b e_bᵀ H Σ_c s_c e_c] = e_bᵀ H e_b` for every block at once.
    σ and scales are those of each tensor.

    Args:
      model: from `models.load`.
      evaluation: windows on which everything is scored.
      errors: deterministic perturbations by name; by default a shift of 0.02σ, pruning below 0.05σ, sign and
        ternary quantisation. A random one is refused: its expected cost is a matter of draws.
      probes: of the blocks in each window, at least 2.
      layers: numbers of the layers that take part; by default all.
      matrices: names of the matrices that take part; by default all.
      seed: root seed.
      resume: folder of records to go on from.
      source: added to the provenance.

    Raises:
      InvalidInput: for fewer than two probes, unknown layers or matrices, a random perturbation, or a result
        that is not finite.
    """
    if probes < 2:
        raise invalid("probes >= 2", probes, "one probe has no standard error")
    for name, error in errors.items():
        check_deterministic(name, error)
    named_errors = {name: repr(error) for name, error in errors.items()}
    options = {"experiment": "error response", "errors": named_errors, "probes": probes, "seed": seed}
    setup = prepare(
        model, None, evaluation, options, layers, matrices, 1, fewest=1, resume=resume, source=source
    )
    evaluation, chosen = setup.evaluation, (setup.layers, setup.matrices)
    taken = np.zeros(model.config.layers)
    taken[list(setup.layers)] = 1
    movable = curvature.Movable(jnp.asarray(taken, model.params["embed"].dtype), {})

    @functools.lru_cache(maxsize=1)
    def direction(name: str) -> curvature.Weights:
        """Built when first needed: of all errors, one at a time is in memory."""
        return _direction({each: model.params["blocks"][each] for each in chosen[1]}, movable, errors[name])

    tasks = []
    for name in errors:
        for index in range(len(evaluation)):
            window = jnp.asarray(evaluation[index : index + 1])
            key = keys.fold(keys.root(seed), "error response", name, index)
            along = functools.partial(direction, name)
            tasks.append(functools.partial(_whole, model, window, along))
            tasks += [
                functools.partial(_probe, model, window, along, keys.fold(key, p)) for p in range(probes)
            ]
    rows = setup.sweep(tasks)
    for row in rows:
        inputs.check_finite(row[None], "the cost of an error")
    each = len(evaluation) * (1 + probes)
    found = {name: _cost(rows[i * each : (i + 1) * each], probes, *chosen) for i, name in enumerate(errors)}
    return ErrorResponse(found, setup.layers, setup.origin())


def check_deterministic(name: str, error: Perturbation) -> None:
    """Refuse an error that is drawn.

    Raises:
      InvalidInput: if two keys give different weights.
    """
    if not is_deterministic(error):
        raise invalid("deterministic errors", name, "random flips and noise belong to `linear_response`")


def is_deterministic(error: Perturbation) -> bool:
    """Whether two keys give the same weights."""
    w = jnp.asarray(np.random.default_rng(0).normal(size=(16, 16)), jnp.float32)
    first, second = (np.asarray(error.apply(jax.random.key(seed), w)) for seed in (0, 1))
    return np.array_equal(first, second)


def _whole(model: LanguageModel, window: Array, direction: Callable[[], curvature.Weights]) -> sweep.Row:
    """Loss, `g·e`, `eᵀHe`, loss with the error, ‖e‖² and ‖w‖² of one window."""
    error, config, params = direction(), model.config, model.params
    known = np.asarray(curvature.along(config, params, window, error))
    return np.concatenate([known, np.asarray(_moved(config, params, window, error))])


@functools.partial(jax.jit, static_argnums=0)
def _moved(
    config: ModelConfig, params: dict[str, Any], tokens: Int[Array, "batch window"], error: curvature.Weights
) -> Float[Array, " 3"]:
    weights = {name: params["blocks"][name] for name in error}
    after = curvature.loss(config, params, tokens, {name: w + error[name] for name, w in weights.items()})
    size = sum(jnp.sum(e**2) for e in error.values())
    taken = {name: jnp.any(e != 0, axis=(1, 2)) for name, e in error.items()}
    norm = sum(
        jnp.sum(jnp.where(taken[name], jnp.sum(w**2, axis=(1, 2)), 0.0)) for name, w in weights.items()
    )
    return jnp.stack([after, jnp.asarray(size), jnp.asarray(norm)])


def _probe(
    model: LanguageModel, window: Array, direction: Callable[[], curvature.Weights], key: PRNGKeyArray
) -> sweep.Row:
    """`g·e` and one probe of `eᵀHe` of every matrix of every layer."""
    return np.asarray(_blocks(model.config, model.params, window, direction(), key)).ravel()


@functools.partial(jax.jit, static_argnums=0)
def _blocks(
    config: ModelConfig,
    params: dict[str, Any],
    tokens: Int[Array, "batch window"],
    error: curvature.Weights,
    key: PRNGKeyArray,
) -> Float[Array, "2 matrices layers"]:
    weights = {name: params["blocks"][name] for name in error}
    signed = {
        name: e * jax.random.rademacher(keys.fold(key, name), (len(e), 1, 1), e.dtype)
        for name, e in error.items()
    }
    gradient = jax.grad(functools.partial(curvature.loss, config, params, tokens))
    slope, bent = jax.jvp(gradient, (weights,), (signed,))
    names = [name for name in MATRICES if name in error]
    first = [jnp.sum(slope[name] * error[name], axis=(1, 2)) for name in names]
    second = [jnp.sum(bent[name] * signed[name], axis=(1, 2)) for name in names]
    return jnp.stack([jnp.stack(first), jnp.stack(second)])


@jax.jit
def _direction(
    weights: curvature.Weights, movable: curvature.Movable, error: Perturbation
) -> curvature.Weights:
    """w' − w of each layer's own tensor; zeros in layers that take no part. No draw: the key is not used."""

    def one(w: Float[Array, "outputs inputs"]) -> Float[Array, "outputs inputs"]:
        return error.apply(jax.random.key(0), w) - w

    return curvature.masked({name: jax.vmap(one)(w) for name, w in weights.items()}, movable)


def _cost(rows: list[Any], probes: int, layers: tuple[int, ...], names: tuple[str, ...]) -> ErrorCost:
    each = 1 + probes
    clean, first, second, after, size, norm = np.stack(rows[::each]).T
    blocks = np.stack(
        [np.stack(rows[start + 1 : start + each]) for start in range(0, len(rows), each)], axis=1
    )
    # probes, windows, orders, matrices, layers
    blocks = blocks.reshape(probes, len(clean), 2, len(names), -1)[..., list(layers)]
    predicted, measured = (
        _over(first + second / 2, "quadratic model"),
        _over(after - clean, "all errors in place"),
    )
    gap = abs(measured.value - predicted.value)
    error = float(slopes.standard_error((after - clean - first - second / 2)[None]))
    return ErrorCost(
        float(np.sqrt(size[0] / norm[0])) if norm[0] > 0 else 0.0,
        _over(first, "gradient"),
        _over(second / 2, "second derivative along the error"),
        predicted,
        measured,
        bool(gap <= max(AGREEMENT * abs(measured.value), slopes.SEPARATION * error)),
        {name: _table(blocks[:1, :, 0, i], "gradient") for i, name in enumerate(names)},
        {name: _table(blocks[:, :, 1, i] / 2, "random signs of blocks") for i, name in enumerate(names)},
    )


def _over(values: Float[np.ndarray, " windows"], what: str) -> Estimate:
    return _table(values[None], what)


def _table(table: Float[np.ndarray, "probes windows ..."], what: str) -> Estimate:
    error = slopes.standard_error(table)
    windows = table.shape[1]
    name = f"{what}, over {windows} windows" if windows > 1 else f"{what}, on one window"
    return Estimate(table.mean(axis=(0, 1)), error, windows, "nat/token", name)
