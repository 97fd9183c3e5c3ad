"""Linear response: damage and leverage by derivatives, against sign flips on the same text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from signmag_jax.claims.claim import Claim, Evidence, Missing, Route
from signmag_jax.claims.levels import Level
from signmag_jax.claims.pieces import Results
from signmag_jax.claims.supply import exact, of_ratio, value_of, with_origin
from signmag_jax.evidence import Estimate
from signmag_jax.measure.pools import OUTLIER, REST

from .leverage import ARMS, CHECKED, POOL_LAW, RESPONSE, Checked, beyond, rate_of, too_large

PAIR: tuple[Route, Route] = ("predicted", "measured")
SOURCE = "linear response, second order in the rate"
NOTE = (
    "Measured by flips on the same text. First derivatives and the exact costs of single weights serve as a "
    "control variate: the plain mean less the luck of its draws, with the same expectation."
)
TENTH = 0.1


def rows(level: Level, results: Results) -> Iterator[Claim]:
    """The law of pools against derivatives, and derivatives against flips.

    Beyond the smallest rate, a draw in outlier columns flips more than `RARE` of the weights of known cost at
    the level that runs these rows: there two orders claim nothing.
    """
    yield _law(results)
    yield _share(results)
    smallest = min(level.leverage_rates)
    yield _leverage(smallest, results)
    yield damage(smallest, OUTLIER, results)
    for rate in level.leverage_rates:
        yield damage(rate, REST, results)


def _law(results: Results) -> Claim:
    return Claim(
        name="response.pool_law",
        claimant="open",
        source="pools of columns, carried over to a trained model",
        statement="The leverage of the loss at small rates is that of α²‖w‖².",
        routes={
            "predicted": results.supply(POOL_LAW, lambda law: law),
            "measured": results.supply(RESPONSE, lambda run: of_ratio(run.leverage, run.provenance)),
        },
        compare=(PAIR,),
        rival=lambda: 1.0,
        rival_is="every sign costs the same",
        logarithmic=True,
        runs_from="default",
        note="Measured: by derivatives of the loss, without the scatter of draws. The law is ours and counts "
        "every output of a matrix alike, which no trained model promises: the row asks how far it carries. "
        "Logarithms are compared.",
    )


def _share(results: Results) -> Claim:
    return Claim(
        name="response.share_of_singles",
        claimant="open",
        source="single weights that decide, as Yu et al. 2024 (arXiv:2411.07191) find in larger models",
        statement="A handful of single weights carry more than a tenth of the outlier pool's slope.",
        routes={
            "predicted": exact(lambda: TENTH, name="a tenth"),
            "measured": results.supply(
                RESPONSE, lambda run: of_ratio(run.share_of_singles(), run.provenance)
            ),
        },
        compare=(("measured", "predicted"),),
        kind="above",
        rival=lambda: 2 * TENTH,
        rival_is="a fifth, which is to be seen",
        runs_from="full",
        note="The weights are chosen on other text and flipped singly; predicted is the tenth. "
        "Few draws of random flips hit them: that is the heavy tail of the pool's damage.",
    )


def _leverage(rate: float, results: Results) -> Claim:
    law = results[POOL_LAW]
    return Claim(
        name=f"response.leverage.rate={rate:g}",
        claimant="ours",
        source=SOURCE,
        statement=f"Derivatives predict the count-matched leverage of flips, {rate:.2%} of the outlier pool.",
        routes={
            "predicted": results.supply(CHECKED, lambda run: _predicted_leverage(run, rate)),
            "measured": results.supply(CHECKED, lambda run: _flipped_leverage(run, rate)),
        },
        compare=(PAIR,),
        rival=value_of(law, 1.0),
        rival_is="every sign costs the same" if isinstance(law, Missing) else "the α²‖w‖² law",
        logarithmic=True,
        runs_from="full",
        note=f"{NOTE} Errors over the same windows are taken as independent: too large. Logarithms are "
        "compared.",
    )


def _predicted_leverage(run: Checked, rate: float) -> Evidence:
    """The leverage by derivatives; what two orders may leave out of either arm is part of its error."""
    check, parts = run.ratios[rate], []
    predicted = of_ratio(check.predicted, run.response.provenance)
    if isinstance(predicted, Missing):
        return predicted
    for arm in ARMS:
        part = rate_of(check.flips, arm, run.response)
        cost = abs(part * float(run.response.pools[arm].slope.value))
        parts.append(run.response.left_out(arm, part) / cost if cost > 0 else 0.0)
    error = math.hypot(float(predicted.standard_error), math.hypot(*parts) * float(predicted.value))
    return replace(predicted, standard_error=error)


def _flipped_leverage(run: Checked, rate: float) -> Evidence:
    check = run.ratios[rate]
    flipped = of_ratio(check.measured, run.leverage.provenance)
    return unjudged(flipped, check.reason or too_large(check.flips, run.response))


def damage(rate: float, arm: str, results: Results) -> Claim:
    """ΔNLL of one arm at one rate, by both ways."""
    checked = results[CHECKED]
    check = None if isinstance(checked, Missing) else checked.damage[rate, arm]
    first = results.evidence(CHECKED, lambda run: _first_order(run, rate, arm))
    return Claim(
        name=f"response.{arm}.rate={rate:g}",
        claimant="ours",
        source=SOURCE,
        statement=f"Derivatives predict ΔNLL of flips in {ARMS[arm]}, {rate:.2%} of the outlier pool.",
        unit="nat/token",
        routes={
            "predicted": results.supply(
                CHECKED, lambda run: with_origin(run.damage[rate, arm].predicted, run.response.provenance)
            ),
            "measured": results.supply(CHECKED, lambda run: _flipped_damage(run, rate, arm)),
        },
        compare=(PAIR,),
        rival=value_of(first, 0.0),
        rival_is="no damage" if isinstance(first, Missing) else "the first order alone",
        paired=None if check is None else lambda: check.error or 0.0,
        runs_from="full",
        note=f"{NOTE} The error of the difference is paired on each window.",
    )


def _flipped_damage(run: Checked, rate: float, arm: str) -> Evidence:
    check = run.damage[rate, arm]
    flipped = Missing("UNRESOLVED", check.reason) if check.measured is None else check.measured
    reason = check.reason or beyond(run.response, arm, check.rate)
    return unjudged(with_origin(flipped, run.leverage.provenance), reason)


def unjudged(flipped: Evidence, reason: str) -> Evidence:
    """The measured number; where there is a reason not to compare it, that reason with the number."""
    return Missing("UNRESOLVED", reason, flipped) if reason and isinstance(flipped, Estimate) else flipped


def _first_order(run: Checked, rate: float, arm: str) -> Estimate:
    check, second = run.damage[rate, arm], float(run.response.pools[arm].second.value)
    return Estimate.exact(
        float(check.predicted.value) - check.rate * second,
        unit="nat/token",
        estimator="the prediction without its second order",
        provenance=run.response.provenance,
    )
