"""Theorem 3: the limit, the finite rate, the finite width, the paper's own runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial

import sympy as sp

from signmag_jax import simulate, theory
from signmag_jax.claims.claim import Claim, Route, Supply, simulated_law
from signmag_jax.claims.levels import Level
from signmag_jax.claims.pieces import Results, Simulated
from signmag_jax.claims.published import paper, printed, second_table_rates, second_table_widths
from signmag_jax.claims.supply import exact, extrapolated, pick
from signmag_jax.evidence import Estimate
from signmag_jax.theory.symbolic import theorem_3 as symbolic

SECTION = "9.3"
PAPER_SEEDS = 20
PAPER_DECIMALS = 3
LABELLED_WIDTH = 2048
SCRIPT_WIDTH = 512
# Said in the rows: this width was chosen by the numbers that it is then compared with.
POST_HOC = (
    " The width 512 was chosen because its p = 0.01 figure is met there: that row is no test of it, the rows "
    "at other rates are."
)
FAST = (
    " Simulated: the ratio of means by the fast estimator, shown and not compared, as it uses more exact "
    "facts than brute force does."
)
# Small enough for the O(p) term to vanish in float64, large enough for √p not to.
TINY_RATE = 1e-14
FINITE_WIDTH_RATE = 0.01
# Of the block whose second layer is drawn: an input costs three times as many products, networks pay more.
EXPLICIT_INPUTS = 256


def experiments(level: Level) -> Iterator[Simulated]:
    """The block at every width of the level, and as the paper has it."""
    for width in level.widths:
        yield block(level, width)
    yield paper_block(level)
    for width in second_table_widths():
        yield crossings(level, width)


def block(level: Level, width: int) -> Simulated[simulate.BlockResult]:
    """The block at one of the level's widths, its second layer integrated out."""
    networks = level.networks[level.widths.index(width)]
    return Simulated(f"block.{width}", partial(simulate.block, width, rates()), networks)


def paper_block(level: Level) -> Simulated[simulate.BlockResult]:
    """The block as the paper's script has it, both layers drawn."""
    sizes = {"inputs": EXPLICIT_INPUTS, "second_layer": "explicit"}
    run = partial(simulate.block, SCRIPT_WIDTH, rates(), **sizes)
    return Simulated("paper_block", run, 2 * level.paper_networks)


def crossings(level: Level, width: int) -> Simulated[simulate.Crossings]:
    """The fast estimator at a width of the paper's second table, which wider blocks need."""
    run = partial(simulate.crossings, width, second_table_rates(width))
    return Simulated(f"crossings.{width}", run, level.table_networks)


def rates() -> list[float]:
    """The rates of the paper's first table of blocks."""
    return paper()["theorem_3_V1"]["p"]


def ratio_at(
    rate: float, simulated: list[float]
) -> Callable[[simulate.BlockResult | simulate.Crossings], Estimate]:
    """Reads the transverse ratio at one of the simulated rates."""
    index = simulated.index(rate)
    return lambda result: pick(result.transverse_ratio, index)


def rows(level: Level, results: Results) -> Iterator[Claim]:
    """All rows of Theorem 3."""
    yield _limit()
    yield _coefficient()
    table = paper()["theorem_3_V1"]
    for index, rate in enumerate(table["p"]):
        infinite = _extrapolated(level, results, rate)
        yield _formula(rate, table["formula"][index], infinite)
        yield _closed_form(rate, infinite)
        yield _exact(rate, infinite)
        value, deviation = table["measured"][index], table["plus_minus"][index]
        script = results.supply(paper_block(level), ratio_at(rate, rates()))
        yield _run_of_paper(rate, value, deviation, SCRIPT_WIDTH, script)
        labelled = results.supply(
            crossings(level, LABELLED_WIDTH), ratio_at(rate, second_table_rates(LABELLED_WIDTH))
        )
        yield _run_of_paper(rate, value, deviation, LABELLED_WIDTH, labelled)
    for width in level.widths:
        yield _finite_width(width, results.supply(block(level, width), ratio_at(FINITE_WIDTH_RATE, rates())))


def numeric_limit() -> float:
    """A(0+) from the numeric law alone: the √p term cancels between two rates."""
    return float(2 * theory.transverse_ratio(TINY_RATE / 4) - theory.transverse_ratio(TINY_RATE))


def numeric_coefficient() -> float:
    """Coefficient of √p in A(p)/A(0) from the numeric law, by Richardson's scheme in √p."""
    rate = 1e-6
    limit = numeric_limit()

    def slope(at: float) -> float:
        return (float(theory.transverse_ratio(at)) / limit - 1) / math.sqrt(at)

    first = [slope(rate / 4**k) for k in range(4)]
    while len(first) > 1:
        order = 5 - len(first)
        first = [(2**order * b - a) / (2**order - 1) for a, b in itertools.pairwise(first)]
    return first[0]


def _limit() -> Claim:
    return Claim(
        name="theorem_3.limit",
        claimant="paper",
        source="Theorem 3, abstract",
        statement="As p → 0 a sign flip costs π/(π−2) times the transverse energy of an equally large shift.",
        routes={
            "published": exact(theory.transverse_ratio_limit, name="π/(π−2)"),
            "predicted": exact(numeric_limit, name="transverse_ratio at vanishing rate"),
        },
        compare=(("published", "predicted"),),
        kind="proof",
        proofs=("theorem_3",),
        note="Derived symbolically; the numeric law is evaluated beside it.",
    )


