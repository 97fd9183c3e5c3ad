"""Count-matched leverage: what a sign flip costs in an outlier column, over what it costs elsewhere."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Unpack

import numpy as np
from jaxtyping import Float

from signmag_jax.evidence import Picture, Result, invalid, keys
from signmag_jax.evidence.files import sha256_of_json
from signmag_jax.evidence.result import KEPT_OUT
from signmag_jax.models import LanguageModel

from . import inputs, sweep
from .activations import OUTLIER_FRACTION, Alpha, Columns, alpha
from .comparison import RateLeverage, arms_picture
from .flips import Draws
from .inputs import Windows
from .place import FlippedWeight, Place
from .pools import OUTLIER, REST, Pools, TooFewWeights, flips_at
from .screening import RANKED, Ranking, rankings
from .setup import Options, Setup, prepare
from .strata import HEAVY, Strata, Stratified

RATES = (0.001, 0.005, 0.05)
DRAWS = 5
"""By 3 no ratio is resolved."""
ARMS = (OUTLIER, REST)
JOINT = 5
"""Draws for each one, at least, that flips heavy weights together with the rest."""


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
      heavy: by arm, the weights of largest predicted cost; those that were flipped one by one are in no draw.
      costs: by arm, what each of these costs on each window, in nats per token.
      provenance: model, texts, seed, versions, device.
    """

    rates: tuple[RateLeverage, ...]
    noise_floor: float
    pool_sizes: dict[str, int]
    columns: Columns
    pools: Pools = field(metadata=KEPT_OUT)
    heavy: dict[str, Ranking] = field(metadata=KEPT_OUT)
    costs: dict[str, Float[np.ndarray, "heavy windows"]]
    provenance: Mapping[str, Any]

    def stratified(self, one: RateLeverage, seed: int) -> Stratified:
        """The draws of one rate, made again."""
        return Stratified.of(draws_of(self.pools, one.flips, seed), self.heavy)

    def summary(self) -> dict[str, str]:
        """The noise floor, then for each rate the leverage and the damage of both arms."""
        lines = {"noise floor": f"{self.noise_floor:.2g} nat/token"}
        for each in self.rates:
            lines |= each.lines("leverage")
        return lines

    def rows(self) -> list[dict[str, Any]]:
        """ΔNLL of every draw and window."""
        return [row for each in self.rates for row in each.rows()]

    def picture(self) -> Picture:
        """Both arms and the leverage against the rate."""
        return arms_picture(self.rates, "leverage", "Sign flips in outlier columns against the rest")


