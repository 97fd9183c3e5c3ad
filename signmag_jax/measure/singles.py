"""Single weights: which of them cost most when flipped, and what the flip of each really costs."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from signmag_jax.evidence import keys
from signmag_jax.evidence.compiling import jit
from signmag_jax.evidence.precision import at_least_float32
from signmag_jax.evidence.progress import progress
from signmag_jax.models import MATRICES, LanguageModel, fetch, token_nll

from . import curvature
from .curvature import WindowLoss
from .inputs import Windows
from .place import Changed, Place
from .stretch import Movable


@jit
def _derivatives(loss: WindowLoss, place: Place) -> Float[Array, " 3"]:
    def at(amount: Array) -> Array:
        # The weight times 1 − 2·amount: itself at 0, its flip at 1.
        moved = Changed(place, 1 - 2 * amount, jnp.zeros_like(amount))
        return token_nll(loss.config, loss.params, loss.tokens, moved).mean()

    def rising(amount: Array) -> tuple[Array, Array]:
        return jax.jvp(at, (amount,), (jnp.ones_like(amount),))

    # In w(1 − 2s) the second derivative is 4 H w², of which a Taylor sum takes half.
    none = jnp.zeros((), loss.params["embed"].dtype)
    (clean, first), (_, second) = jax.jvp(rising, (none,), (jnp.ones_like(none),))
    return jnp.stack([clean, first, second / 2])


def brackets(model: LanguageModel, window: Int[np.ndarray, " window"], place: Place) -> tuple[float, float]:
    """First- and second-order cost of the flip on one window, `−2 g w` and `2 H w²`: about 4 forward passes.

    Forward over forward along the one weight, so nothing is kept for a backward pass.
    """
    _, first, second = fetch(_derivatives(WindowLoss.of(model, window), _as_arrays(place)))
    return float(first), float(second)


def _as_arrays(place: Place) -> Place:
    # As data, so that every weight of a model runs one program.
    return Place(*(jnp.asarray(part, jnp.int32) for part in place))


def shortlist(
    model: LanguageModel,
    calibration: Windows,
    count: int,
    layers: Sequence[int],
    names: tuple[str, ...],
    seed: int,
) -> list[tuple[Place, float]]:
    """The `count` weights of largest `2 G_ii w_i²`, G the diagonal of the Gauss–Newton matrix, descending.

    One backward pass a window, see `curvature.fisher`.
    """
    return largest(predicted_costs(model, calibration, layers, names, seed), count)


def predicted_costs(
    model: LanguageModel,
    calibration: Windows,
    layers: Sequence[int],
    names: tuple[str, ...],
    seed: int,
    part: slice = slice(None),
) -> curvature.Weights:
    """`2 G_ii w_i²` of every weight on a part of the windows, by one backward pass each."""
    root = keys.fold(keys.root(seed), "deciding weights")
    movable = Movable.of(model, names, layers)
    cost: Any = {name: jnp.zeros_like(model.params["blocks"][name]) for name in names}
    chosen = range(len(calibration))[part]
    with progress("shortlist", len(chosen)) as advance:
        for index in chosen:
            loss = WindowLoss.of(model, calibration[index])
            cost = _add(cost, _fisher(loss, names, keys.fold(root, index)), loss.weights(names), movable)
            advance()
    for name in names:  # one after the other: no second copy of them all exists
        cost[name] = cost[name] / len(chosen)
    return cost


def costs_of(cost: curvature.Weights, places: Sequence[Place]) -> list[float]:
    """The costs of some weights."""
    if not places:
        return []
    at = [jnp.asarray(part, jnp.int32) for part in zip(*(place[1:] for place in places), strict=True)]
    tables = {name: fetch(_at(table, *at)).tolist() for name, table in cost.items()}
    return [tables[place.name][index] for index, place in enumerate(places)]


@jit
def _at(
    table: Float[Array, "layers outputs inputs"],
    layers: Int[Array, " places"],
    rows: Int[Array, " places"],
    columns: Int[Array, " places"],
) -> Float[Array, " places"]:
    # A place of another matrix may lie outside of this one.
    return table.at[layers, rows, columns].get(mode="fill", fill_value=0.0)


def largest(cost: curvature.Weights, count: int) -> list[tuple[Place, float]]:
    """The `count` weights of largest positive cost, descending."""
    candidates = []
    for name in cost:
        shape = cost[name].shape[1:]
        values, within = fetch(_largest(cost[name], min(count, int(np.prod(shape)))))
        # Of all layers; of equal ones the first.
        best = np.argsort(-values, axis=None, kind="stable")[:count]
        parts = best // values.shape[1], *np.unravel_index(within.ravel()[best], shape)
        values, places = values.ravel()[best], zip(*(part.tolist() for part in parts), strict=True)
        matrix = MATRICES.index(name)
        candidates += [
            (Place(matrix, *place), value) for place, value in zip(places, values.tolist(), strict=True)
        ]
    candidates.sort(key=lambda each: (-each[1], each[0]))
    return [each for each in candidates[:count] if each[1] > 0]


_fisher = jit(curvature.fisher, static_argnums=1)


# Into the memory of the costs so far, which is as large as that of the weights; and not in one program with
# the derivatives, which would hold the sum's parts beside them.
@functools.partial(jit, donate_argnums=0)
def _add(
    cost: curvature.Weights, pulled: curvature.Weights, weights: curvature.Weights, movable: Movable
) -> curvature.Weights:
    return {name: cost[name] + 2 * (pulled[name] * w) ** 2 for name, w in movable.weights(weights).items()}


@functools.partial(jit, static_argnums=1)
def _largest(values: Float[Array, "layers outputs inputs"], count: int) -> Any:
    """The largest values of each layer, in float32: half precisions would be sorted whole."""

    def one(layer: Float[Array, "outputs inputs"]) -> Any:
        return jax.lax.top_k(layer.astype(at_least_float32(layer.dtype)).reshape(-1), count)

    return jax.lax.map(one, values)
