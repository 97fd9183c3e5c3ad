"""Sign flips against magnitude shifts of equal Frobenius norm, over all columns of a trained model."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Unpack

import numpy as np

from signmag_jax.evidence import ConfidenceInterval, Picture, Result, invalid, keys
from signmag_jax.evidence.counts import counting
from signmag_jax.models import LanguageModel, fetch

from . import inputs, sweep
from .arm_comparison import ArmComparison, arms_picture, damage_line, finite, mean_loss
from .flips import Draws
from .inputs import Windows
from .pools import ALL, Pools, flips_at
from .setup import Options, Setup, nested, prepare
from .shift_parts import GROWTH, REST, SCATTERED, SHIFT, SHIFT_PARTS, Scattered, matching

RATES = (0.01,)
DRAWS = 5


@dataclass(frozen=True, eq=False)
class AllColumns(Result):
    """Result of `all_columns`.

    Args:
      rates: one comparison per rate, of arms "flip" and "shift".
      growth: per rate, what the common growth of the shift costs alone, as in `ArmComparison`.
      rest: per rate, flips against the shift without its growth, arms "flip" and "rest".
      scattered: the same against that with a random sign of every weight's change, arms "flip" and
        "scattered"; empty unless it was asked for.
      cosine: between all weights and their signs times E|w| of their tensor, √Σ‖w‖²b² / √Σ‖w‖²: the b that
        stands for all tensors in a law.
      pool_size: number of weights.
      provenance: model, text, seed, versions, device.
      by_matrix: the same for errors in one kind of matrix alone; empty unless it was asked for.
    """

    SHOWN = ("left_to_chance",)

    rates: tuple[ArmComparison, ...]
    growth: tuple[ConfidenceInterval | None, ...]
    rest: tuple[ArmComparison, ...]
    scattered: tuple[ArmComparison, ...]
    cosine: float
    pool_size: int
    provenance: Mapping[str, Any]
    by_matrix: dict[str, AllColumns] = field(default_factory=dict)

    @property
    def left_to_chance(self) -> tuple[str, ...]:
        """Per rate, what no standard error knows of."""
        return tuple(
            f"{(1 - each.flips / self.pool_size) ** each.draws:.1%} of the weights, which no draw flips: "
            "what single ones of them cost is in no error"
            for each in self.rates
        )

    def summary(self) -> dict[str, str]:
        """The ratio and the damage of both arms at each rate, and the same in each kind of matrix."""
        lines = self._lines()
        for matrix, own in self.by_matrix.items():
            lines |= {f"{matrix}, {name}": line for name, line in own._lines().items()}
        return lines

    def _lines(self) -> dict[str, str]:
        lines = {}
        parts = zip(self.rates, self.growth, self.rest, self.left_to_chance, strict=True)
        for each, growth, rest, chance in parts:
            name = f"rate {each.rate:g}, {each.flips} flips"
            lines |= each.lines("flips over shifts") | {f"{name}: left to chance": chance}
            lines[f"{name}: ΔNLL of the shift's growth alone"] = damage_line(growth)
            lines[f"{name}: ΔNLL of the shift without growth"] = damage_line(rest.damage[REST])
            lines[f"{name}: flips over shifts without growth"] = str(rest.ratio)
        for each in self.scattered:
            lines |= each.lines("flips over shifts without growth and of random signs")
        return lines

    def rows(self) -> list[dict[str, Any]]:
        """ΔNLL of every draw and window, and the matrices that the errors are in, if not all."""
        parts = {"all": self, **self.by_matrix}
        return [
            {"matrix": matrix, **row}
            for matrix, part in parts.items()
            for each in part.rates
            for row in each.rows()
        ]

    def picture(self) -> Picture:
        """The damage of both arms and its ratio against the rate."""
        return arms_picture(
            self.rates, "flips over shifts", "Sign flips against magnitude shifts of equal norm"
        )


@counting
def all_columns(
    model: LanguageModel,
    evaluation: Windows,
    *,
    rates: Sequence[float] = RATES,
    draws: int | Sequence[int] = DRAWS,
    scattered: int = 0,
    by_matrix: bool = False,
    batch: int | None = None,
    **options: Unpack[Options],
) -> AllColumns:
    """Ratio of mean ΔNLL: flipped signs over a magnitude shift with the same error norm in every matrix.

    Flips: exactly round(rate × weights), drawn without replacement. Shift: w + sδ·sign(w), with δ such that
    each matrix's squared error is that of the flips in the mean over masks, `4·rate·Σ w²`. Nothing of it is
    drawn, so that it is measured once and stands beside every mask; and so do its two parts, the growth that
    all weights of a matrix have in common, w → (1 + δb)w with b = E|w|/σ, which a block's normalisation takes
    away and a residual network does not, and the shift divided by it. That rest with random signs, drawn anew
    each time, tells what its coherence costs: flips are incoherent. No error knows of a single weight whose
    flip costs much and that no draw flips.

    Args:
      model: from `models.load`.
      evaluation: at least 8 windows.
      rates: flip rates, as parts of all weights, in (0, 1].
      draws: number of random masks, at least 2: one for all rates, or one for each.
      scattered: number of draws of random signs of the rest, at least 2, or 0 for none.
      by_matrix: also everything but `scattered` for errors in each kind of matrix alone, in all layers.
      batch: number of windows that are computed at a time; by default all.
      options: as in `Options`.

    Returns:
      Per rate, the damage of both and their ratio (windows paired), or why it is unresolved.

    Raises:
      InvalidInput: as in `leverage`.
    """
    rates = inputs.check_rates(rates)
    counts = inputs.draws_per_rate(rates, draws)
    check_scattered(scattered)
    own = {"experiment": "all columns", "rates": list(rates), "draws": counts, "parts": list(SHIFT_PARTS)}
    own["scattered"] = scattered
    setup = prepare(model, None, evaluation, own, batch=batch, **options)
    pools = Pools.everything(model, setup.layers, setup.matrices)
    flips = [flips_at(rate, pools.size(ALL)) for rate in rates]
    root = functools.partial(keys.fold, keys.root(setup.seed), "all columns")

    def masked(masks: Draws, draw: int) -> sweep.Row:
        return setup.losses(masks.transform(masks.recipe(ALL, draw)))

    tasks: list[Any] = [setup.losses]
    for k, count in zip(flips, counts, strict=True):
        masks = Draws(pools, {ALL: k}, root(k))
        tasks += [functools.partial(masked, masks, draw) for draw in range(count)]
        # Of the flips as they are counted: the rate that was asked for is rounded to whole ones.
        shifts = {part: matching(pools, k / pools.size(ALL), part) for part in SHIFT_PARTS}
        loose = [Scattered(shifts[REST], keys.fold(root(k), SCATTERED, i)) for i in range(scattered)]
        tasks += [functools.partial(setup.losses, each) for each in (*shifts.values(), *loose)]
    rows = setup.sweep(tasks)
    inputs.check_finite(rows[0])
    tables = iter(np.stack(rows[1:]) - rows[0])
    results, growths, rests, loose = [], [], [], []
    for rate, k, count in zip(rates, flips, counts, strict=True):
        flipped = np.stack([next(tables) for _ in range(count)])
        # Nothing of a shift is drawn: its one row stands beside every mask.
        parts = {part: np.repeat(next(tables)[None], count, axis=0) for part in SHIFT_PARTS}
        for comparisons, part in ((results, SHIFT), (rests, REST)):
            samples = {"flip": flipped, part: parts[part]}
            comparisons.append(ArmComparison.of(rate, k, samples, floor=0.0, paired=True))
        growths.append(mean_loss(finite(parts[GROWTH][:1])))
        if scattered:
            samples = {"flip": flipped, SCATTERED: np.stack([next(tables) for _ in range(scattered)])}
            loose.append(ArmComparison.of(rate, k, samples, floor=0.0))
    alone = {
        name: all_columns(
            model,
            evaluation,
            rates=rates,
            draws=counts,
            batch=batch,
            **{**nested(options, name), "matrices": (name,)},
        )
        for name in (setup.matrices if by_matrix else ())
    }
    return AllColumns(
        tuple(results),
        tuple(growths),
        tuple(rests),
        tuple(loose),
        _cosine(setup),
        pools.size(ALL),
        setup.origin(),
        alone,
    )


def check_scattered(scattered: int) -> None:
    """Refuse a single draw of signs, or fewer than none.

    Raises:
      InvalidInput: with the number.
    """
    if scattered < 0 or scattered == 1:
        raise invalid("scattered >= 2, or 0 for none", scattered, "one draw has no standard error")


def _cosine(setup: Setup) -> float:
    """b² of each tensor, weighted with its squared norm; tensor by tensor, in float64."""
    along, whole = 0.0, 0.0
    for name in setup.matrices:
        for layer in setup.layers:
            weight = fetch(setup.model.params["blocks"][name][layer]).astype(np.float64)
            # Relative to the largest weight: tiny or huge ones have no squares.
            unit = np.abs(weight).max() or 1.0
            square = np.mean((weight / unit) ** 2)
            along += np.mean(np.abs(weight / unit)) ** 2 * weight.size * unit**2
            whole += square * weight.size * unit**2
    return float(np.sqrt(along / whole)) if whole > 0 else 0.0
