"""What flips in outlier columns cost over flips elsewhere (Exp E): by flips, by derivatives and by theory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from signmag_jax import measure, theory
from signmag_jax.claims.claim import Claim, Evidence, Missing, other_model
from signmag_jax.claims.levels import Level
from signmag_jax.claims.measured import Measured, ModelRun
from signmag_jax.claims.pieces import Results
from signmag_jax.claims.published import PAPER, paper, path_of_row
from signmag_jax.claims.supply import of_ratio
from signmag_jax.evidence import Estimate, ratio_of_means
from signmag_jax.measure.pools import OUTLIER, REST
from signmag_jax.measure.registry import CONTROLLED
from signmag_jax.measure.suspects import FISHER
from signmag_jax.models import MATRICES

from .alignment import PROFILE

Z95 = 1.96
ARMS = {OUTLIER: "outlier columns", REST: "the other columns"}
NEXT_ORDER = 0.25
"""Part of the linear term that the next one may be; what lies beyond is then smaller by as much again."""
RARE = 0.1
"""Weights of known cost that a draw may flip, in the mean."""


@dataclass(frozen=True)
class Checked:
    """Flips with derivatives as their control variate, and what derivatives predict for them.

    Args:
      leverage: of the flips, less the luck of their draws.
      ratios: by rate, the leverage by both ways.
      damage: by rate and arm, ΔNLL by both ways.
    """

    response: measure.LinearResponse
    leverage: measure.Leverage
    ratios: Mapping[float, measure.LeverageCheck]
    damage: Mapping[tuple[float, str], measure.Check]


def _checked(run: ModelRun, **_: Any) -> Checked:
    response, flips = run.needed(RESPONSE), run.needed(LEVERAGE)
    leverage = measure.controlled(run.model, run.evaluation, flips, response)
    rates = [one.rate for one in leverage.rates]
    pairs = [(rate, arm) for rate in rates for arm in ARMS]
    return Checked(
        response,
        leverage,
        dict(zip(rates, measure.leverage_checks(response, leverage), strict=True)),
        dict(zip(pairs, measure.damage_checks(response, leverage), strict=True)),
    )


def _pool_law(run: ModelRun, **_: Any) -> Evidence:
    return pool_law(run.needed(COLUMNS), len(run.calibration), run.needed(PROFILE).provenance)


COLUMNS = Measured(
    "column_energies",
    lambda run, **_: measure.column_energies(run.model, run.needed(PROFILE)),
    passes=lambda level: 0.0,
)
POOL_LAW: Measured[Estimate] = Measured("pool_law", _pool_law, passes=lambda level: 0.0)
LEVERAGE = Measured(
    "leverage",
    lambda run, **options: measure.leverage(*run.windows, profile=run.needed(PROFILE), **options),
    options=lambda level: {
        "rates": level.leverage_rates,
        "draws": level.leverage_draws,
        "heavy": level.leverage_heavy,
    },
    amount=lambda level: max(level.leverage_draws),
    what="the leverage",
    profiled=True,
)
RESPONSE = Measured(
    "linear_response",
    lambda run, **options: measure.linear_response(*run.windows, profile=run.needed(PROFILE), **options),
    options=lambda level: {"probes": level.probes, "singles": level.singles, "shortlist": FISHER},
    amount=lambda level: level.probes,
    what="the linear response",
    profiled=True,
)
CHECKED = Measured(
    "controlled",
    _checked,
    amount=lambda level: level.probes,
    what="the linear response",
    passes=lambda level: CONTROLLED.passes(windows=level.windows, window=level.window),
)


def rows(level: Level, results: Results) -> Iterator[Claim]:
    """Leverage at every rate, and the abstract's factor beside the paper's own seeds."""
    for rate in level.leverage_rates:
        yield _leverage(rate, results)
    for row in paper()["count_matched_leverage"]["rows"]:
        yield _plateau(row["rate"])


def _leverage(rate: float, results: Results) -> Claim:
    measured = leverage_by_flips(results, rate)
    return other_model(
        f"leverage.rate={rate:g}",
        "section 9.5, Exp E",
        f"Count-matched leverage of sign flips in outlier columns, {rate:.2%} of the outlier pool.",
        {
            "published": lambda: published_leverage(rate),
            "predicted": results.supply(POOL_LAW, lambda law: law),
            "measured": lambda: measured,
        },
        results.model,
        "Predicted: mean α²‖w‖² of the outlier columns over that of the rest, every output mattering alike. "
        "Measured: by flips; at small rates with derivatives as a control variate. Nothing bounds it by 19: "
        "that bound assumes that the pool has at most half of the variance.",
        quotes=(
            f"{path_of_row('count_matched_leverage', rate=rate)}.nll_leverage_median",
            "abstract.leverage_at_linear_response",
        ),
    )


def leverage_by_flips(results: Results, rate: float) -> Evidence:
    """The leverage at one rate, with derivatives as a control variate where the level has them.

    Not at larger rates: there costs do not add up, and the control variate may add to the scatter.
    """
    checked = results[CHECKED]
    if isinstance(checked, Missing) or too_large(checked.ratios[rate].flips, checked.response):
        return results.evidence(LEVERAGE, lambda leverage: _at(leverage, rate))
    return _at(checked.leverage, rate)


def _at(leverage: measure.Leverage, rate: float) -> Evidence:
    ratio = next(one.leverage for one in leverage.rates if one.rate == rate)
    return of_ratio(ratio, leverage.provenance)


def beyond(response: measure.LinearResponse, arm: str, rate: float) -> str:
    """Why a rate is too large for two orders, or nothing.

    The next term is a signed sum and may cancel: its error counts as well. That of pairs with a weight of
    known cost is not in it, so that these must be flipped rarely.
    """
    pairs, slope = response.interaction[arm], abs(float(response.pools[arm].slope.value))
    largest = abs(float(pairs.value)) + 2 * float(pairs.standard_error)
    if rate * largest > NEXT_ORDER * slope:
        return f"{ARMS[arm]}: the second order may exceed {NEXT_ORDER:.0%} of the first, and a third counts"
    known = sum(response.is_outlier(weight) == (arm == OUTLIER) for weight in response.singles)
    if rate * known > RARE:
        return f"{ARMS[arm]}: a draw flips {rate * known:.2g} of the {known} weights of known cost"
    return ""


def too_large(flips: int, response: measure.LinearResponse) -> str:
    """`beyond` in either arm, for so many flips in each."""
    reasons = (beyond(response, arm, rate_of(flips, arm, response)) for arm in ARMS)
    return next(filter(None, reasons), "")


def rate_of(flips: int, arm: str, response: measure.LinearResponse) -> float:
    """Flips as a part of an arm's weights."""
    return flips / int(response.pools[arm].weights)


