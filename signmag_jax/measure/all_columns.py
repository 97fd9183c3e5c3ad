"""Sign flips against magnitude shifts of equal Frobenius norm, over all columns of a trained model."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from signmag_jax.evidence import Picture, Result, keys
from signmag_jax.evidence.precision import unit_of
from signmag_jax.models import LanguageModel
from signmag_jax.perturb import MagnitudeShift

from . import inputs, sweep
from .comparison import UNPREDICTED, Comparison, arms_picture
from .flips import Draws, Flips
from .inputs import Windows
from .pools import ALL, Pools, flips_at
from .setup import Options, Setup, prepare

RATES = (0.01,)
DRAWS = 5


class Shift(Flips):
    """The magnitude shift whose error has the Frobenius norm of the flips of a draw, matrix by matrix."""

    def __call__(self, weight: Float[Array, "outputs inputs"], layer: Array, name: str) -> Any:
        """As `models.token_nll` wants it."""
        if name not in self.coordinates:
            return weight
        # At unit scale, where the squares of tiny or huge weights exist; a power of two changes no bit.
        unit = unit_of(weight)
        wide = weight.astype(unit.dtype) / unit
        total = jnp.sum(wide**2)
        flipped = jnp.sum(wide.at[self.drawn(layer, name)].get(mode="fill", fill_value=0.0) ** 2)
        if self.plan.inverted is not None:
            flipped = jnp.where(self.plan.inverted[layer], total - flipped, flipped)
        size = 2 * jnp.sqrt(flipped / jnp.where(total > 0, total, jnp.ones_like(total)))
        shifted = MagnitudeShift(size).apply(self.plan.key, wide.astype(weight.dtype))
        return (shifted.astype(unit.dtype) * unit).astype(weight.dtype)


ARMS = {"flip": Flips, "shift": Shift}


@dataclass(frozen=True, eq=False)
class AllColumns(Result):
    """Result of `all_columns`: one comparison per rate (arms "flip" and "shift"), and where it came from."""

    SHOWN = ("left_to_chance",)
    left_to_chance = UNPREDICTED

    rates: tuple[Comparison, ...]
    pool_size: int
    provenance: Mapping[str, Any]

    def summary(self) -> dict[str, str]:
        """For each rate the ratio and the damage of both arms."""
        lines = {}
        for each in self.rates:
            lines |= each.lines("flips over shifts")
        return lines | {"left to chance": self.left_to_chance}

    def rows(self) -> list[dict[str, Any]]:
        """ΔNLL of every draw and window."""
        return [row for each in self.rates for row in each.rows()]

    def picture(self) -> Picture:
        """Both arms and their ratio against the rate."""
        return arms_picture(
            self.rates, "flips over shifts", "Sign flips against magnitude shifts of equal norm"
        )


def all_columns(
    model: LanguageModel,
    evaluation: Windows,
    *,
    rates: Sequence[float] = RATES,
    draws: int | Sequence[int] = DRAWS,
    batch: int | None = None,
    **options: Unpack[Options],
) -> AllColumns:
    """Ratio of mean ΔNLL: flipped signs over a magnitude shift with the same error norm in every matrix.

    Flips: exactly round(rate × weights), drawn without replacement. Shift: w + sδ·sign(w), with δ such that
    each matrix's squared error is that of the very mask it is paired with, `4 Σ_flipped w²`. No error knows
    of a single weight that costs much and that no draw flips.

    Args:
      model: from `models.load`.
      evaluation: at least 8 windows.
      rates: flip rates, as parts of all weights, in (0, 1].
      draws: number of random masks, at least 2: one for all rates, or one for each.
      batch: number of windows that are computed at a time; by default all.
      options: as in `Options`.

    Returns:
      Per rate, the damage of both and their ratio (masks and windows paired), or why it is unresolved.

    Raises:
      InvalidInput: as in `leverage`.
    """
    rates = inputs.check_rates(rates)
    counts = inputs.draws_per_rate(rates, draws)
    own = {"experiment": "all columns", "rates": list(rates), "draws": counts}
    setup = prepare(model, None, evaluation, own, batch=batch, **options)
    pools = Pools.everything(model, setup.layers, setup.matrices)
    flips = [flips_at(rate, pools.size(ALL)) for rate in rates]
    root = functools.partial(keys.fold, keys.root(setup.seed), "all columns")
    tasks = [
        functools.partial(_losses, setup, Draws(pools, {ALL: k}, root(k)), kind, draw)
        for k, count in zip(flips, counts, strict=True)
        for kind in ARMS.values()
        for draw in range(count)
    ]
    rows = setup.sweep([setup.losses, *tasks])
    inputs.check_finite(rows[0])
    tables = iter(np.stack(rows[1:]) - rows[0])
    results = []
    for rate, k, count in zip(rates, flips, counts, strict=True):
        samples = {arm: np.stack([next(tables) for _ in range(count)]) for arm in ARMS}
        results.append(Comparison.of(rate, k, samples, floor=0.0, paired=True))
    return AllColumns(tuple(results), pools.size(ALL), setup.origin())


def _losses(setup: Setup, draws: Draws, kind: type[Flips], draw: int) -> sweep.Row:
    return setup.losses(draws.transform(draws.plan(ALL, draw), kind))
