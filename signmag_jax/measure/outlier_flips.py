"""Flips at one rate in outlier columns, in the rest and anywhere; unscaled, and at equal Frobenius norm."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from signmag_jax.evidence import ConfidenceInterval, Picture, Ratio, Result, invalid, keys
from signmag_jax.evidence.compiling import jit
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.precision import unit_of
from signmag_jax.evidence.result import by_draw
from signmag_jax.models import SITE_OF, LanguageModel, fetch

from . import sweep
from .activations import OUTLIER_FRACTION, Alpha, Columns
from .arm_comparison import UNPREDICTED, Table, damage_line, finite, mean_loss, ratio_of_arms
from .chosen import check_profile, stored_columns
from .flips import Draws, Flips
from .inputs import Windows
from .metrics import check_draws, exponential
from .pools import ALL, OUTLIER, REST, Pools, flips_at
from .setup import Options, prepare

# Exp D's rate, and as many draws as it has seeds.
RATE = 0.05
DRAWS = 5
ANYWHERE = "anywhere"
POOLS = {ANYWHERE: ALL, "outlier": OUTLIER, "rest": REST}
MATCHED = {"outlier, matched": OUTLIER, "rest, matched": REST}
ARMS = POOLS | MATCHED
"""Arms by name, and the pool in which each flips `rate` of the signs."""
RATIOS = {
    "outlier over rest": ("outlier", "rest"),
    "outlier over rest, matched": ("outlier, matched", "rest, matched"),
    "outlier, matched, over anywhere": ("outlier, matched", ANYWHERE),
}


@dataclass(frozen=True, eq=False)
class OutlierFlips(Result):
    """Result of `outlier_flips`.

    Args:
      rate: flips per sign of a pool.
      flips: by arm, exact number of flips.
      damage: by arm, mean ΔNLL (nats per token) with crossed error and Student interval; None where a
        draw gave no finite loss.
      perplexity: by arm, exp of the mean NLL; None as in `damage`, or where it overflows.
      ratios: outlier arm over the rest, of mean damage, unscaled and matched; not per flip.
      factor: by matched arm, median over matrices and draws of what a drawn weight is multiplied by: −1
        would be a flip.
      noise_floor: as in `Leverage`.
      samples: by arm, ΔNLL of each draw and window.
      columns: the outlier columns, by site, shape (layers, chosen).
      provenance: model, texts, seed, versions, device.
    """

    SHOWN = ("left_to_chance",)
    left_to_chance = UNPREDICTED

    rate: float
    flips: dict[str, int]
    damage: dict[str, ConfidenceInterval | None]
    perplexity: dict[str, ConfidenceInterval | None]
    ratios: dict[str, Ratio]
    factor: dict[str, float]
    noise_floor: float
    samples: dict[str, Table | None]
    columns: Columns
    provenance: Mapping[str, Any]

    def summary(self) -> dict[str, str]:
        """The damage of every arm and the ratios."""
        summary = {"noise floor": f"{self.noise_floor:.2g} nat/token"}
        for arm, damage in self.damage.items():
            scaled = f", drawn weights × {self.factor[arm]:.2f}" if arm in self.factor else ""
            summary[f"ΔNLL {arm}, {self.flips[arm]} flips{scaled}"] = damage_line(damage)
        summary |= {name: str(ratio) for name, ratio in self.ratios.items()}
        return summary | {"left to chance": self.left_to_chance}

    def rows(self) -> list[dict[str, Any]]:
        """ΔNLL of every draw and window."""
        return by_draw(self.samples, "arm", "delta_nll")

    def picture(self) -> Picture:
        """The damage of every arm."""
        values = {
            arm: (damage.estimate.value, damage.low, damage.high)
            for arm, damage in self.damage.items()
            if damage is not None
        }
        title = f"Flips of {self.rate:.2%} of the signs, by where they fall"
        return Picture("bars", {"values": values, "y": "ΔNLL, nats per token", "title": title})


@counting
def outlier_flips(
    model: LanguageModel,
    calibration: Windows,
    evaluation: Windows,
    *,
    rate: float = RATE,
    draws: int = DRAWS,
    fraction: float = OUTLIER_FRACTION,
    anywhere: bool = True,
    batch: int | None = None,
    profile: Alpha | None = None,
    **options: Unpack[Options],
) -> OutlierFlips:
    """Flip `rate` of the signs in outlier columns, in the rest or anywhere; then match the error's norm.

    Matched, as the paper does it: in each matrix the error −2w of the drawn weights is multiplied by s, so
    that its squared norm is that expected of flips anywhere, `rate·4‖W‖²`. A drawn weight becomes (1 − 2s)w:
    for outlier columns it is no longer a sign flip. The unscaled flips stand beside it.

    Exactly round(rate × pool) flips, drawn without replacement and independently in each matrix, arm and
    draw; the matched arms reuse the masks of the unscaled ones. No error knows of a single weight that costs
    much and that no draw flips.

    Args:
      model: from `models.load`.
      calibration: windows that choose the outlier columns (at least 2).
      evaluation: other windows that score the damage (at least 8).
      rate: flip rate, as a part of the signs of each pool, in (0, 0.5].
      draws: number of random masks in each arm, at least 2.
      fraction: part of the columns of each layer's input that are outliers.
      anywhere: also flip signs in all columns, to which the matched errors are compared.
      batch: number of evaluation windows that are computed at a time; by default all.
      profile: `alpha` of these calibration windows, if already computed.
      options: as in `Options`.

    Raises:
      InvalidInput: as in `leverage`.

    Source: arXiv:2605.18933, experiment D.
    """
    rate, count = check_rate(rate), check_draws(draws, 2)
    own = {"experiment": "outlier flips", "rate": rate, "draws": count, "fraction": fraction}
    own |= {"anywhere": anywhere, "rows": "by draw, with factors"}
    setup = prepare(model, calibration, evaluation, own, batch=batch, **options)
    check_profile(profile, setup.configuration["calibration_sha256"])
    columns = stored_columns(setup, fraction, profile)
    pools = Pools.of(model, columns, setup.layers, setup.matrices)
    masks = draws_at(rate, pools, setup.seed)

    # To draw costs more than a pass; of a large model one draw fills gigabytes, and no second is kept.
    @functools.lru_cache(maxsize=1)
    def drawn(pool: str, draw: int) -> Flips:
        return masks.transform(masks.recipe(pool, draw))

    def nothing() -> sweep.Row:
        return setup.losses(masks.transform(masks.recipe(ARMS[asked[0]], 0).empty()))

    def losses(arm: str, draw: int) -> sweep.Row:
        flips = drawn(ARMS[arm], draw)
        if arm not in MATCHED:
            return setup.losses(flips)
        matched = MatchedFlips(*flips)
        return np.concatenate([setup.losses(matched), factors(model, matched)])

    asked, windows = outlier_arms(anywhere), len(setup.evaluation)
    # An arm and its matched version one after the other, by the same draw.
    cells = [(draw, arm) for draw in range(count) for arm in sorted(asked, key=ARMS.__getitem__)]
    tasks = [functools.partial(losses, arm, draw) for draw, arm in cells]
    # Behind the losses of a matched arm stand its factors, one for each matrix.
    factored = windows + len(setup.matrices) * model.config.layers
    sizes = [windows, windows, *(factored if arm in MATCHED else windows for _, arm in cells)]
    clean, same, *rows = setup.sweep([setup.losses, nothing, *tasks], 1, sizes)
    floor = setup.noise_floor((clean, same))
    by_cell = dict(zip(cells, rows, strict=True))
    tables = {arm: np.stack([by_cell[draw, arm] for draw in range(count)]) for arm in asked}
    nll = {arm: table[:, :windows] for arm, table in tables.items()}
    flips = {arm: masks.flips[ARMS[arm]] for arm in asked}
    factor = {arm: float(np.nanmedian(tables[arm][:, windows:])) for arm in MATCHED}
    return _judged(rate, flips, nll, clean, factor, floor, columns, setup.origin())


def outlier_arms(anywhere: bool) -> tuple[str, ...]:
    """The arms that are drawn."""
    return tuple(arm for arm in ARMS if anywhere or arm != ANYWHERE)


def check_rate(rate: float) -> float:
    """One rate at which fewer signs flip than stay."""
    if not 0 < rate <= 0.5:
        raise invalid("0 < rate <= 0.5", rate, "pass one part of the signs, like 0.05")
    return float(rate)


def draws_at(rate: float, pools: Pools, seed: int) -> Draws:
    """All draws of a rate in each pool, which an arm shares with its matched version."""
    sizes = {pool: pools.size(pool) for pool in POOLS.values()}
    # At rate 0.5 rounding may not pass half a pool: the drawn weights are those that flip.
    flips = {pool: min(flips_at(rate, size, "pool"), size // 2) for pool, size in sizes.items()}
    return Draws(pools, flips, keys.fold(keys.root(seed), "outlier flips"))


class MatchedFlips(Flips):
    """Multiplies the drawn weights so that their error has the norm expected of flips anywhere."""

    def __call__(self, weight: Float[Array, "outputs inputs"], layer: Array, name: str) -> Any:
        """The transformed weight, as `models.token_nll` asks for it."""
        if name not in self.coordinates:
            return weight
        factor = 1 - 2 * self.scale(weight, layer, name)
        # No arm is inverted here: `draws_at` flips at most half of a pool.
        drawn = weight.at[self.drawn(layer, name)]
        return drawn.multiply(factor.astype(weight.dtype), mode="drop")

    def scale(self, weight: Float[Array, "outputs inputs"], layer: Any, name: str) -> Float[Array, ""]:
        """s with s²·4Σ_drawn w² = rate·4‖W‖², where rate = drawn/pool; 1 where nothing is drawn."""
        # Squares at unit scale: those of tiny or huge weights do not exist.
        unit = unit_of(weight)
        squares = (weight.astype(unit.dtype) / unit) ** 2
        hit = jnp.sum(squares.at[self.drawn(layer, name)].get(mode="fill", fill_value=0.0))
        pool = weight.shape[0] * self.recipe.width[SITE_OF[name]]
        rate = self.recipe.drawn[name][layer].astype(unit.dtype) / pool.astype(unit.dtype)
        some = hit > 0
        ratio = jnp.sum(squares) * rate / jnp.where(some, hit, jnp.ones_like(hit))
        return jnp.where(some, jnp.sqrt(ratio), jnp.ones_like(hit))


def factors(model: LanguageModel, matched: MatchedFlips) -> Float[np.ndarray, " matrices"]:
    """What a drawn weight of each matrix is multiplied by; NaN where none is drawn."""
    blocks = model.params["blocks"]
    by_matrix = [
        np.where(np.asarray(drawn) > 0, fetch(_factors(matched, blocks[name], name)), np.nan)
        for name, drawn in matched.recipe.drawn.items()
    ]
    return np.concatenate(by_matrix)


@functools.partial(jit, static_argnums=2)
def _factors(
    matched: MatchedFlips, stacked: Float[Array, "layers outputs inputs"], name: str
) -> Float[Array, " layers"]:
    """What a drawn weight of one matrix is multiplied by, in each layer."""
    layers = jnp.arange(stacked.shape[0], dtype=jnp.int32)
    return jax.lax.map(lambda piece: 1 - 2 * matched.scale(piece[1], piece[0], name), (layers, stacked))


def _judged(
    rate: float,
    flips: dict[str, int],
    nll: dict[str, Table],
    clean: Float[np.ndarray, " windows"],
    factor: dict[str, float],
    floor: float,
    columns: Columns,
    origin: Mapping[str, Any],
) -> OutlierFlips:
    gaps = {arm: table - clean for arm, table in nll.items()}
    kept = {arm: finite(table) for arm, table in gaps.items()}
    damage = {arm: mean_loss(table) for arm, table in kept.items()}
    perplexity = {arm: exponential(mean_loss(finite(table))) for arm, table in nll.items()}
    ratios = {
        name: ratio_of_arms({arm: gaps[arm] for arm in pair}, floor=floor)
        for name, pair in RATIOS.items()
        if set(pair) <= set(gaps)
    }
    return OutlierFlips(rate, flips, damage, perplexity, ratios, factor, floor, kept, columns, origin)
