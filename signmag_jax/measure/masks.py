"""Masks of what our criterion protects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int

from signmag_jax.models import fetch

from .budget import BITS_OF, WEIGHTS
from .choice import Choice
from .criteria import COST
from .mask import HurtMatrix, Mask, PredictedMatrix, ProtectedColumn, ProtectedWeight
from .singles import largest

LISTED = 200
"""Single weights that a mask lists with their scores."""


def mask_of(choice: Choice, index: int, matrices: tuple[HurtMatrix, ...], origin: Mapping[str, Any]) -> Mask:
    """What our criterion protects at one budget.

    Args:
      choice: the criterion.
      index: of the budget.
      matrices: what was measured of whole matrices.
      origin: the provenance.
    """
    setup, against = choice.setup, choice.against
    kept = choice.kept(COST, 0, index)
    places: dict[tuple[int, str], Int[np.ndarray, " places"]] = {}
    columns: list[ProtectedColumn] = []
    whole: dict[tuple[int, str], float] = {}
    for layer in setup.layers:
        for name in setup.matrices:
            inside = np.asarray(fetch(kept[name][layer]))
            if not inside.any():
                continue
            places[layer, name] = np.flatnonzero(inside)
            if inside.all():
                whole[layer, name] = float(np.asarray(fetch(choice.costs[name][layer]), np.float64).mean())
            elif (full := np.flatnonzero(inside.all(axis=0))).size:
                cost = np.asarray(fetch(choice.costs[name][layer]), np.float64)[:, full].sum(axis=0)
                columns += [
                    ProtectedColumn(layer, name, int(j), float(c)) for j, c in zip(full, cost, strict=True)
                ]
    budget, count = choice.budgets[index], choice.ours[index].weights
    spent = {
        "typed": budget.text,
        "share": budget.share,
        "unit": choice.unit,
        "weights": count,
        "bits": count * BITS_OF[choice.unit],
        "of": choice.total,
    }
    return Mask(
        against.name,
        "" if against.quantizer is None else against.scale,
        tuple(sorted(columns, key=lambda one: -one.score)),
        _costliest(choice, count) if choice.unit == WEIGHTS else (),
        matrices,
        choice.shapes,
        choice.total,
        origin,
        tuple(PredictedMatrix(*at, cost) for at, cost in choice.by_matrix.items()),
        spent,
        tuple(sorted(whole, key=lambda at: -whole[at])),
        places,
    )


def _costliest(choice: Choice, count: int) -> tuple[ProtectedWeight, ...]:
    costliest = largest(choice.costs, min(LISTED, count))
    return tuple(ProtectedWeight(p.layer, p.name, p.row, p.column, cost) for p, cost in costliest)
