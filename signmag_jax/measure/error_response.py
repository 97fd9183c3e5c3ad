"""What errors of a fixed direction cost: shifts, pruning, sign and ternary quantisation, to second order."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence import Estimate, invalid, keys
from signmag_jax.evidence.compiling import jit
from signmag_jax.evidence.counts import counting
from signmag_jax.models import MATRICES, LanguageModel, fetch
from signmag_jax.perturb import MagnitudeShift, Perturbation, Prune, SignFlip, SignQuantize, Ternarize

from . import curvature, inputs, slopes, sweep
from .curvature import WindowLoss
from .error_cost import ErrorCost, ErrorResponse
from .inputs import Windows
from .setup import Options, Setup, prepare
from .shift_parts import GROWTH, REST, ShiftPart
from .stretch import Movable

ERRORS: dict[str, Perturbation] = {
    "shift": MagnitudeShift(0.02),
    "growth": ShiftPart.of(GROWTH, 0.02),
    "rest": ShiftPart.of(REST, 0.02),
    "prune": Prune(0.05),
    "sign": SignQuantize(),
    "ternary": Ternarize(),
}
"""The default errors, deterministic, so that each of them is one direction."""

PROBES = 3
AGREEMENT = 0.25
"""Part of the cost by which two orders may miss it and still be said to describe it."""
# In forward passes: a product with H, forward over reverse; two derivatives along one error, and the loss
# with it.
PROBE_PASSES, WHOLE_PASSES = 8, 5


@counting
def error_response(
    model: LanguageModel,
    evaluation: Windows,
    errors: Mapping[str, Perturbation] = ERRORS,
    *,
    probes: int = PROBES,
    **options: Unpack[Options],
) -> ErrorResponse:
    """`ΔNLL ≈ g·e + ½ eᵀHe` for deterministic errors e = w' − w, in all matrices and in each alone.

    All at once: exact second derivative along e. Each matrix of each layer: one product with Σ_b s_b e_b, s_b
    random signs of the blocks b, gives `E[s_b e_bᵀ H Σ_c s_c e_c] = e_bᵀ H e_b` for every block at once.
    σ and scales are those of each tensor.

    Args:
      model: from `models.load`.
      evaluation: windows on which everything is scored.
      errors: deterministic perturbations by name; by default a shift of 0.02σ, its common growth and the rest
        of it, pruning below 0.05σ, sign and ternary quantisation. A random one is refused: its expected cost
        is a matter of draws.
      probes: number of random probes of the matrices' second derivatives in each window, at least 2.
      options: as in `Options`.

    Raises:
      InvalidInput: for fewer than two probes, unknown layers or matrices, a random perturbation, or a result
        that is not finite.
    """
    inputs.check_probes(probes)
    for name, error in errors.items():
        check_deterministic(name, error)
    written = {name: repr(error) for name, error in errors.items()}
    own = {"experiment": "error response", "errors": written, "probes": probes}
    setup = prepare(model, None, evaluation, own, batch=1, fewest=1, **options)
    movable = Movable.of(model, setup.matrices, setup.layers)
    weights = {name: model.params["blocks"][name] for name in setup.matrices}

    @functools.lru_cache(maxsize=1)
    def direction(name: str) -> curvature.Weights:
        """Built when first needed: of all errors, one at a time is in memory."""
        return movable.weights({matrix: _error_of(errors[name], w) for matrix, w in weights.items()})

    tasks = []
    for name in errors:
        for index, window in enumerate(setup.evaluation):
            loss, along = WindowLoss.of(model, window), functools.partial(direction, name)
            key = keys.fold(keys.root(setup.seed), "error response", name, index)
            tasks.append(functools.partial(_whole, loss, along))
            tasks += [functools.partial(_probe, loss, along, keys.fold(key, p)) for p in range(probes)]
    # What `_whole` gives, then probes: two orders of every matrix of every layer.
    blocks = 2 * len(setup.matrices) * model.config.layers
    sizes = [6, *([blocks] * probes)] * (len(errors) * len(setup.evaluation))
    rows = setup.sweep(tasks, entries=sizes)
    for row in rows:
        inputs.check_finite(row[None], "the cost of an error")
    each = len(rows) // len(errors)
    costs = {name: _cost(rows[i * each :][:each], probes, setup) for i, name in enumerate(errors)}
    return ErrorResponse(costs, setup.layers, setup.origin())


def check_deterministic(name: str, error: Perturbation) -> None:
    """Refuse an error that is drawn.

    Raises:
      InvalidInput: if two keys give different weights.
    """
    if not is_deterministic(error):
        raise invalid("deterministic errors", name, "random flips and noise belong to `linear_response`")


def is_deterministic(error: Perturbation) -> bool:
    """Whether two keys give the same weights."""
    # Flips by their class: a rare one changes none of these few weights, by either key.
    parts = jax.tree.leaves(error, is_leaf=lambda part: isinstance(part, SignFlip))
    if any(isinstance(part, SignFlip) and np.any(np.mod(part.rate, 1)) for part in parts):
        return False
    w = jnp.asarray(np.random.default_rng(0).normal(size=(16, 16)), jnp.float32)
    first, second = (np.asarray(error.apply(jax.random.key(seed), w)) for seed in (0, 1))
    return np.array_equal(first, second)


@jit
def _error_of(
    error: Perturbation, weights: Float[Array, "layers outputs inputs"]
) -> Float[Array, "layers outputs inputs"]:
    """w' − w of each layer's own tensor. No draw: the key is not used."""
    return jax.vmap(lambda w: error.apply(jax.random.key(0), w) - w)(weights)


def _whole(loss: WindowLoss, direction: Callable[[], curvature.Weights]) -> sweep.Row:
    """Loss, `g·e`, `eᵀHe`, loss with the error, ‖e‖² and ‖w‖² of one window."""
    error = direction()
    return np.concatenate([fetch(curvature.along(loss, error)), fetch(_moved(loss, error))])


@jit
def _moved(loss: WindowLoss, error: curvature.Weights) -> Float[Array, " 3"]:
    weights = loss.weights(tuple(error))
    after = loss({name: w + error[name] for name, w in weights.items()})
    size = sum(jnp.sum(e**2) for e in error.values())
    # ‖w‖² of the layers in which there is an error: those that take part.
    taken = {name: jnp.any(e != 0, axis=(1, 2)) for name, e in error.items()}
    norm = sum(
        jnp.sum(jnp.where(taken[name], jnp.sum(w**2, axis=(1, 2)), 0.0)) for name, w in weights.items()
    )
    return jnp.stack([after, jnp.asarray(size), jnp.asarray(norm)])


def _probe(loss: WindowLoss, direction: Callable[[], curvature.Weights], key: PRNGKeyArray) -> sweep.Row:
    """`g·e` and one probe of `eᵀHe` of every matrix of every layer."""
    return fetch(_blocks(loss, direction(), key)).ravel()


@jit
def _blocks(
    loss: WindowLoss, error: curvature.Weights, key: PRNGKeyArray
) -> Float[Array, "2 matrices layers"]:
    signed = {
        name: e * jax.random.rademacher(keys.fold(key, name), (len(e), 1, 1), e.dtype)
        for name, e in error.items()
    }
    # Forward over reverse: one product with H serves all blocks, whose cross terms the signs average out.
    slope, bent = jax.jvp(jax.grad(loss), (loss.weights(tuple(error)),), (signed,))
    names = [name for name in MATRICES if name in error]
    first = [jnp.sum(slope[name] * error[name], axis=(1, 2)) for name in names]
    second = [jnp.sum(bent[name] * signed[name], axis=(1, 2)) for name in names]
    return jnp.stack([jnp.stack(first), jnp.stack(second)])


def _cost(rows: Sequence[Any], probes: int, setup: Setup) -> ErrorCost:
    each, names = 1 + probes, setup.matrices
    clean, first, second, after, size, norm = np.stack(rows[::each]).T
    # probes, windows, orders, matrices, layers
    table = np.stack([np.stack(rows[1 + p :: each]) for p in range(probes)])
    blocks = table.reshape(probes, len(clean), 2, len(names), -1)[..., list(setup.layers)]
    predicted = _over(first + second / 2, "quadratic model")
    measured = _over(after - clean, "all errors applied")
    gap = abs(measured.value - predicted.value)
    # Paired on each window: what makes a text hard drops out.
    error = float(slopes.standard_error((after - clean - first - second / 2)[None]))
    return ErrorCost(
        relative_norm=float(np.sqrt(size[0] / norm[0])) if norm[0] > 0 else 0.0,
        first=_over(first, "gradient"),
        second=_over(second / 2, "second derivative along the error"),
        predicted=predicted,
        measured=measured,
        meant=bool(gap <= max(AGREEMENT * abs(measured.value), slopes.SEPARATION * error)),
        # `g·e` has no random signs: every probe holds the same.
        matrix_first={
            name: _table(blocks[:1, :, 0, i].sum(axis=-1), "gradient") for i, name in enumerate(names)
        },
        matrix_second={
            name: _table(blocks[:, :, 1, i].sum(axis=-1) / 2, "random signs of blocks")
            for i, name in enumerate(names)
        },
        each_first={name: _table(blocks[:1, :, 0, i], "gradient") for i, name in enumerate(names)},
        each_second={
            name: _table(blocks[:, :, 1, i] / 2, "random signs of blocks") for i, name in enumerate(names)
        },
    )


def _over(values: Float[np.ndarray, " windows"], what: str) -> Estimate:
    return _table(values[None], what)


def _table(table: Float[np.ndarray, "probes windows ..."], what: str) -> Estimate:
    windows = table.shape[1]
    name = f"{what}, over {windows} windows" if windows > 1 else f"{what}, on one window"
    return slopes.mean(table, "nat/token", name)