def _coefficient() -> Claim:
    return Claim(
        name="theorem_3.sqrt_p_coefficient",
        claimant="paper",
        source="Theorem 3",
        statement="The first correction to the limit is −(4/(3π)) √p.",
        routes={
            "published": exact(lambda: sp.N(symbolic.paper_root_coefficient(), 17), name="−4/(3π)"),
            "predicted": exact(numeric_coefficient, name="expansion of transverse_ratio"),
        },
        compare=(("published", "predicted"),),
        proofs=("theorem_3",),
        note="The exact coefficient is −(4/(3π))(1 − √(1−2/π)): the magnitude error contracts as well.",
    )


def _extrapolated(level: Level, results: Results, rate: float) -> Supply:
    """The block at infinite width, from the simulation alone.

    Three widths and not two: where a row holds few flips (small rates) the ratio has a large term of order
    1/width², and a line through two widths misses it by as much as its whole standard error. The parabola
    costs 1.7 times the error and leaves less than half of that as bias. Correcting by the finite-width law
    instead would feed the simulated column with the kernel that it is there to test.
    """
    widths = level.widths[-3:]
    return extrapolated(
        *((width, results.supply(block(level, width), ratio_at(rate, rates()))) for width in widths)
    )


def _formula(rate: float, formula: float, infinite: Supply) -> Claim:
    return Claim(
        name=f"theorem_3.formula.p={rate:g}",
        claimant="paper",
        source="Theorem 3, section 9.3",
        statement=f"At p = {rate:g} the finite-rate formula gives the transverse ratio.",
        routes={
            "published": printed(
                formula, decimals=PAPER_DECIMALS, section=SECTION, what="formula as printed"
            ),
            "predicted": exact(theory.transverse_ratio, rate),
            "simulated": infinite,
        },
        compare=(("published", "simulated"),),
        rival=lambda: float(theory.transverse_ratio(rate)),
        rival_is="the exact law",
        note="The formula contracts the flips' energy by (4/(3π))√p and leaves out the shift's contraction.",
    )


def _closed_form(rate: float, infinite: Supply) -> Claim:
    return Claim(
        name=f"theorem_3.closed_form.p={rate:g}",
        claimant="paper",
        source="Theorem 3",
        statement=f"At p = {rate:g} the ratio is π/(π−2)·(1 − p)(1 − 4√p/(3π)).",
        routes={
            "published": exact(theory.paper_transverse_ratio, rate),
            "predicted": exact(theory.transverse_ratio, rate),
            "simulated": infinite,
        },
        compare=(("published", "predicted"),),
        proofs=("theorem_3",),
        note="Both are exact numbers: their difference is the exact size of the formula's error.",
    )


def _exact(rate: float, infinite: Supply) -> Claim:
    return simulated_law(
        f"theorem_3.exact.p={rate:g}",
        f"At p = {rate:g} the ratio is that of the arc-cosine kernel, without expansion.",
        exact(theory.transverse_ratio, rate),
        infinite,
        (lambda: float(theory.paper_transverse_ratio(rate)), "the paper's formula"),
        source="Theorem 3, exact at every rate",
        proofs=("theorem_3", "arccos_kernel"),
    )


def _run_of_paper(rate: float, value: float, deviation: float, width: int, simulated: Supply) -> Claim:
    published = printed(
        value,
        decimals=PAPER_DECIMALS,
        standard_error=deviation / math.sqrt(PAPER_SEEDS),
        n=PAPER_SEEDS,
        section=SECTION,
        error=f"the printed deviation/√{PAPER_SEEDS}",
        what=f"mean of {PAPER_SEEDS} seeds",
    )
    predicted = exact(theory.finite_width_ratio, rate, width)
    compare: tuple[tuple[Route, Route], ...] = (("published", "predicted"),)
    if width == SCRIPT_WIDTH:
        other, label, remark = LABELLED_WIDTH, "the width at which its p = 0.01 figure is met", POST_HOC
        compare = (*compare, ("published", "simulated"), ("predicted", "simulated"))
    else:
        other, label, remark = SCRIPT_WIDTH, "as its label says", FAST
    return Claim(
        name=f"theorem_3.measured.width={width}.p={rate:g}",
        claimant="paper",
        source="section 9.3 (V1)",
        statement=f"The paper's run at p = {rate:g} is a block of width {width} ({label}).",
        routes={"published": published, "predicted": predicted, "simulated": simulated},
        compare=compare,
        rival=lambda: float(theory.finite_width_ratio(rate, other)),
        rival_is=f"a block of width {other}",
        note="The printed ± is a deviation over seeds; divided by √20 it is the error used here." + remark,
    )


def _finite_width(width: int, simulated: Supply) -> Claim:
    rate = FINITE_WIDTH_RATE
    return simulated_law(
        f"finite_width.n={width}",
        f"At width {width} and p = {rate:g} the ratio averages over the flips that a row holds.",
        exact(theory.finite_width_ratio, rate, width),
        simulated,
        (lambda: float(theory.transverse_ratio(rate)), "infinite width"),
        source="finite width, flips per row",
        note="W₂ integrated out, inputs on the sphere, mean of per-network ratios.",
    )