def leverage(
    model: LanguageModel,
    calibration: Windows,
    evaluation: Windows,
    *,
    rates: Sequence[float] = RATES,
    draws: int | Sequence[int] | None = None,
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
      draws: number of random masks in each arm, at least 2: one for all rates, or one for each; by default
        5. By 3 no ratio is resolved.
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
    counts = draws_per_rate(rates, draws)
    own: dict[str, Any] = {"experiment": "leverage", "rates": list(rates), "draws": counts}
    own |= {"fraction": fraction, "heavy": check_heavy(heavy)}
    if columns is not None:
        plain = {site: np.asarray(chosen).tolist() for site, chosen in columns.items()}
        own["columns_sha256"] = sha256_of_json(plain)
    setup = prepare(model, calibration, evaluation, own, batch=batch, **options)
    check_profile(profile, setup.configuration["calibration_sha256"])
    columns, ranked = _chosen(setup, fraction, profile, columns, heavy)
    pools = Pools.of(model, columns, setup.layers, setup.matrices)
    flips = [_flips(rate, pools) for rate in rates]
    masks = [Stratified.of(draws_of(pools, k, setup.seed), ranked) for k in flips]
    rows = iter(setup.sweep(_tasks(setup, masks, counts, ranked), first=1))
    clean = next(rows)
    floor = setup.noise_floor([clean, next(rows)])
    costs = {arm: _rows(rows, len(ranking.places), clean) for arm, ranking in ranked.items()}
    results = []
    for rate, one, count in zip(rates, masks, counts, strict=True):
        samples, strata = {}, {}
        for arm in ARMS:
            samples[arm] = _rows(rows, count, clean)
            joint = _rows(rows, joint_draws(one, arm, count), clean)
            if arm in ranked:
                room = room_left(samples[arm], clean, costs[arm], model.config.vocabulary)
                strata[arm] = _strata(one, arm, samples[arm], room, joint, costs[arm], ranked[arm])
        results.append(RateLeverage.of(rate, one.draws.flips[OUTLIER], samples, floor=floor, strata=strata))
    sizes = {arm: pools.size(arm) for arm in ARMS}
    return Leverage(tuple(results), floor, sizes, columns, pools, ranked, costs, setup.origin())


def _rows(rows: Iterator[sweep.Row], count: int, clean: sweep.Row) -> Float[np.ndarray, "count windows"]:
    return np.reshape([next(rows) - clean for _ in range(count)], (count, len(clean)))


def _strata(
    one: Stratified,
    arm: str,
    light: Float[np.ndarray, "draws windows"],
    room: Float[np.ndarray, " draws"],
    joint: Float[np.ndarray, "joint windows"],
    costs: Float[np.ndarray, "heavy windows"],
    ranking: Ranking,
) -> Strata:
    """What stands beside the light draws: each joint draw less the light one that it shares weights with."""
    count, flips, size = len(light), one.draws.flips[arm], one.draws.pools.size(arm)
    rate, rows, known = flips / size, [], np.zeros(light.shape[1])
    left = Ranking((), ranking.costs, ranking.beyond)
    if one.heavy[arm]:
        known = one.mean_rates(arm, count) @ costs
        left = ranking
    for draw, row in enumerate(joint):
        _, _, flipped, weight = one.joint(arm, draw)
        rows.append(weight * (row - light[draw] - room[draw] * costs[list(flipped)].sum(axis=0)))
    together = np.reshape(rows, joint.shape)
    return Strata(
        known, room, together, left.hardly_seen(rate, count), left.largest_left, float((1 - rate) ** count)
    )


def joint_draws(draws: Stratified, arm: str, count: int) -> int:
    """How many draws flip heavy weights, beside `count` that do not."""
    return max(1, count // JOINT) if draws.heavy[arm] else 0


def room_left(
    light: Float[np.ndarray, "draws windows"],
    clean: Float[np.ndarray, " windows"],
    costs: Float[np.ndarray, "heavy windows"],
    vocabulary: int,
) -> Float[np.ndarray, " draws"]:
    """The part of a single flip's cost that is expected when it is added to each draw.

    Losses have room up to that of a model which knows nothing, or where single flips take them; what the
    other flips cost is gone from it.
    """
    reached = costs.mean(axis=1).max(initial=0.0)
    whole = max(math.log(vocabulary) - float(clean.mean()), reached, np.finfo(np.float64).tiny)
    return np.clip(1 - light.mean(axis=1) / whole, 0.0, 1.0)


def check_heavy(heavy: int) -> int:
    """Refuse a negative number of heavy weights."""
    if not 0 <= heavy <= RANKED:
        raise invalid(f"0 <= heavy <= {RANKED}", heavy, "pass how many weights to flip one by one")
    return heavy


def _chosen(
    setup: Setup,
    fraction: float,
    profile: Alpha | None,
    columns: Columns | None,
    heavy: int,
) -> tuple[Columns, dict[str, Ranking]]:
    """The outlier columns and the heavy weights of both pools, chosen once."""

    def choose() -> dict[str, Any]:
        known = profile
        if known is None and (columns is None or heavy):
            known = alpha(setup.model, setup.calibration)
        chosen = known.outliers(fraction) if columns is None and known is not None else columns
        assert chosen is not None
        plain, ranked = {site: np.asarray(rows).tolist() for site, rows in chosen.items()}, {}
        if heavy and known is not None:
            pools = Pools.of(setup.model, chosen, setup.layers, setup.matrices)
            ranked = rankings(setup.model, setup.calibration, known, pools, heavy, setup.seed)
        return {"columns": plain, "heavy": {arm: one.to_record() for arm, one in ranked.items()}}

    stored = setup.once(choose)
    ranked = {arm: Ranking.of_record(one) for arm, one in stored["heavy"].items()}
    return {site: np.asarray(rows) for site, rows in stored["columns"].items()}, ranked


def draws_per_rate(rates: Sequence[float], draws: int | Sequence[int] | None) -> list[int]:
    """Masks per arm at each rate.

    Raises:
      InvalidInput: for fewer than two, or not one number per rate.
    """
    if draws is None:
        return [DRAWS] * len(rates)
    counts = [draws] * len(rates) if isinstance(draws, int) else list(draws)
    if len(counts) != len(rates) or min(counts) < 2:
        raise invalid(
            f"draws >= 2, one number or {len(rates)} (one per rate)", draws, "one mask has no standard error"
        )
    return counts


def check_profile(profile: Alpha | None, calibration_sha256: str) -> None:
    """Refuse an `alpha` of other windows than those that choose the columns."""
    if profile is not None and profile.provenance["tokens_sha256"] != calibration_sha256:
        raise invalid(
            "profile measured on the calibration windows",
            profile.provenance["tokens_sha256"],
            "pass `alpha(model, calibration)`, or no profile",
        )


def stored_columns(setup: Setup, fraction: float, profile: Alpha | None = None) -> Columns:
    """The outlier columns, chosen once."""

    def choose() -> dict[str, Any]:
        known = alpha(setup.model, setup.calibration) if profile is None else profile
        return {site: chosen.tolist() for site, chosen in known.outliers(fraction).items()}

    return {site: np.asarray(chosen) for site, chosen in setup.once(choose).items()}


def draws_of(pools: Pools, flips: int, seed: int) -> Draws:
    """All draws of so many flips, in either arm."""
    return Draws(pools, dict.fromkeys(ARMS, flips), keys.fold(keys.root(seed), "leverage", flips))


def _flips(rate: float, pools: Pools) -> int:
    flips, rest = flips_at(rate, pools.size(OUTLIER), "outlier pool"), pools.size(REST)
    if flips > rest:
        raise TooFewWeights(
            f"`as many weights outside the outlier pool as flips` is required, received {flips} flips and "
            f"{rest} weights: lower the rate or the fraction"
        )
    return flips


def _tasks(
    setup: Setup, draws: Sequence[Stratified], counts: Sequence[int], ranked: Mapping[str, Ranking]
) -> list[Any]:
    """Clean, A/A, heavy weights by arm, then every draw: rates in order, arms in a rate, draws in an arm."""

    def nothing(one: Stratified) -> sweep.Row:
        plan = one.draws.plan(OUTLIER, 0)
        return setup.losses(one.draws.transform(plan.empty()))

    def light(one: Stratified, arm: str, draw: int) -> sweep.Row:
        return setup.losses(one.transform(*one.light(arm, draw)))

    def joint(one: Stratified, arm: str, draw: int) -> sweep.Row:
        return setup.losses(one.transform(*one.joint(arm, draw)[:2]))

    def alone(place: Place) -> sweep.Row:
        return setup.losses(FlippedWeight.at(place))

    tasks: list[Any] = [setup.losses, functools.partial(nothing, draws[0])]
    tasks += [functools.partial(alone, place) for one in ranked.values() for place in one.places]
    for one, count in zip(draws, counts, strict=True):
        for arm in ARMS:
            tasks += [functools.partial(light, one, arm, draw) for draw in range(count)]
            tasks += [
                functools.partial(joint, one, arm, draw) for draw in range(joint_draws(one, arm, count))
            ]
    return tasks
