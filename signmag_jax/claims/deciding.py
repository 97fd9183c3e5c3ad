"""Rows on the few weights whose single signs decide: found on one text, flipped on another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from signmag_jax import measure
from signmag_jax.evidence import Estimate

from .claim import Claim, Evidence, Missing
from .measured import Measured
from .model_run import ModelRun
from .supply import exact, found, traced

NAMES = ("deciding.flip", "deciding.second_order", "deciding.rank_correlation")


def measured(run: ModelRun) -> dict[str, Evidence]:
    """The first of the shortlist, flipped, and how well the list ranks; on half of the windows."""
    if not run.level.verified:
        return run.left_out(NAMES, "the deciding weights")
    model, calibration, evaluation = run.windows
    found = measure.deciding_weights(
        model,
        calibration,
        evaluation[: len(evaluation) // 2],
        verified=run.level.verified,
        **run.options("deciding_weights"),
    )
    top = found.weights[0]  # by the calibration text: nothing is chosen by the flips
    origin = {**found.provenance, **top.place.to_json()}
    ranked = found.rank_correlation["fisher"]
    return {
        "deciding.flip": traced(top.flip, origin),
        "deciding.second_order": _sum(top.first, top.second, origin),
        "deciding.rank_correlation": Missing("UNRESOLVED", "all ranks are equal")
        if ranked is None
        else traced(ranked.estimate, found.provenance),
    }


def rows(measured: Measured) -> Iterator[Claim]:
    """What others say of single weights, on this model."""
    results = measured.results
    yield Claim(
        name="deciding.second_order",
        claimant="literature",
        source="second-order saliency: LeCun et al. 1990, Optimal Brain Damage",
        statement="Second order gives the cost of the one flip that is expected to cost most.",
        unit="nat/token",
        routes={
            "predicted": found(results, "deciding.second_order"),
            "measured": found(results, "deciding.flip"),
        },
        compare=(("predicted", "measured"),),
        rival=lambda: 0.0,
        rival_is="a weight like any other",
        note="The weight is the first of a shortlist made on other text. Where second order fails, the "
        "linear response takes the exact cost of such weights in place of it. Both are of the same windows, "
        "and their errors are taken as independent: too large an error for their difference.",
    )
    yield Claim(
        name="deciding.rank_correlation",
        claimant="literature",
        source="diagonal Fisher information as a saliency: Theis et al. 2018, arXiv:1801.05787",
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


def _sum(first: Estimate, second: Estimate, origin: Mapping[str, Any]) -> Estimate:
    """Both orders; their errors over the same windows are added in quadrature."""
    error = math.hypot(float(first.standard_error), float(second.standard_error))
    name = "exact first and second order along the weight"
    value = float(first.value) + float(second.value)
    return Estimate(value, error, second.n, second.unit, name, origin)
