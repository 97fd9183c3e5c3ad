"""Rows on linear response: damage and leverage by derivatives, against sign flips on the same text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from signmag_jax import measure
from signmag_jax.evidence import Estimate
from signmag_jax.measure.pools import OUTLIER, REST

from .claim import Claim, Evidence, Missing, Route
from .levels import Level
from .measured import Measured
from .model_run import ModelRun, evidence_of, unresolved
from .supply import Supply, error_of, exact, found, traced

ARMS = {OUTLIER: "outlier columns", REST: "the other columns"}
PAIR: tuple[Route, Route] = ("predicted", "measured")
SOURCE = "linear response, second order in the rate"
NEXT_ORDER = 0.25
"""Part of the linear term that the next one may be; what lies beyond is then smaller by as much again."""
NOTE = (
    "Measured by flips on the same text. First derivatives and the exact costs of single weights serve as a "
    "control variate: the plain mean less the luck of its draws, with the same expectation."
)
RARE = 0.1
"""Weights of known cost that a draw may flip, in the mean."""
TENTH = 0.1


def measured(run: ModelRun, leverage: measure.Leverage | Missing) -> dict[str, Evidence]:
    """Slopes by derivatives, and what they predict for the flips of `leverage`."""
    level = run.level
    if not level.probes:
        return run.left_out(names(level), "the linear response")
    try:
        response = measure.linear_response(
            *run.windows,
            probes=level.probes,
            singles=level.singles,
            profile=run.profile,
            **run.options("linear_response"),
        )
    except measure.Unmeasurable as error:
        return unresolved(names(level), error)
    results = _of_slopes(response)
    if isinstance(leverage, Missing):
        return dict.fromkeys(names(level), leverage) | results
    leverage = measure.controlled(run.model, run.evaluation, leverage, response)
    checks = iter(response.check(leverage))
    for at, ratio in zip(leverage.rates, response.check_leverage(leverage), strict=True):
        if not _too_large(at.flips, response):
            # The rows that stand beside the paper's figures show it as well; at larger rates costs do not
            # add up, and the control variate may add to the scatter.
            results[f"leverage.{at.rate}"] = traced(evidence_of(at.leverage), leverage.provenance)
        results |= _leverage(at.rate, ratio, response, leverage.provenance)
        for _ in ARMS:
            results |= _damage(at.rate, next(checks), response, leverage.provenance)
    return results


def names(level: Level) -> list[str]:
    """Of all evidence that `measured` gathers."""
    listed = ["response.leverage", "response.share_of_singles"]
    for rate in level.leverage_rates:
        listed += [f"response.leverage.{rate}.{route}" for route in PAIR]
        listed += [
            f"response.{arm}.{rate}.{part}" for arm in ARMS for part in (*PAIR, "halved", "difference")
        ]
    return listed


def rows(level: Level, measured: Measured) -> Iterator[Claim]:
    """The law of pools against derivatives, and derivatives against flips."""
    yield _law(measured)
    yield _share(measured)
    for rate in level.leverage_rates:
        yield _leverage_row(rate, measured)
        for arm in ARMS:
            yield _damage_row(rate, arm, measured)


def _of_slopes(response: measure.LinearResponse) -> dict[str, Evidence]:
    """What needs no flips at random: the leverage, and the part of the pool that single weights carry."""
    return {
        "response.leverage": traced(evidence_of(response.leverage), response.provenance),
        "response.share_of_singles": traced(evidence_of(response.share_of_singles()), response.provenance),
    }


def _leverage(
    rate: float, check: measure.LeverageCheck, response: measure.LinearResponse, origin: Mapping[str, Any]
) -> dict[str, Evidence]:
    predicted = evidence_of(check.predicted)
    if isinstance(predicted, Estimate):
        error = math.hypot(
            float(predicted.standard_error), _left_out(check, response) * float(predicted.value)
        )
        predicted = replace(predicted, standard_error=error)
    predicted = traced(predicted, response.provenance)
    flipped = traced(evidence_of(check.measured), origin)
    reason = check.reason or _too_large(check.flips, response)
    return _pair(f"response.leverage.{rate}", predicted, flipped, reason)


def _left_out(check: measure.LeverageCheck, response: measure.LinearResponse) -> float:
    """What two orders may leave out of either arm, as a part of the leverage."""
    parts = []
    for arm in ARMS:
        rate = _rate(check.flips, arm, response)
        cost = abs(rate * float(response.pools[arm].slope.value))
        parts.append(response.left_out(arm, rate) / cost if cost > 0 else 0.0)
    return math.hypot(*parts)


def _damage(
    rate: float, check: measure.Check, response: measure.LinearResponse, origin: Mapping[str, Any]
) -> dict[str, Evidence]:
    name = f"response.{check.arm}.{rate}"
    flipped = Missing("UNRESOLVED", check.reason) if check.measured is None else check.measured
    flipped = traced(flipped, origin)
    reason = check.reason or beyond(response, check.arm, check.rate)
    second = float(response.pools[check.arm].second.value)
    halved = Estimate.exact(
        float(check.predicted.value) - check.rate * second / 2,
        unit="nat/token",
        estimator="the prediction with half of its second order",
        provenance=response.provenance,
    )
    error = 0.0 if check.error is None else check.error
    difference = Estimate(
        0.0, error, 0, "nat/token", "error of the difference, paired on each window", response.provenance
    )
    return {
        **_pair(name, traced(check.predicted, response.provenance), flipped, reason),
        f"{name}.halved": halved,
        f"{name}.difference": difference,
    }


def beyond(response: measure.LinearResponse, arm: str, rate: float) -> str:
    """Why a rate is too large for two orders, or nothing.

    The next term is a signed sum and may cancel: its error counts as well. That of pairs with a weight of
    known cost is not in it, so that these must be flipped rarely.
    """
    pairs, slope = response.interaction[arm], abs(float(response.pools[arm].slope.value))
    largest = abs(float(pairs.value)) + 2 * float(pairs.standard_error)
    if rate * largest > NEXT_ORDER * slope:
        return f"{ARMS[arm]}: the second order may exceed {NEXT_ORDER:.0%} of the first, and a third counts"
    known = sum(response.is_outlier(place) == (arm == OUTLIER) for place in response.singles)
    if rate * known > RARE:
        return f"{ARMS[arm]}: a draw flips {rate * known:.2g} of the {known} weights of known cost"
    return ""


def _too_large(flips: int, response: measure.LinearResponse) -> str:
    """`beyond` in either arm, for so many flips in each."""
    reasons = (beyond(response, arm, _rate(flips, arm, response)) for arm in ARMS)
    return next(filter(None, reasons), "")


def _rate(flips: int, arm: str, response: measure.LinearResponse) -> float:
    return flips / int(response.pools[arm].weights)


def _pair(name: str, predicted: Evidence, flipped: Evidence, reason: str) -> dict[str, Evidence]:
    """Both routes; with a reason against their comparison, the measured number stands beside it."""
    if reason and isinstance(flipped, Estimate):
        flipped = Missing("UNRESOLVED", reason, flipped)
    return {f"{name}.predicted": predicted, f"{name}.measured": flipped}


def _law(measured: Measured) -> Claim:
    return Claim(
        name="response.pool_law",
        claimant="paper",
        source="pools of columns; section 9.5",
        statement="The leverage of the loss at small rates is that of α²‖w‖².",
        routes={
            "predicted": found(measured.results, "leverage.pool_law"),
            "measured": found(measured.results, "response.leverage"),
        },
        compare=(PAIR,),
        rival=lambda: 1.0,
        rival_is="every sign costs the same",
        note="Measured: by derivatives of the loss, without the scatter of draws. The law counts every "
        "output of a matrix alike; the row says how far that carries.",
    )


def _share(measured: Measured) -> Claim:
    return Claim(
        name="response.share_of_singles",
        claimant="open",
        source="single weights that decide, as Yu et al. 2024 (arXiv:2411.07191) find in larger models",
        statement="A handful of single weights carry more than a tenth of the outlier pool's slope.",
        routes={
            "predicted": exact(lambda: TENTH, name="a tenth"),
            "measured": found(measured.results, "response.share_of_singles"),
        },
        compare=(("measured", "predicted"),),
        kind="above",
        note="The weights are chosen on other text and flipped singly; predicted is the tenth. "
        "Few draws of random flips hit them: that is the heavy tail of the pool's damage.",
    )


def _leverage_row(rate: float, measured: Measured) -> Claim:
    name = f"response.leverage.{rate}"
    law = measured.results.get("leverage.pool_law")
    return Claim(
        name=f"response.leverage.rate={rate:g}",
        claimant="ours",
        source=SOURCE,
        statement=f"Derivatives predict the count-matched leverage of flips, {rate:.2%} of the outlier pool.",
        routes=_routes(measured.results, name),
        compare=(PAIR,),
        rival=(lambda: float(law.value)) if isinstance(law, Estimate) else lambda: 1.0,
        rival_is="the α²‖w‖² law" if isinstance(law, Estimate) else "every sign costs the same",
        note=f"{NOTE} Errors over the same windows are taken as independent: too large.",
    )


def _damage_row(rate: float, arm: str, measured: Measured) -> Claim:
    name = f"response.{arm}.{rate}"
    halved = measured.results.get(f"{name}.halved")
    return Claim(
        name=f"response.{arm}.rate={rate:g}",
        claimant="ours",
        source=SOURCE,
        statement=f"Derivatives predict ΔNLL of flips in {ARMS[arm]}, {rate:.2%} of the outlier pool.",
        unit="nat/token",
        routes=_routes(measured.results, name),
        compare=(PAIR,),
        rival=(lambda: float(halved.value)) if isinstance(halved, Estimate) else lambda: 0.0,
        rival_is="half of the second order" if isinstance(halved, Estimate) else "no damage",
        paired=error_of(measured.results.get(f"{name}.difference")),
        note=f"{NOTE} The error of the difference is paired on each window.",
    )


def _routes(results: Mapping[str, Evidence], name: str) -> dict[Route, Supply]:
    return {route: found(results, f"{name}.{route}") for route in PAIR}
