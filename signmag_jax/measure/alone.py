"""Matrices that are perturbed alone, without and with what protects them."""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np

from .choice import Choice, KeptWeights
from .criteria import COST
from .mask import HurtMatrix
from .protected import Alone
from .slopes import separated
from .trial import LOSS, STORED, Trial, interval

ALONE = 3
"""Matrices that are perturbed alone."""


def hurt(each: Alone) -> HurtMatrix:
    """The matrix as a mask names it."""
    if each.damage is None:
        return HurtMatrix(each.layer, each.matrix, None, not_finite=each.not_finite)
    damage = each.damage.estimate
    return HurtMatrix(each.layer, each.matrix, damage.value, damage.standard_error, bool(separated(damage)))


def alone(choice: Choice, trial: Trial, draws: int, first: int) -> tuple[Alone, ...]:
    """The matrices of largest predicted cost, each perturbed alone, without and with the least protection.

    Args:
      choice, trial: of the measurement.
      draws: of the error; 1 of a quantiser.
      first: number of the first record.
    """
    setup = choice.setup
    ranked = [(cost, *at) for at, cost in choice.by_matrix.items()][:ALONE]
    everything = choice.all_or_none(True)

    def only(layer: int, name: str, budget: int | None) -> KeptWeights:
        inside = choice.all_or_none(False) if budget is None else choice.kept(COST, 0, budget)
        here = jnp.asarray(np.arange(setup.model.config.layers) == layer)[:, None, None]
        return {**everything, name: jnp.where(here, inside[name], everything[name])}

    tasks = [
        functools.partial(trial.row, functools.partial(only, layer, name, budget), draw)
        for budget in (None, 0)
        for _, layer, name in ranked
        for draw in range(draws)
    ]
    rows = [
        row.reshape(len(STORED), -1)[LOSS]
        for row in setup.sweep(tasks, first, len(STORED) * len(setup.evaluation))
    ]
    tables = np.stack(rows).reshape(2, len(ranked), draws, -1)
    result = []
    for index, (predicted, layer, name) in enumerate(ranked):
        damage, left = (interval(table[index]) for table in tables)
        broken = int((~np.isfinite(tables[0, index])).sum())
        result.append(Alone(layer, name, predicted, damage, broken, choice.budgets[0].text, left))
    # Nothing costs more than what leaves no loss at all.
    return tuple(sorted(result, key=lambda one: one.damage is not None))
