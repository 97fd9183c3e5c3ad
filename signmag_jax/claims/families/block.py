"""One block beyond its ratio: radial fractions, the paper's second table, V0."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from signmag_jax import simulate, theory
from signmag_jax.claims.claim import Claim, Evidence, Supply, simulated_law
from signmag_jax.claims.levels import Level, LevelName
from signmag_jax.claims.pieces import Results, Simulated
from signmag_jax.claims.published import PAPER, printed, second_table, second_table_rates, second_table_widths
from signmag_jax.claims.supply import combine, component, exact, pick
from signmag_jax.evidence import Estimate
from signmag_jax.perturb import SignFlip

from . import depth_laws
from .theorem_3 import FINITE_WIDTH_RATE as RATE
from .theorem_3 import SCRIPT_WIDTH as WIDTH
from .theorem_3 import crossings, paper_block, rates

SECTION = "9.7, two layers"
# By the names of the published table.
FRACTIONS = {"flip": "hidden_radial_flip", "shift": "hidden_radial_magnitude"}
# A rate at which a narrow row holds several flips.
V0_RATE, V0_WIDTH = 0.05, 128
V0_FROM: LevelName = "default"


def experiments(level: Level) -> Iterator[Simulated]:
    """V0; the other blocks are those of Theorem 3."""
    yield v0(level)


def v0(level: Level) -> Simulated[simulate.BlockResult]:
    """The finite change of one normalised ReLU layer."""
    run = partial(simulate.block, V0_WIDTH, V0_RATE, second_layer="none", difference="finite")
    return Simulated("v0", run, 2 * level.paper_networks if level.runs(V0_FROM) else 0)


def rows(level: Level, results: Results) -> Iterator[Claim]:
    """The paper's second table as a whole, the radial fractions of both errors, and V0."""
    yield _two_layers(level, results)
    paper, at = paper_block(level), rates().index(RATE)
    yield _radial_fraction("flip", results.supply(paper, lambda run: pick(run.first.radial_fraction, at)))
    yield _radial_fraction("shift", results.supply(paper, lambda run: pick(run.second.radial_fraction, at)))
    yield _v0(results.supply(v0(level), lambda run: run.transverse_ratio))


def _radial_fraction(error: str, simulated: Supply) -> Claim:
    perturbation = SignFlip(RATE) if error == "flip" else theory.matched_shift(RATE)
    table = next(row for row in second_table() if row["n"] == WIDTH and row["p"] == RATE)
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
        runs_from="quick" if error == "flip" else "full",
    )


def _two_layers(level: Level, results: Results) -> Claim:
    """The paper's whole second table in one row, each configuration beside the law at its own width."""

    def published() -> Evidence:
        printed = np.array([1 / row["transverse_magnitude_over_flip"] for row in second_table()])
        return Estimate(
            float(printed.mean()),
            float((printed - _laws()).std(ddof=1)) / math.sqrt(len(printed)),
            len(printed),
            "1",
            f"mean over {len(printed)} printed configurations; error: their scatter about the law",
            {"source": PAPER, "section": SECTION},
        )

    def infinite() -> float:
        return float(np.mean([theory.transverse_ratio(row["p"]) for row in second_table()]))

    widths = second_table_widths()
    return Claim(
        name="theorem_3.two_layers",
        claimant="ours",
        source="section 9.7 (two layers)",
        statement="The paper's second set of transverse ratios, widths 512 to 2048 and p = 0.005 to 0.1, is "
        "that of each width's own law.",
        routes={
            "published": published,
            "predicted": exact(lambda: _laws().mean(), name="mean of finite_width_ratio over the table"),
            "simulated": combine(
                [results.supply(crossings(level, width), _mean_over_rates) for width in widths],
                [len(second_table_rates(width)) / len(second_table()) for width in widths],
                "mean over the table of ratios of means (fast estimator)",
            ),
        },
        compare=(("published", "predicted"),),
        rival=infinite,
        rival_is="infinite width",
        note="Means over the table, of flips over shift; published configurations taken as independent. The "
        "simulated mean is shown and not compared: it uses more exact facts than brute force does.",
    )


def _laws() -> np.ndarray:
    return np.array([float(theory.finite_width_ratio(row["p"], row["n"])) for row in second_table()])


def _mean_over_rates(run: simulate.Crossings) -> Estimate:
    """Rates of one width share their networks: the error of the mean is taken as large as it can be."""
    return replace(
        pick(run.transverse_ratio, 0),
        value=float(np.mean(run.transverse_ratio.value)),
        standard_error=float(np.mean(run.transverse_ratio.standard_error)),
        estimator="mean over rates; error: the mean of theirs, as if they rose together",
    )


def _v0(simulated: Supply) -> Claim:
    rate, width = V0_RATE, V0_WIDTH
    return simulated_law(
        f"v0.n={width}",
        f"V0 at p = {rate:g} and width {width}: the finite change of the normalised ReLU layer has the "
        "ratio of a chain's first layer.",
        component(theory.finite_width_depth_ratios, 0, rate, 1, width),
        simulated,
        (lambda: depth_laws.first_ratio(rate, "plain"), "infinite width"),
        source="V0; depth recursion at finite width",
        proofs=("depth", "depth_width"),
        note="Per-network ratios. The scale of w' drops out of a finite change, and with it the factor v of "
        "the shift: V1's linear ratio is smaller by that.",
        runs_from=V0_FROM,
    )
