"""Single weights: which of them cost most when flipped, and what the flip of each really costs."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from signmag_jax.evidence import keys
from signmag_jax.evidence.progress import progress
from signmag_jax.models import MATRICES, LanguageModel, ModelConfig, Transform, token_nll

from . import curvature
from .inputs import Windows


class Place(NamedTuple):
    """One weight, as numbers that may be traced; `matrix` counts in `MATRICES`."""

    matrix: Any
    layer: Any
    row: Any
    column: Any

    @property
    def name(self) -> str:
        """Name of the matrix."""
        return MATRICES[self.matrix]

    def to_json(self) -> dict[str, Any]:
        """A strict-JSON object."""
        return {"matrix": self.name, "layer": self.layer, "row": self.row, "column": self.column}


def scaled(place: Place, amount: Float[Array, ""]) -> Transform:
    """The transform that multiplies one weight by 1 − 2·amount: nothing at 0, its flip at 1."""

    def transform(weight: Float[Array, "outputs inputs"], layer: Array, name: str) -> Any:
        here = (layer == place.layer) & (MATRICES.index(name) == place.matrix)
        at = jnp.where(here, place.row, 0), jnp.where(here, place.column, 0)
        change = jnp.where(here, -2 * amount.astype(weight.dtype), 0) * weight[at]
        return weight.at[at].add(change)

    return transform


def kept_fixed(config: ModelConfig, names: Sequence[str], places: Sequence[Place]) -> dict[str, Any]:
    """The weights of known cost in the form of `stretch.Movable.fixed`."""
    fixed = {}
    for name in names if places else ():
        # One entry for each of all places; those of other matrices point past the last row.
        past = config.shapes()[name][0]
        rows = [place.row if place.name == name else past for place in places]
        layers, columns = ([place[i] for place in places] for i in (1, 3))
        fixed[name] = tuple(jnp.asarray(part, jnp.int32) for part in (layers, rows, columns))
    return fixed


@functools.partial(jax.jit, static_argnums=0)
def _cost(
    config: ModelConfig, params: dict[str, Any], tokens: Int[Array, "batch window"], place: Place
) -> Float[Array, " 3"]:
    def along(amount: Array) -> Array:
        return token_nll(config, params, tokens, scaled(place, amount)).mean()

    def rising(amount: Array) -> tuple[Array, Array]:
        return jax.jvp(along, (amount,), (jnp.ones_like(amount),))

    none = jnp.zeros((), params["embed"].dtype)
    (clean, first), (_, second) = jax.jvp(rising, (none,), (jnp.ones_like(none),))
    return jnp.stack([clean, first, second / 2])


@functools.partial(jax.jit, static_argnums=0)
def _flipped(
    config: ModelConfig,
    params: dict[str, Any],
    tokens: Int[Array, "batch window"],
    place: Place,
    amount: Float[Array, ""],
) -> Float[Array, ""]:
    return token_nll(config, params, tokens, scaled(place, amount)).mean()


def loss_with(model: LanguageModel, window: Int[np.ndarray, " window"], place: Place, amount: float) -> float:
    """Mean NLL of one window with the weight multiplied by 1 − 2·amount: 1 forward pass."""
    traced = jnp.asarray(amount, model.params["embed"].dtype)
    tokens = jnp.asarray(window[None], jnp.int32)
    return float(_flipped(model.config, model.params, tokens, _traced(place), traced))


def brackets(model: LanguageModel, window: Int[np.ndarray, " window"], place: Place) -> tuple[float, float]:
    """First- and second-order cost of the flip on one window, `−2 g w` and `2 H w²`: about 4 forward passes.

    Forward over forward along the one weight, so nothing is kept for a backward pass.
    """
    tokens = jnp.asarray(window[None], jnp.int32)
    _, first, second = _cost(model.config, model.params, tokens, _traced(place))
    return float(first), float(second)


def _traced(place: Place) -> Place:
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
    root = keys.fold(keys.root(seed), "deciding weights")
    taken = np.zeros(model.config.layers)
    taken[list(layers)] = 1
    movable = curvature.Movable(jnp.asarray(taken, model.params["embed"].dtype), {})
    cost: Any = {name: jnp.zeros_like(model.params["blocks"][name]) for name in names}
    with progress("shortlist", len(calibration)) as advance:
        for index, window in enumerate(calibration):
            key = keys.fold(root, index)
            cost = _add(model.config, names, model.params, jnp.asarray(window[None]), movable, key, cost)
            advance()
    found = []
    for name in names:
        shape = cost[name].shape
        values, at = jax.device_get(_largest(cost[name], min(count, int(np.prod(shape)))))
        for value, flat in zip(values.tolist(), at.tolist(), strict=True):
            where = (int(part) for part in np.unravel_index(flat, shape))
            found.append((Place(MATRICES.index(name), *where), value / len(calibration)))
    found.sort(key=lambda each: (-each[1], each[0]))
    return [each for each in found[:count] if each[1] > 0]


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=6)
def _add(
    config: ModelConfig,
    names: tuple[str, ...],
    params: dict[str, Any],
    tokens: Int[Array, "batch window"],
    movable: curvature.Movable,
    key: PRNGKeyArray,
    cost: curvature.Weights,
) -> curvature.Weights:
    slopes = curvature.fisher(config, names, params, tokens, key)
    weights = curvature.masked({name: params["blocks"][name] for name in names}, movable)
    return {name: cost[name] + 2 * (slopes[name] * weights[name]) ** 2 for name in names}


@functools.partial(jax.jit, static_argnums=1)
def _largest(values: Float[Array, "layers outputs inputs"], count: int) -> Any:
    return jax.lax.top_k(values.reshape(-1), count)
