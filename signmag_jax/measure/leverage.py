"""Count-matched leverage: what a sign flip costs in an outlier column, over what it costs elsewhere."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Unpack

import numpy as np
from jaxtyping import Float

from signmag_jax.evidence import Picture, Result, keys
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.files import sha256_of_json
from signmag_jax.evidence.result import KEPT_OUT
from signmag_jax.models import LanguageModel

from . import inputs, sweep
from .activations import OUTLIER_FRACTION, Alpha, Columns
from .arm_comparison import UNPREDICTED, RateLeverage, arms_picture
from .chosen import check_profile, columns_and_heavy, plain_columns
from .flips import Draws
from .inputs import Windows
from .place import flipped
from .pools import ARMS, OUTLIER, REST, Pools, TooFewWeights, flips_at
from .ranking import Ranking
from .screening import check_heavy
from .setup import Options, Setup, prepare
from .strata import HEAVY, Strata, room_left
from .stratified import Stratified

RATES = (0.001, 0.005, 0.05)
DRAWS = 5
"""Random masks in each arm: 3 resolve no ratio."""


@dataclass(frozen=True, eq=False)
class Leverage(Result):
    """Result of `leverage`.

    Args:
      rates: one entry per rate.
      noise_floor: largest |ΔNLL| of a window between the clean model and the flipping program with
        nothing flipped (A/A), in nats per token.
      pool_sizes: weights in the outlier pool and in the rest.
      columns: the outlier columns, by site, shape (layers, chosen).
      pools: the weights among which flips were drawn.
      heavy: by arm, the weights that were flipped one by one and are in no light draw, and what is predicted
        of the others; empty where nothing was predicted.
      costs: by arm, what the flip of each heavy weight costs on each window, in nats per token.
      provenance: model, texts, seed, versions, device.
    """

    SHOWN = ("heavy_weights",)

    rates: tuple[RateLeverage, ...]
    noise_floor: float
    pool_sizes: dict[str, int]
    columns: Columns
    pools: Pools = field(metadata=KEPT_OUT)
    heavy: dict[str, Ranking] = field(metadata=KEPT_OUT)
    costs: dict[str, Float[np.ndarray, "heavy windows"]] = field(metadata=KEPT_OUT)
    provenance: Mapping[str, Any]

    def stratified(self, one: RateLeverage, seed: int) -> Stratified:
        """The draws of one rate, made again."""
        return Stratified.of(draws_of(self.pools, one.flips, seed), self.heavy)

    def heavy_weights(self) -> dict[str, list[dict[str, Any]]]:
        """Where each heavy weight stands, what its flip was predicted to cost and what it cost, by arm."""
        return {
            arm: [
                place.to_json() | {"predicted": predicted, "cost": _finite(cost.mean())}
                for place, predicted, cost in zip(one.places, one.costs, self.costs[arm], strict=True)
            ]
            for arm, one in self.heavy.items()
        }

    def summary(self) -> dict[str, str]:
        """The noise floor and the heavy weights, then by rate the leverage and the damage of both arms."""
        lines = {"noise floor": f"{self.noise_floor:.2g} nat/token"}
        for arm, weights in self.heavy_weights().items():
            for place, each in zip(self.heavy[arm].places, weights, strict=True):
                cost = "not finite" if each["cost"] is None else f"{each['cost']:.3g} nat/token"
                lines[f"flip of {place.label()} alone, {arm}"] = cost
        if not self.heavy:
            lines["left to chance"] = UNPREDICTED
        for each in self.rates:
            lines |= each.lines("leverage")
        return lines

    def rows(self) -> list[dict[str, Any]]:
        """ΔNLL of every draw and window."""
        return [row for each in self.rates for row in each.rows()]

    def picture(self) -> Picture:
        """The damage of both arms and the leverage against the rate."""
        return arms_picture(self.rates, "leverage", "Sign flips in outlier columns against the rest")


@counting
def leverage(
    model: LanguageModel,
    calibration: Windows,
    evaluation: Windows,
    *,
    rates: Sequence[float] = RATES,
    draws: int | Sequence[int] = DRAWS,
    fraction: float = OUTLIER_FRACTION,
    batch: int | None = None,
    profile: Alpha | None = None,
    columns: Columns | None = None,
    heavy: int = HEAVY,
    **options: Unpack[Options],
) -> Leverage:
    """Flip exactly k signs in outlier columns or in the rest, and compare the mean damage per flip.

    `leverage = mean ΔNLL(k flips in outlier columns) / mean ΔNLL(k flips elsewhere)`

    k = round(rate × weights in outlier columns), shared over matrices and layers in proportion; each draw
    is a uniform subset, independent between matrices, arms, rates and draws. ΔNLL is paired with the clean
    model on every evaluation window, in identical shapes.

    Args:
      model: from `models.load`.
      calibration: windows that choose the outlier columns (at least 2).
      evaluation: other windows that score the damage (at least 8).
      rates: flip rates, as parts of the weights in outlier columns, in (0, 1].
      draws: number of random masks in each arm, at least 2: one for all rates, or one for each. By 3 no ratio
        is resolved.
      fraction: part of the columns of each layer's input that are outliers.
      batch: number of evaluation windows that are computed at a time; by default all.
      profile: `alpha` of these calibration windows, if already computed.
      columns: outlier columns of another definition, by site and of shape (layers, chosen), for instance of
        `column_statistics`; then the calibration windows choose nothing here, and `fraction` is not used.
      heavy: how many weights are left out of the draws and flipped one by one, those that are predicted on
        the calibration windows to carry most of their pool; further draws flip some of them together with
        the rest. 0: nothing is predicted, and nothing said of weights that no draw hits.
      options: as in `Options`.

    Returns:
      Damage per arm and leverage per rate. A leverage is unresolved, with the reason, where its denominator
      is not separated from zero by 3 standard errors, its draws count as no more than 3 of equal weight, or
      the weights that they hardly ever hit are predicted to carry what the error does not know of.

    Raises:
      InvalidInput: for too few or overlapping windows, rates out of range or too small for one flip,
        unknown layers or matrices, or a clean loss that is not finite.

    Source: arXiv:2605.18933, experiment E.
    """
    rates = inputs.check_rates(rates)
    counts = inputs.draws_per_rate(rates, draws)
    own: dict[str, Any] = {"experiment": "leverage", "rates": list(rates), "draws": counts}
    own |= {"fraction": fraction, "heavy": check_heavy(heavy)}
    if columns is not None:
        own["columns_sha256"] = sha256_of_json(plain_columns(columns))
    setup = prepare(model, calibration, evaluation, own, batch=batch, **options)
    check_profile(profile, setup.configuration["calibration_sha256"])
    columns, ranked = columns_and_heavy(setup, fraction, profile, columns, heavy)
    pools = Pools.of(model, columns, setup.layers, setup.matrices)
    flips = [_flips(rate, pools) for rate in rates]
    masks = [Stratified.of(draws_of(pools, k, setup.seed), ranked) for k in flips]
    # In the order of `_tasks`, from record 1 on: record 0 holds what was chosen.
    rows = iter(setup.sweep(_tasks(setup, masks, counts, ranked), first=1))
    clean = next(rows)
    # The same weights through the program that flips: what differs is arithmetic.
    floor = setup.noise_floor([clean, next(rows)])
    costs = {arm: _rows(rows, len(ranking.places), clean) for arm, ranking in ranked.items()}
    results = []
    for rate, one, count in zip(rates, masks, counts, strict=True):
        samples, strata = {}, {}
        for arm in ARMS:
            samples[arm] = light = _rows(rows, count, clean)
            joint = _rows(rows, one.joint_draws(arm, count), clean)
            if arm in ranked:
                room = room_left(light, clean, costs[arm], model.config.vocabulary)
                strata[arm] = Strata.of(one, arm, light=light, joint=joint, costs=costs[arm], room=room)
        results.append(RateLeverage.of(rate, one.draws.flips[OUTLIER], samples, floor=floor, strata=strata))
    sizes = {arm: pools.size(arm) for arm in ARMS}
    return Leverage(tuple(results), floor, sizes, columns, pools, ranked, costs, setup.origin())


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _rows(rows: Iterator[sweep.Row], count: int, clean: sweep.Row) -> Float[np.ndarray, "count windows"]:
    return np.reshape([next(rows) - clean for _ in range(count)], (count, len(clean)))


def draws_of(pools: Pools, flips: int, seed: int) -> Draws:
    """All draws of so many flips, in either arm."""
    # Keyed by their number: a rate has the same draws whatever other rates are asked for.
    return Draws(pools, dict.fromkeys(ARMS, flips), keys.fold(keys.root(seed), "leverage", flips))


def _flips(rate: float, pools: Pools) -> int:
    # As many in either arm, and the rate is that of the outlier pool: damage per flip is compared.
    flips, rest = flips_at(rate, pools.size(OUTLIER), "outlier pool"), pools.size(REST)
    if flips > rest:
        raise TooFewWeights(
            f"`as many weights outside the outlier pool as flips` is required, received {flips} flips and "
            f"{rest} weights: lower the rate or the fraction"
        )
    return flips


def _tasks(
    setup: Setup, masks: Sequence[Stratified], counts: Sequence[int], ranked: Mapping[str, Ranking]
) -> list[Any]:
    """Clean, A/A, heavy weights by arm; then draws, by rate and by arm, light ones before joint ones."""

    # Any recipe will do, once emptied.
    def nothing() -> sweep.Row:
        draws = masks[0].draws
        return setup.losses(draws.transform(draws.recipe(OUTLIER, 0).empty()))

    def drawn(one: Stratified, kind: str, arm: str, draw: int) -> sweep.Row:
        recipe, coordinates, *_ = getattr(one, kind)(arm, draw)
        return setup.losses(one.transform(recipe, coordinates))

    tasks: list[Any] = [setup.losses, nothing]
    for ranking in ranked.values():
        tasks += [
            functools.partial(setup.losses_from, place.layer, flipped([place])) for place in ranking.places
        ]
    for one, count in zip(masks, counts, strict=True):
        for arm in ARMS:
            for kind, number in (("light", count), ("joint", one.joint_draws(arm, count))):
                tasks += [functools.partial(drawn, one, kind, arm, draw) for draw in range(number)]
    return tasks
