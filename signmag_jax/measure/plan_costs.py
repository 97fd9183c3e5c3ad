"""What a width is predicted to cost a matrix, and the cheapest widths once the costliest were tried."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence import keys
from signmag_jax.evidence.compiling import jit
from signmag_jax.evidence.precision import at_least_float32
from signmag_jax.models import fetch, window_nll

from . import curvature, inputs
from .curvature import WindowLoss
from .knapsack import Packing, pack
from .plan_items import Items, rounding
from .setup import Setup
from .sweep import Row
from .trials import Cell, with_trials
from .widths import rounded

DERIVATIVE_PASSES = 6
"""Cost of a window's two backward passes, in forward passes."""
TRIALS, TRIAL_WINDOWS = 12, 2
"""Matrices that are quantised alone, and the calibration windows on which they are."""
AGREED = 2.0
"""Standard errors within which `g·δ` may be chance."""
Aim = Literal["kl", "nll"]
AIMS = ("kl", "nll")


def derivatives(setup: Setup, items: Items) -> Float[np.ndarray, "orders windows items widths"]:
    """`g·δ` and `½ Σ G_ii δ_i²` of every matrix at every width, window by window."""
    root = keys.fold(keys.root(setup.seed), "plan")

    def task(index: int) -> Row:
        loss = WindowLoss.of(setup.model, setup.calibration[index])
        slope, spread = _backward(loss, setup.matrices, keys.fold(root, index))
        layers = np.asarray(setup.layers)
        tables = []
        for name in setup.matrices:
            weight = setup.model.params["blocks"][name]
            costs = _of_errors(items.widths, weight, slope.pop(name), spread.pop(name))
            tables.append(fetch(costs)[layers])
        return np.concatenate(tables).astype(np.float64).ravel()

    tasks = [functools.partial(task, index) for index in range(len(setup.calibration))]
    shape = len(items.targets), len(items.widths), 2
    table = np.stack(setup.sweep(tasks, entries=math.prod(shape))).reshape(len(tasks), *shape)
    inputs.check_finite(table, "derivatives of the loss")
    return np.moveaxis(table, -1, 0)


@functools.partial(jit, static_argnums=1)
def _backward(loss: WindowLoss, names: tuple[str, ...], key: PRNGKeyArray) -> tuple[Any, Any]:
    """The gradient, and a random vector whose square has the Gauss–Newton diagonal as its mean."""
    return jax.grad(loss)(loss.weights(names)), curvature.fisher(loss, names, key)


@functools.partial(jit, static_argnums=0)
def _of_errors(
    widths: tuple[str, ...],
    weights: Float[Array, "layers outputs inputs"],
    slope: Float[Array, "layers outputs inputs"],
    spread: Float[Array, "layers outputs inputs"],
) -> Float[Array, "layers widths 2"]:
    wide = at_least_float32(weights.dtype)

    # Layer by layer: the errors at all widths of a whole stack would be several models.
    def one(piece: tuple[Array, Array, Array]) -> Array:
        weight, g, r = piece
        errors = [(rounded(width, weight) - weight).astype(wide) for width in widths]
        parts = [(jnp.sum(g.astype(wide) * e), jnp.sum((r.astype(wide) * e) ** 2) / 2) for e in errors]
        return jnp.stack([jnp.stack(pair) for pair in parts])

    return jax.lax.map(one, (weights, slope, spread))


def packed(
    setup: Setup,
    items: Items,
    orders: Float[np.ndarray, "orders calibration items widths"],
    aim: Aim,
    budget: int,
) -> tuple[Packing, dict[Cell, Row]]:
    """The cheapest widths, and ΔNLL of those that were tried: in turn the costliest that is not yet."""
    slope, spread = orders[0, :TRIAL_WINDOWS].mean(axis=0), orders[1].mean(axis=0)
    agreed = _agreed(*orders) if aim == "nll" else 0.0
    windows, start = setup.calibration[:TRIAL_WINDOWS], len(setup.calibration)

    def losses(options: Mapping[int, int]) -> Row:
        return window_nll(setup.model, windows, rounding(setup, items, options), len(windows)).mean(axis=1)

    clean = setup.sweep([functools.partial(losses, {})], start, len(windows))[0]
    inputs.check_finite(clean)
    tried: dict[Cell, Row] = {}
    while True:
        # What the windows' own first order does not say.
        beyond = {at: float(rises.mean() - slope[at]) for at, rises in tried.items()}
        costs = agreed + with_trials(spread, beyond)
        packing = pack(items.sizes, costs.tolist(), budget)
        left = [at for at in enumerate(packing.options) if at not in tried]
        if not left or len(tried) == TRIALS:
            return packing, tried
        # Of equal costs the first item, so that a resumed run tries the same.
        item, option = max(left, key=lambda at: (costs[at], -at[0]))
        task = functools.partial(losses, {item: option})
        tried[item, option] = setup.sweep([task], start + 1 + len(tried), len(windows))[0] - clean


def _agreed(
    first: Float[np.ndarray, "windows items widths"], second: Float[np.ndarray, "windows items widths"]
) -> Float[np.ndarray, "items widths"]:
    """`g·δ` without what may be chance: all of it up to 2 standard errors, and less of what is larger.

    Its variance over windows is taken as proportional to `δᵀGδ`, as that of independent tokens is, by a
    factor that all matrices and widths share: few windows tell none of them apart.
    """
    mean, spread = first.mean(axis=0), second.mean(axis=0)
    own = first.var(axis=0, ddof=1) / len(first)
    seen = spread > 0
    # The median: a few heavy matrices would set a mean.
    factor = np.median(own[seen] / spread[seen]) if seen.any() else 0.0
    size = np.where(mean == 0, 1.0, mean**2)
    return mean * np.maximum(0.0, 1 - AGREED**2 * factor * spread / size)
