"""The few weights whose single signs decide: chosen on one text, flipped on another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from signmag_jax import measure
from signmag_jax.claims.claim import Claim, Evidence, Missing
from signmag_jax.claims.levels import Level
from signmag_jax.claims.measured import Measured
from signmag_jax.claims.pieces import Results
from signmag_jax.claims.supply import error_of, exact, with_origin
from signmag_jax.evidence import Estimate
from signmag_jax.measure.deciding import SHORTLIST_PASSES
from signmag_jax.measure.suspects import FISHER

FISHER_ALONE = {"shortlist": FISHER, "joint": 0}
"""The rows judge the ranking by the Fisher cost, and no other."""
DECIDING = Measured(
    "deciding_weights",
    lambda run, **options: measure.deciding_weights(*run.windows, probes=0, **FISHER_ALONE, **options),
    options=lambda level: {"verified": level.verified},
    amount=lambda level: level.verified,
    what="the deciding weights",
    passes=lambda level: _passes(level),
)


def _passes(level: Level) -> float:
    """Forward passes, without those of the linear response, which the command measures as well."""
    scored = measure.MEASUREMENTS["deciding-weights"].passes(
        windows=level.windows, window=level.window, verified=level.verified, probes=0, **FISHER_ALONE
    )
    return scored + SHORTLIST_PASSES * level.calibration_passes


def rows(level: Level, results: Results) -> Iterator[Claim]:
    """Whether derivatives tell the cost of such a weight, and whether they rank them."""
    second = results.evidence(DECIDING, lambda run: _of_first(run, run.weights[0].both))
    beyond = results.evidence(DECIDING, lambda run: _of_first(run, run.weights[0].beyond))
    yield Claim(
        name="deciding.second_order",
        claimant="open",
        source="second order as the cost of a weight: LeCun et al. 1990, for pruning",
        statement="Second order gives the cost of the one flip that is expected to cost most.",
        unit="nat/token",
        routes={
            "predicted": lambda: second,
            "measured": results.supply(DECIDING, lambda run: _of_first(run, run.weights[0].flip)),
        },
        compare=(("predicted", "measured"),),
        rival=lambda: 0.0,
        rival_is="no cost",
        runs_from="full",
        paired=error_of(beyond),
        note="The weight is the first of a shortlist made on other text. Both are of the same windows; the "
        "error is that of their difference. Where second order fails, the linear response takes the exact "
        "cost of such weights in place of it.",
    )
    yield Claim(
        name="deciding.rank_correlation",
        claimant="open",
        source="diagonal Fisher information as a saliency, as Theis et al. 2018 (arXiv:1801.05787) use it",
        statement="The diagonal-Fisher cost on one text ranks what flips of the weights cost on another.",
        routes={
            "predicted": exact(lambda: 0.0, name="no relation"),
            "measured": results.supply(DECIDING, against_no_relation),
        },
        compare=(("measured", "predicted"),),
        kind="above",
        rival=lambda: 1.0,
        rival_is="the same order, which is to be seen",
        runs_from="full",
        note="Predicted: no relation, which a rank correlation must exceed. Only weights from the top of the "
        "shortlist are flipped.",
    )


def _of_first(run: measure.DecidingWeights, evidence: Estimate) -> Evidence:
    """Evidence on the first of the shortlist, by the calibration text: nothing is chosen by the flips."""
    return with_origin(evidence, {**run.provenance, **run.weights[0].place.to_json()})


def against_no_relation(run: measure.DecidingWeights) -> Evidence:
    """The rank correlation with the error that it has where there is none, 1/√(n − 1).

    That error is known and not estimated, so that no Student's tails belong to it; a bootstrap of few ranks
    in perfect order has none at all.
    """
    ranked = run.rank_correlation["fisher"]
    if ranked is None:
        return Missing("UNRESOLVED", "all ranks are equal")
    count = len(run.weights)
    correlation = replace(
        ranked.estimate,
        standard_error=1 / math.sqrt(count - 1),
        n=0,
        estimator=f"Spearman's rank correlation of {count} weights; its error without a relation",
    )
    return with_origin(correlation, run.provenance)
