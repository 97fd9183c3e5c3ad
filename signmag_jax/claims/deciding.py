"""Rows on the few weights whose single signs decide: found on one text, flipped on another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from signmag_jax import measure
from signmag_jax.evidence import Estimate

from .claim import Claim, Evidence, Missing
from .measured import Measured
from .model_run import ModelRun, unresolved
from .supply import error_of, exact, found, traced

HALF_AGAIN = 1.5
NAMES = ("deciding.flip", "deciding.second_order", "deciding.beyond", "deciding.rank_correlation")


def measured(run: ModelRun) -> dict[str, Evidence]:
    """The first of the shortlist, flipped, and how well the list ranks."""
    if not run.level.verified:
        return run.left_out(NAMES, "the deciding weights")
    try:
        weights = measure.deciding_weights(
            *run.windows, verified=run.level.verified, probes=0, **run.options("deciding_weights")
        )
    except measure.Unmeasurable as error:
        return unresolved(NAMES, error)
    top = weights.weights[0]  # by the calibration text: nothing is chosen by the flips
    origin = {**weights.provenance, **top.place.to_json()}
    return {
        "deciding.flip": traced(top.flip, origin),
        "deciding.second_order": traced(top.both, origin),
        "deciding.beyond": traced(top.beyond, origin),
        "deciding.rank_correlation": traced(_against_none(weights), weights.provenance),
    }


def rows(measured: Measured) -> Iterator[Claim]:
    """Whether derivatives tell the cost of such a weight, and whether they rank them."""
    results = measured.results
    second = results.get("deciding.second_order")
    yield Claim(
        name="deciding.second_order",
        claimant="open",
        source="second order as the cost of a weight: LeCun et al. 1990, for pruning",
        statement="Second order gives the cost of the one flip that is expected to cost most.",
        unit="nat/token",
        routes={
            "predicted": found(results, "deciding.second_order"),
            "measured": found(results, "deciding.flip"),
        },
        compare=(("predicted", "measured"),),
        rival=(lambda: HALF_AGAIN * float(second.value)) if isinstance(second, Estimate) else lambda: 0.0,
        rival_is="half as much again" if isinstance(second, Estimate) else "no cost",
        paired=error_of(results.get("deciding.beyond")),
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
            "measured": found(results, "deciding.rank_correlation"),
        },
        compare=(("measured", "predicted"),),
        kind="above",
        note="Predicted: no relation, which a rank correlation must exceed. Only weights from the top of the "
        "shortlist are flipped.",
    )


def _against_none(found: measure.DecidingWeights) -> Evidence:
    """The rank correlation with the error that it has where there is none, 1/√(n − 1).

    That error is known and not estimated, so that no Student's tails belong to it; a bootstrap of few ranks
    in perfect order has none at all.
    """
    ranked = found.rank_correlation["fisher"]
    if ranked is None:
        return Missing("UNRESOLVED", "all ranks are equal")
    error = 1 / math.sqrt(len(found.weights) - 1)
    name = f"Spearman's rank correlation of {len(found.weights)} weights; its error without a relation"
    return replace(ranked.estimate, standard_error=error, n=0, estimator=name)
