"""Sign flips of exactly k weights, built inside the jitted forward pass; the weights are never edited."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from signmag_jax.evidence import keys
from signmag_jax.models import SITE_OF, LanguageModel, ModelConfig, Transform, token_nll

from .draw import EMPTY, apportion, subset
from .inputs import Windows
from .pools import Pools, Slots, is_inverted

Positions = dict[str, tuple[Int[Array, "layers capacity"], Int[Array, "layers capacity"]]]
"""Per matrix and layer, rows and columns of the drawn weights."""


class Plan(NamedTuple):
    """One draw, as traced arrays: a new draw or the other arm never compiles again.

    Args:
      key: of the arm; folded with layer, matrix and draw for each matrix.
      draw: number of the draw.
      offset, width: per site, where the arm's columns begin in `Pools.order` and how many they are.
      drawn: per matrix and layer, how many indices to draw (the complement's, where inverted).
      inverted: per layer, whether the whole pool is flipped first and the drawn weights flipped back.
    """

    key: PRNGKeyArray
    draw: Int[Array, ""]
    offset: dict[str, Int[Array, ""]]
    width: dict[str, Int[Array, ""]]
    drawn: dict[str, Int[Array, " layers"]]
    inverted: Bool[Array, " layers"]


def plan(pools: Pools, arm: str, flips: int, draw: int, root: PRNGKeyArray) -> Plan:
    """Exactly `flips` flips in the arm's pool, shared over its matrices in proportion to their sizes.

    Equal remainders are ranked by a random permutation of this draw, so that no layer is favoured.
    """
    key = keys.fold(root, arm)
    places = [(name, layer) for name in pools.outputs for layer in pools.layers]
    sizes = [pools.matrix_size(name, arm) for name, _ in places]
    ties = jax.random.permutation(keys.fold(key, "apportion", draw), len(places))
    invert = is_inverted(pools, arm, flips)
    depth = len(next(iter(pools.order.values())))
    drawn = {name: np.zeros(depth, np.int32) for name in pools.outputs}
    counts = apportion(flips, sizes, np.asarray(ties).tolist())
    for (name, layer), size, count in zip(places, sizes, counts, strict=True):
        drawn[name][layer] = size - count if invert else count
    inverted = np.zeros(depth, bool)
    inverted[list(pools.layers)] = invert
    spans = {site: pools.span(site, arm) for site in pools.order}
    return Plan(
        key,
        jnp.asarray(draw, jnp.int32),
        {site: jnp.asarray(offset, jnp.int32) for site, (offset, _) in spans.items()},
        {site: jnp.asarray(width, jnp.int32) for site, (_, width) in spans.items()},
        {name: jnp.asarray(count) for name, count in drawn.items()},
        jnp.asarray(inverted),
    )


def flipped_part(pools: Pools, plan: Plan, arm: str, name: str) -> Float[np.ndarray, " layers"]:
    """The part of one matrix's weights in the arm's pool that a draw flips, by layer."""
    size = pools.matrix_size(name, arm)
    part = np.asarray(plan.drawn[name], np.float64) / size if size else np.zeros(len(plan.inverted))
    return np.where(np.asarray(plan.inverted), 1 - part, part)


def no_flips(like: Plan) -> Plan:
    """The same shapes with nothing flipped: the other half of an A/A comparison."""
    nothing = {name: jnp.zeros_like(count) for name, count in like.drawn.items()}
    return like._replace(drawn=nothing, inverted=jnp.zeros_like(like.inverted))


def draw_positions(pools: Pools, plan: Plan, slots: Slots) -> Positions:
    """Rows and columns of the drawn weights of every matrix; unused slots point past the last row.

    One loop over all matrices and layers, so that the sampler is compiled once and not once a matrix, and
    apart from the forward pass, so that it is not compiled again with each of those.
    """
    return _draw(pools.order, plan, slots, tuple(pools.outputs.items())) if slots else {}


@functools.partial(jax.jit, static_argnums=(2, 3))
def _draw(
    order: dict[str, Int[Array, "layers features"]],
    plan: Plan,
    slots: Slots,
    rows_of: tuple[tuple[str, int], ...],
) -> Positions:
    outputs = dict(rows_of)
    capacity = max(1, *(size for _, size in slots))
    depth = plan.inverted.shape[0]
    layers = jnp.arange(depth, dtype=jnp.int32)
    key, population, count = [], [], []
    for name, _ in slots:
        fold = functools.partial(_matrix_key, plan, name)
        key.append(jax.vmap(fold)(layers))
        population.append(jnp.broadcast_to(outputs[name] * plan.width[SITE_OF[name]], (depth,)))
        count.append(plan.drawn[name])
    pieces = (jnp.concatenate(key), jnp.concatenate(population), jnp.concatenate(count))
    found = jax.lax.map(lambda piece: subset(piece[0], piece[1], piece[2], capacity), pieces)
    found = found.reshape(len(slots), depth, capacity)
    places = {}
    for index, (name, size) in enumerate(slots):
        site = SITE_OF[name]
        chosen = found[index, :, :size]
        empty = chosen == EMPTY
        column = plan.offset[site] + jnp.where(empty, 0, chosen % plan.width[site])
        rows = jnp.where(empty, outputs[name], chosen // plan.width[site])
        places[name] = rows, jnp.take_along_axis(jnp.asarray(order[site]), column, axis=1)
    return places


def _matrix_key(plan: Plan, name: str, layer: Int[Array, ""]) -> PRNGKeyArray:
    return keys.fold(plan.key, layer, name, plan.draw)


def flip_transform(
    order: dict[str, Int[Array, "layers features"]], plan: Plan, places: Positions, invertible: bool
) -> Transform:
    """The weight transform of a plan, for `models.token_nll`; to be built inside the jitted function."""

    def transform(weight: Float[Array, "outputs inputs"], layer: Array, name: str) -> Any:
        if name not in places:
            return weight
        if invertible:
            weight = weight * _pool_sign(jnp.asarray(order[SITE_OF[name]])[layer], plan, layer, name, weight)
        rows, columns = (place[layer] for place in places[name])
        return weight.at[rows, columns].multiply(-1.0, mode="drop")

    return transform


def _pool_sign(
    order: Int[Array, " features"],
    plan: Plan,
    layer: Array,
    name: str,
    weight: Float[Array, "outputs features"],
) -> Float[Array, "1 features"]:
    """−1 in the arm's columns where the layer is inverted, else +1."""
    place = jnp.arange(order.shape[0], dtype=jnp.int32) - plan.offset[SITE_OF[name]]
    member = (place >= 0) & (place < plan.width[SITE_OF[name]]) & plan.inverted[layer]
    ones = jnp.ones(order.shape[0], weight.dtype)
    return ones.at[order].set(jnp.where(member, -ones, ones))[None, :]


def flipped_nll(
    model: LanguageModel,
    windows: Windows,
    pools: Pools,
    plan: Plan,
    slots: Slots,
    invertible: bool,
    batch: int,
    build: Callable[..., Transform] = flip_transform,
) -> Float[np.ndarray, " count"]:
    """Mean NLL of each window under the plan (its signs flipped, or what else `build` makes of it)."""
    places = draw_positions(pools, plan, slots)
    rows = []
    for start in range(0, len(windows), batch):
        piece = jnp.asarray(windows[start : start + batch])
        found = _token_nll(model.config, build, invertible, model.params, piece, pools.order, plan, places)
        rows.append(np.asarray(found, np.float64).mean(axis=1))
    return np.concatenate(rows)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _token_nll(
    config: ModelConfig,
    build: Callable[..., Transform],
    invertible: bool,
    params: dict[str, Any],
    tokens: Int[Array, "batch window"],
    order: dict[str, Any],
    plan: Plan,
    places: Positions,
) -> Float[Array, "batch predicted"]:
    return token_nll(config, params, tokens, build(order, plan, places, invertible))
