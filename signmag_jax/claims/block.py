"""Rows on one block beyond its ratio: radial fractions, the paper's second set of figures, V0."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from signmag_jax import theory
from signmag_jax.evidence import Estimate
from signmag_jax.perturb import SignFlip

from . import second_table
from .claim import Claim, Evidence, Missing
from .published import PAPER
from .simulated_law import simulated_law
from .supply import Supply, combine, component, exact, found, printed
from .theorem_3 import FINITE_WIDTH_RATE as RATE
from .theorem_3 import SCRIPT_WIDTH as WIDTH

SECTION = "9.7, two layers"
# By the names of the published table.
FRACTIONS = {"flip": "hidden_radial_flip", "shift": "hidden_radial_magnitude"}
# A rate at which a narrow row holds several flips.
V0_RATE, V0_WIDTH = 0.05, 128


def rows(simulated: Mapping[str, Evidence]) -> Iterator[Claim]:
    """All of them."""
    yield _two_layers(simulated)
    for error in FRACTIONS:
        yield _radial_fraction(error, found(simulated, f"paper_block.radial.{error}"))
    yield _v0(simulated)


def _radial_fraction(error: str, simulated: Supply) -> Claim:
    perturbation = SignFlip(RATE) if error == "flip" else theory.matched_shift(RATE)
    table = next(row for row in second_table.cells() if row["n"] == WIDTH and row["p"] == RATE)
    return Claim(
        name=f"theorem_3.radial_fraction.{error}.p={RATE:g}",
        claimant="ours",
        source="Theorem 3, section 9.7 (two layers)",
        statement=f"Of the {error}'s error behind {WIDTH} ReLUs this fraction is radial, at p = {RATE:g}.",
        routes={
            "published": printed(
                table[FRACTIONS[error]], decimals=5, section=SECTION, what=f"at width {WIDTH}"
            ),
            "predicted": exact(theory.finite_rows_radial_fraction, perturbation, WIDTH),
            "simulated": simulated,
        },
        compare=(("predicted", "simulated"),),
        rival=lambda: float(theory.radial_fraction(perturbation)),
        rival_is="infinitely many rows",
        note="The law, to first order in 1/m, and the simulation are ratios of means. A mean over inputs of "
        "cos² has other terms of order 1/m: which of the two the paper prints is not said, nor the scatter "
        "of its figure, so it is not compared.",
    )


def _two_layers(simulated: Mapping[str, Evidence]) -> Claim:
    """All of the paper's second set of figures at once, each beside the law at its own width."""

    def laws() -> np.ndarray:
        return np.array(
            [float(theory.finite_width_ratio(row["p"], row["n"])) for row in second_table.cells()]
        )

    def published() -> Evidence:
        printed = np.array([1 / row["transverse_magnitude_over_flip"] for row in second_table.cells()])
        deviation, freedom = _scatter(printed)
        return Estimate(
            float(printed.mean()),
            deviation / math.sqrt(len(printed)),
            freedom + 1,
            "1",
            f"mean over {len(printed)} printed configurations; error: scatter about a line in 1/width",
            {"source": PAPER, "section": SECTION},
        )

    def infinite() -> float:
        return float(np.mean([theory.transverse_ratio(row["p"]) for row in second_table.cells()]))

    return Claim(
        name="theorem_3.two_layers",
        claimant="ours",
        source="section 9.7 (two layers)",
        statement="The paper's second set of transverse ratios, widths 512 to 2048 and p = 0.005 to 0.1, is "
        "that of each width's own law.",
        routes={
            "published": published,
            "predicted": exact(lambda: laws().mean(), name="mean of finite_width_ratio over the table"),
            "simulated": combine(
                [_mean_over_rates(simulated, width) for width in second_table.widths()],
                [
                    len(second_table.rates(width)) / len(second_table.cells())
                    for width in second_table.widths()
                ],
                "mean over the table of ratios of means (fast estimator)",
            ),
        },
        compare=(("published", "predicted"),),
        rival=infinite,
        rival_is="infinite width",
        note="Means over the table, of flips over shift; published configurations taken as independent. The "
        "simulated mean is shown and not compared: it uses more exact facts than brute force does.",
    )


def _mean_over_rates(simulated: Mapping[str, Evidence], width: int) -> Supply:
    """Rates of one width share their networks: the error of the mean is taken as large as it can be."""

    def supply() -> Evidence:
        found_at = [found(simulated, f"crossings.{width}.{rate}")() for rate in second_table.rates(width)]
        for one in found_at:
            if isinstance(one, Missing):
                return one
        known = [one for one in found_at if isinstance(one, Estimate)]
        return Estimate(
            float(np.mean([one.value for one in known])),
            float(np.mean([one.standard_error for one in known])),
            known[0].n,
            known[0].unit,
            "mean over rates; error: the mean of theirs, as if they rose together",
            dict(known[0].provenance),
        )

    return supply


def _scatter(printed: np.ndarray) -> tuple[float, int]:
    """Deviation of the table about a line in 1/width at each rate, and its freedom: no law of ours enters."""
    square, freedom = 0.0, 0
    for rate in sorted({row["p"] for row in second_table.cells()}):
        here = [index for index, row in enumerate(second_table.cells()) if row["p"] == rate]
        inverse = [1 / second_table.cells()[index]["n"] for index in here]
        line = np.polynomial.Polynomial.fit(inverse, printed[here], 1)
        square += float(np.sum((printed[here] - line(np.array(inverse))) ** 2))
        freedom += len(here) - 2
    return math.sqrt(square / freedom), freedom


def _v0(simulated: Mapping[str, Evidence]) -> Claim:
    rate, width = V0_RATE, V0_WIDTH
    return simulated_law(
        f"v0.n={width}",
        f"V0 at p = {rate:g} and width {width}: the finite change of the normalised ReLU layer has the "
        "ratio of a chain's first layer.",
        component(theory.finite_width_depth_ratios, 0, rate, 1, width),
        found(simulated, "v0"),
        (lambda: float(np.ravel(theory.depth_ratios(rate, 1))[0]), "infinite width"),
        source="V0; depth recursion at finite width",
        proofs=("depth",),
        note="Per-network ratios. The scale of w' drops out of a finite change, and with it the factor v of "
        "the shift: V1's linear ratio is smaller by that.",
    )
