"""Rows of Proposition 1: one matrix without a ReLU, where noise costs more than flips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import numpy as np

from signmag_jax import theory
from signmag_jax.evidence import Estimate

from .claim import Claim, Evidence, Route
from .published import PAPER, figures
from .supply import exact, found

SECTION = "9.7"
SIMULATED_RATE = 0.1
SIMULATED_WIDTH = 256


def rows(simulated: Mapping[str, Evidence]) -> Iterator[Claim]:
    """Energy, both radial fractions and the reversed ratio, over the paper's whole table and simulated."""
    rate, m = SIMULATED_RATE, SIMULATED_WIDTH
    yield _claim(
        "energy",
        "Equal Frobenius norm gives equal energy E‖δWx‖² to flips and to noise.",
        _published("energy_flip_over_magnitude", lambda p, rows: 1.0),
        lambda: 1.0,
        found(simulated, "proposition_1.energy"),
        (lambda: 1 - rate, "flips that lose the factor 1 − p"),
    )
    yield _claim(
        "radial_flip",
        "The radial fraction of sign flips is p + (1 − p)/m.",
        _published("radial_flip", theory.flip_matrix_radial_fraction),
        lambda: 1.0,
        found(simulated, "proposition_1.radial_flip"),
        (lambda: rate / float(theory.flip_matrix_radial_fraction(rate, m)), "p, without the 1/m term"),
        (("predicted", "simulated"),),
        "The law is a ratio of means; a mean of per-input cos² has other terms of order 1/m. Which of the "
        "two the table prints is not said, so it is not compared.",
        "ours",
    )
    yield _claim(
        "transverse_ratio",
        "Noise has 1/(1 − p) times the transverse energy of flips: without a ReLU it is the other way round.",
        _published("transverse_magnitude_over_flip", lambda p, rows: 1 / (1 - p)),
        lambda: 1.0,
        found(simulated, "proposition_1.transverse_ratio"),
        (lambda: (1 - rate) ** 2, "the ratio the other way round"),
    )


def _claim(
    name: str,
    statement: str,
    published: Callable[[], Evidence],
    predicted: Callable[[], float],
    simulated: Callable[[], Evidence],
    rival: tuple[Callable[[], float], str],
    compare: tuple[tuple[Route, Route], ...] = (("published", "predicted"), ("predicted", "simulated")),
    note: str = "",
    claimant: Literal["paper", "ours"] = "paper",
) -> Claim:
    return Claim(
        name=f"proposition_1.{name}",
        claimant=claimant,
        source="Proposition 1, section 9.7",
        statement=statement,
        unit="1 (over the law)",
        routes={
            "published": published,
            "predicted": exact(predicted, name="1 by definition of the unit"),
            "simulated": simulated,
        },
        compare=compare,
        rival=rival[0],
        rival_is=rival[1],
        proofs=("proposition_1",),
        note=f"Divided by the law at each size and rate; simulated at p = {SIMULATED_RATE:g}, "
        f"n = m = {SIMULATED_WIDTH}. Published: mean of the table, error from its scatter. {note}".rstrip(),
    )


def _published(column: str, law: Callable[[Any, Any], Any]) -> Callable[[], Evidence]:
    def supply() -> Estimate:
        table = figures()["proposition_1"]["rows"]
        ratios = np.array([row[column] / float(law(row["p"], row["m"])) for row in table])
        return Estimate.of_samples(
            ratios,
            estimator=f"mean over {len(ratios)} printed configurations",
            provenance={"source": PAPER, "section": SECTION},
        )

    return supply
