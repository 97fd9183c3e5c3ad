"""What linear response predicts of the very flips that a leverage drew, beside what they cost."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from signmag_jax.evidence import invalid
from signmag_jax.evidence.ratio import paired_ratio
from signmag_jax.models import SITE_OF

from . import slopes
from .arm_comparison import RateLeverage
from .leverage import Leverage, draws_of
from .pools import ARMS
from .predicted import LinearResponse
from .response_checks import NEXT_TERM_EXCEEDS, Check, LeverageCheck, paired_error


def check_alike(response: LinearResponse, leverage: Leverage) -> None:
    """Refuse a leverage on other windows, layers, matrices or columns than the response.

    Raises:
      InvalidInput: with what differs.
    """
    for name in ("evaluation_sha256", "layers", "matrices"):
        if leverage.provenance[name] != response.provenance[name]:
            raise invalid(f"leverage with the same {name}", leverage.provenance[name], "measure both alike")
    if not all(np.array_equal(leverage.columns[site], chosen) for site, chosen in response.outliers.items()):
        raise invalid("leverage with the same outlier columns", "others", "give both the same calibration")


def damage_checks(response: LinearResponse, leverage: Leverage) -> list[Check]:
    """The Monte Carlo damage of a leverage beside its prediction, at every rate and in both arms.

    `control.controlled` takes the luck of its draws from a leverage beforehand.

    Raises:
      InvalidInput: if it was measured on other windows, layers, matrices or columns.
    """
    check_alike(response, leverage)
    return [_damage_check(response, leverage, one, arm) for one in leverage.rates for arm in ARMS]


def leverage_checks(response: LinearResponse, leverage: Leverage) -> list[LeverageCheck]:
    """The Monte Carlo leverage beside its prediction, at every rate.

    Raises:
      InvalidInput: as in `damage_checks`.
    """
    check_alike(response, leverage)
    return [_leverage_check(response, leverage, one) for one in leverage.rates]


def _damage_check(response: LinearResponse, leverage: Leverage, one: RateLeverage, arm: str) -> Check:
    rate, damage, measured = response.rates_of(arm, one.flips)[0], one.damage[arm], one.samples[arm]
    expected = predicted_damage(response, leverage, one, arm)
    predicted = slopes.mean(expected, "nat/token", "second order in the rate, flips as they were drawn")
    if damage is None or measured is None:
        return Check(rate, arm, predicted, None, None, None, "a draw gave no finite loss")
    # Paired, for both are of the same windows; beside it the orders left out, which no sample shows.
    error = float(np.hypot(paired_error(expected, measured + one.beside(arm)), response.left_out(arm, rate)))
    known = rate, arm, predicted, damage.estimate, error
    # Whether the measurement is separated from zero is an outcome, and decides nothing.
    if not slopes.separated(predicted):
        reason = f"the prediction is not separated from zero by {slopes.SEPARATION:g} standard errors"
        return Check(*known, None, reason)
    if rate > response.linear_below(arm, 1.0):
        return Check(*known, None, NEXT_TERM_EXCEEDS)
    gap = float(damage.estimate.value) - float(predicted.value)
    return Check(*known, gap / error if error > 0 else None, "" if error > 0 else "no scatter at all")


def _leverage_check(response: LinearResponse, leverage: Leverage, one: RateLeverage) -> LeverageCheck:
    predicted = paired_ratio(*(predicted_damage(response, leverage, one, arm) for arm in ARMS))
    known = one.rate, one.flips, predicted, one.leverage
    for what, ratio in (("prediction", predicted), ("measurement", one.leverage)):
        if ratio.interval is None:
            return LeverageCheck(*known, None, f"the {what}: {ratio.reason}")
    for arm in ARMS:
        if response.rates_of(arm, one.flips)[0] > response.linear_below(arm, 1.0):
            return LeverageCheck(*known, None, f"{arm}: {NEXT_TERM_EXCEEDS}")
    measured, expected = (ratio.interval.estimate for ratio in (one.leverage, predicted) if ratio.interval)
    return LeverageCheck(*known, float(measured.distance(expected)))


def predicted_damage(
    response: LinearResponse, leverage: Leverage, one: RateLeverage, arm: str
) -> Float[np.ndarray, "probes windows"]:
    """The predicted damage of the flips of a leverage at one rate, of every probe and window.

    They are shared over matrices in whole numbers, which few flips cannot do in proportion: each matrix
    counts as it was hit, to first order in the rate.
    """
    rate, pair_rate = response.rates_of(arm, one.flips)
    pools, draws = leverage.pools, draws_of(leverage.pools, one.flips, leverage.provenance["seed"])
    recipes = [draws.recipe(arm, draw) for draw in range(one.draws)]
    shift, layers = 0.0, list(response.taking_part)
    for name, by_column in response.columns.items():
        # In the layers that take part; the rest of the model has no slopes.
        part = np.mean([draws.flipped_part(recipe, arm, name) for recipe in recipes], axis=0)[layers]
        slope = np.zeros(pools.order[SITE_OF[name]].shape)
        slope[layers] = by_column.slope.value
        shift += float(np.sum((part - rate) * pools.pool_sum(name, arm, slope)[layers]))
    return response.table(arm, rate, pair_rate) + shift