def pool_law(
    columns: Mapping[str, measure.ColumnEnergy], windows: int, origin: Mapping[str, Any]
) -> Evidence:
    """Theory's leverage on the model's own α² and ‖w‖²: every column of every matrix, one pool."""
    alpha, norm, pool = (
        np.concatenate([np.ravel(getattr(energy, name)) for energy in columns.values()])
        for name in ("alpha_squared", "column_norm_squared", "pool")
    )
    norm = norm / (norm.max() or 1.0)  # only ratios matter, and the square of a square may overflow
    cost = alpha * norm
    for where, chosen in (("outlier columns", pool), ("other columns", ~pool)):
        if not cost[chosen].sum() > 0:
            return Missing("UNRESOLVED", f"α²‖w‖² is 0 in all {chosen.sum()} {where}")
    value = float(theory.pool_leverage(alpha, norm, pool))
    error = np.concatenate([np.ravel(energy.alpha_error) for energy in columns.values()]) * norm
    inside = np.sum(error[pool] ** 2) / np.sum(cost[pool]) ** 2
    outside = np.sum(error[~pool] ** 2) / np.sum(cost[~pool]) ** 2
    name = "α²‖w‖² law on measured α², whose errors are propagated as independent"
    return Estimate(value, value * float(np.sqrt(inside + outside)), windows, "1", name, origin)


def published_leverage(rate: float) -> Evidence:
    """Ratio of mean damage over the paper's ten seeds."""
    table = paper()["count_matched_leverage"]
    row = next(row for row in table["rows"] if row["rate"] == rate)
    perplexities = (row[name] for name in ("outlier_ppl", "rest_ppl"))
    return published_damage(table, *perplexities, whose="the paper's ten seeds")


def missed_singles(results: Results, rate: float, damage: float, kinds: Sequence[str] = MATRICES) -> float:
    """What draws at a rate may have missed of all weights of known cost in these matrices, over a damage.

    Infinite where none is known: rare heavy weights would then be missed unseen.
    """
    response = results[RESPONSE]
    if isinstance(response, Missing) or not damage > 0:
        return math.inf
    inside = [single.name in kinds for single in response.singles]
    return rate * float(np.abs(response.costs.mean(axis=1))[inside].sum()) / damage


def published_damage(table: Mapping[str, Any], outlier: Any, rest: Any, whose: str) -> Evidence:
    """Ratio of mean ΔNLL over the paper's seeds, from their perplexities.

    The error is the wider side of Fieller's 95% interval over 1.96: the interval of a ratio is lopsided, and
    its linearised error would flatter it.
    """
    damage = (np.log(arm)[:, None] - math.log(table["baseline_ppl"]) for arm in (outlier, rest))
    ratio = ratio_of_means(*damage)
    if ratio.interval is None:
        return Missing("UNRESOLVED", f"{whose}: {ratio.reason}")
    value = ratio.interval.estimate.value
    error = max(ratio.interval.high - value, value - ratio.interval.low) / Z95
    what = f"{whose}: ratio of mean ΔNLL, Fieller's interval"
    return Estimate(value, error, len(outlier), "1", what, {"source": PAPER, "section": table["section"]})


def _plateau(rate: float) -> Claim:
    """The paper's leverage at one rate against its abstract: neither figure is of the measured model."""
    abstract = paper()["abstract"]
    inside = rate <= abstract["linear_response_up_to_p"]
    about = abstract["leverage_at_linear_response"]
    claim = f"is about {about}" if inside else f"leaves the plateau of about {about}"
    return Claim(
        name=f"abstract.leverage_10.rate={rate:g}",
        claimant="paper",
        source="abstract; section 9.5, Exp E",
        statement=f"TinyLlama's leverage at rate {rate:g} {claim} (abstract: for p ≤ 0.5%).",
        routes={"published": lambda: published_leverage(rate)},
        kind="other",
        quotes=(
            "abstract.leverage_at_linear_response",
            f"{path_of_row('count_matched_leverage', rate=rate)}.nll_leverage_median",
        ),
        note="No independent evidence. Published: the paper's own ten seeds, as a ratio of means with "
        "Fieller's interval; its median of ratios keeps seeds whose denominator was not positive.",
    )
