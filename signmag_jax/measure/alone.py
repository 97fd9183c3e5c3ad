"""Matrices that are perturbed alone, without and with what protects them."""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from signmag_jax.evidence.compiling import jit
from signmag_jax.models import fetch

from .choice import Choice, Kept
from .criteria import COST
from .protected import Alone
from .protection import HurtMatrix
from .slopes import separated
from .trial import LOSS, STORED, Trial, interval

ALONE = 3
"""Matrices that are perturbed alone."""


def hurt(each: Alone) -> HurtMatrix:
    """The matrix as a mask names it."""
    found = each.damage.estimate
    return HurtMatrix(each.layer, each.matrix, found.value, found.standard_error, bool(separated(found)))


def alone(choice: Choice, trial: Trial, draws: int, first: int) -> tuple[Alone, ...]:
    """The matrices of largest predicted cost, each perturbed alone, without and with the least protection.

    Args:
      choice, trial: of the measurement.
      draws: of the error; 1 of a quantiser.
      first: number of the first record.
    """
    setup, against = choice.setup, choice.against
    each_costs = against.rate or 1.0  # that of a flip, for the flips that there are
    sums = {name: fetch(_by_layer(table)) * each_costs for name, table in choice.costs.items()}
    ranked = sorted(
        ((float(sums[name][layer]), layer, name) for name in sums for layer in setup.layers), reverse=True
    )[:ALONE]
    everything = choice.all_or_none(True)

    def only(layer: int, name: str, budget: int | None) -> Kept:
        inside = choice.all_or_none(False) if budget is None else choice.kept(COST, 0, budget)
        here = jnp.asarray(np.arange(setup.model.config.layers) == layer)[:, None, None]
        return {**everything, name: jnp.where(here, inside[name], everything[name])}

    tasks = [
        functools.partial(trial.row, functools.partial(only, layer, name, budget), draw)
        for budget in (None, 0)
        for _, layer, name in ranked
        for draw in range(draws)
    ]
    rows = [row.reshape(len(STORED), -1)[LOSS] for row in setup.sweep(tasks, first=first)]
    tables = np.stack(rows).reshape(2, len(ranked), draws, -1)
    result = []
    for index, (predicted, layer, name) in enumerate(ranked):
        damage, left = (interval(table[index]) for table in tables)
        if damage is not None:
            result.append(Alone(layer, name, predicted, damage, choice.budgets[0].text, left))
    return tuple(result)


@jit
def _by_layer(costs: Float[Array, "layers outputs inputs"]) -> Float[Array, " layers"]:
    return jnp.sum(costs, axis=(1, 2))
