"""Count-matched leverage: what a sign flip costs in an outlier column, over what it costs elsewhere."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Unpack

import numpy as np

from signmag_jax.evidence import Picture, Result, invalid, keys
from signmag_jax.evidence.files import sha256_of_json
from signmag_jax.evidence.result import KEPT_OUT
from signmag_jax.models import LanguageModel

from . import inputs, sweep
from .activations import OUTLIER_FRACTION, Alpha, Columns, alpha
from .comparison import RateLeverage, arms_picture
from .flips import Draws
from .inputs import Windows
from .pools import OUTLIER, REST, Pools, TooFewWeights, flips_at
from .setup import Options, Setup, prepare

RATES = (0.001, 0.005, 0.05)
ARMS = (OUTLIER, REST)


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
      provenance: model, texts, seed, versions, device.
    """

    rates: tuple[RateLeverage, ...]
    noise_floor: float
    pool_sizes: dict[str, int]
    columns: Columns
    pools: Pools = field(metadata=KEPT_OUT)
    provenance: Mapping[str, Any]

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


def default_draws(rate: float) -> int:
    """Masks per arm: more at small rates, where few flips fall on the weights that decide."""
    return 15 if rate < 0.003 else 5 if rate < 0.03 else 3


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
        15, 5 or 3, more at smaller rates.
      fraction: part of the columns of each layer's input that are outliers.
      batch: number of evaluation windows that are computed at a time; by default all.
      profile: `alpha` of these calibration windows, if already computed.
      columns: outlier columns of another definition, by site and of shape (layers, chosen), for instance of
        `column_statistics`; then the calibration windows choose nothing here, and `fraction` is not used.
      options: as in `Options`.

    Returns:
      Damage per arm and leverage per rate. A leverage whose denominator is not separated from zero by 3
      standard errors, or of which one draw carries more than half, is unresolved, with the reason.

    Raises:
      InvalidInput: for too few or overlapping windows, rates out of range or too small for one flip,
        unknown layers or matrices, or a clean loss that is not finite.

    Source: arXiv:2605.18933, experiment E.
    """
    rates = inputs.check_rates(rates)
    counts = draws_per_rate(rates, draws)
    own = {"experiment": "leverage", "rates": list(rates), "draws": counts, "fraction": fraction}
    if columns is not None:
        plain = {site: np.asarray(chosen).tolist() for site, chosen in columns.items()}
        own["columns_sha256"] = sha256_of_json(plain)
    setup = prepare(model, calibration, evaluation, own, batch=batch, **options)
    check_profile(profile, setup.configuration["calibration_sha256"])
    if columns is None:
        columns = stored_columns(setup, fraction, profile)
    pools = Pools.of(model, columns, setup.layers, setup.matrices)
    flips = [_flips(rate, pools) for rate in rates]
    rows = setup.sweep(_tasks(setup, [draws_of(pools, k, setup.seed) for k in flips], counts), first=1)
    floor = setup.noise_floor(rows)
    tables = iter(np.stack(rows[2:]) - rows[0])
    results = [
        RateLeverage.of(
            rate, k, {arm: np.stack([next(tables) for _ in range(count)]) for arm in ARMS}, floor=floor
        )
        for rate, k, count in zip(rates, flips, counts, strict=True)
    ]
    sizes = {arm: pools.size(arm) for arm in ARMS}
    return Leverage(tuple(results), floor, sizes, columns, pools, setup.origin())


def draws_per_rate(rates: Sequence[float], draws: int | Sequence[int] | None) -> list[int]:
    """Masks per arm at each rate.

    Raises:
      InvalidInput: for fewer than two, or not one number per rate.
    """
    if draws is None:
        return [default_draws(rate) for rate in rates]
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


def _tasks(setup: Setup, draws: Sequence[Draws], counts: Sequence[int]) -> list[Any]:
    """Clean, A/A, then every draw: rates in order, arms within a rate, draws within an arm."""

    def flipped(one: Draws, arm: str, draw: int, nothing: bool = False) -> sweep.Row:
        plan = one.plan(arm, draw)
        return setup.losses(one.transform(plan.empty() if nothing else plan))

    tasks = [setup.losses, functools.partial(flipped, draws[0], OUTLIER, 0, nothing=True)]
    return tasks + [
        functools.partial(flipped, one, arm, draw)
        for one, count in zip(draws, counts, strict=True)
        for arm in ARMS
        for draw in range(count)
    ]
