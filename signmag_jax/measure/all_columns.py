"""Sign flips against magnitude shifts of equal Frobenius norm, over all columns of a trained model."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from signmag_jax.evidence import Picture, Result, keys
from signmag_jax.evidence.precision import unit_of
from signmag_jax.models import LanguageModel
from signmag_jax.perturb import MagnitudeShift, SignFlip

from . import inputs, sweep
from .comparison import UNPREDICTED, Comparison, arms_picture
from .flips import Draws
from .inputs import Windows
from .pools import ALL, Pools, flips_at
from .setup import Options, Setup, prepare

RATES = (0.01,)
DRAWS = 5


class Shift(NamedTuple):
    """The weight transform that shifts magnitudes, in the layers and matrices that take part.

    Args:
      size: by matrix and layer, in units of the matrix's root mean square.
    """

    size: dict[str, Float[Array, " layers"]]

    def __call__(self, weight: Float[Array, "outputs inputs"], layer: Array, name: str) -> Any:
        """As `models.token_nll` wants it."""
        if name not in self.size:
            return weight
        # At unit scale, where the squares of tiny or huge weights exist; a power of two changes no bit.
        unit = unit_of(weight)
        wide = (weight.astype(unit.dtype) / unit).astype(weight.dtype)
        # A shift draws nothing, so that any key will do.
        shifted = MagnitudeShift(self.size[name][layer]).apply(jax.random.key(0), wide)
        return (shifted.astype(unit.dtype) * unit).astype(weight.dtype)


def matching(pools: Pools, rate: float) -> Shift:
    """The shift whose error has in every matrix the squared norm that flips of that rate have in the mean."""
    taking_part = np.isin(np.arange(pools.layers_of_model), pools.layers)
    size = jnp.asarray(MagnitudeShift.matching(SignFlip(rate)).size, jnp.float32)
    return Shift(dict.fromkeys(pools.outputs, jnp.where(taking_part, size, jnp.zeros_like(size))))


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
    each matrix's squared error is that of the flips in the mean over masks, `4·rate·Σ w²`. Nothing of it is
    drawn, so that it is measured once and stands beside every mask. No error knows of a single weight whose
    flip costs much and that no draw flips.

    Args:
      model: from `models.load`.
      evaluation: at least 8 windows.
      rates: flip rates, as parts of all weights, in (0, 1].
      draws: number of random masks, at least 2: one for all rates, or one for each.
      batch: number of windows that are computed at a time; by default all.
      options: as in `Options`.

    Returns:
      Per rate, the damage of both and their ratio (windows paired), or why it is unresolved.

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
    tasks: list[Any] = [setup.losses]
    for k, count in zip(flips, counts, strict=True):
        masks = Draws(pools, {ALL: k}, root(k))
        tasks += [functools.partial(_flipped, setup, masks, draw) for draw in range(count)]
        tasks.append(functools.partial(setup.losses, matching(pools, k / pools.size(ALL))))
    rows = setup.sweep(tasks)
    inputs.check_finite(rows[0])
    tables = iter(np.stack(rows[1:]) - rows[0])
    results = []
    for rate, k, count in zip(rates, flips, counts, strict=True):
        flipped = np.stack([next(tables) for _ in range(count)])
        samples = {"flip": flipped, "shift": np.repeat(next(tables)[None], count, axis=0)}
        results.append(Comparison.of(rate, k, samples, floor=0.0, paired=True))
    return AllColumns(tuple(results), pools.size(ALL), setup.origin())


def _flipped(setup: Setup, masks: Draws, draw: int) -> sweep.Row:
    return setup.losses(masks.transform(masks.plan(ALL, draw)))
