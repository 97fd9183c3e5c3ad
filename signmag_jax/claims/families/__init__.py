"""The families of claims: each declares what it simulates or measures, and its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from signmag_jax.claims.claim import Claim
from signmag_jax.claims.levels import Level
from signmag_jax.claims.measured import Measured
from signmag_jax.claims.pieces import Results, Simulated

from . import (
    alignment,
    block,
    composed,
    deciding,
    depth,
    foundations,
    incoherent,
    kinds,
    leverage,
    outliers,
    own_ratio,
    proposition_1,
    response,
    rotated,
    sensitivity,
    single_columns,
    theorem_3,
    theorem_4,
    trained,
    trained_chains,
)


@dataclass(frozen=True)
class Family:
    """One family.

    Args:
      rows: its claims, from the results of all families.
      experiments: what it simulates at a level.
      measurements: what it measures on a trained model.
    """

    rows: Callable[[Level, Results], Iterable[Claim]]
    experiments: Callable[[Level], Iterable[Simulated]] = lambda level: ()
    measurements: tuple[Measured, ...] = ()


# In the order in which the ledger is read.
FAMILIES = (
    Family(foundations.rows),
    Family(outliers.rows, outliers.experiments),
    Family(theorem_3.rows, theorem_3.experiments),
    Family(block.rows, block.experiments),
    Family(theorem_4.rows, theorem_4.experiments),
    Family(proposition_1.rows, proposition_1.experiments),
    Family(depth.rows, depth.experiments),
    Family(composed.rows, composed.experiments),
    Family(alignment.rows, measurements=(alignment.PROFILE, alignment.QUANTIZATION)),
    Family(
        leverage.rows,
        measurements=(
            leverage.COLUMNS,
            leverage.POOL_LAW,
            leverage.LEVERAGE,
            leverage.RESPONSE,
            leverage.CHECKED,
        ),
    ),
    Family(trained.rows, measurements=(trained.EXP_D, trained.ALL_COLUMNS)),
    Family(incoherent.rows, measurements=(incoherent.INCOHERENT,)),
    Family(kinds.rows, measurements=(kinds.KINDS,)),
    Family(response.rows),
    Family(sensitivity.rows, measurements=(sensitivity.SENSITIVITY,)),
    Family(deciding.rows, measurements=(deciding.DECIDING,)),
    Family(own_ratio.rows, measurements=(own_ratio.EACH,)),
    Family(trained_chains.rows, measurements=(trained_chains.CHAIN,)),
    Family(single_columns.rows, measurements=(single_columns.ENERGIES, single_columns.LOSSES)),
    Family(rotated.rows, measurements=(rotated.ROTATION,)),
)


def experiments(level: Level) -> list[Simulated]:
    """Every simulation of the ledger: each is keyed by its name, so they may run in any order."""
    return [experiment for family in FAMILIES for experiment in family.experiments(level)]


def measurements() -> list[Measured]:
    """Everything that the ledger measures on a trained model, in an order for two at a time.

    Derivatives fill the memory: the leverage, which begins with some, is past them before the response takes
    more. What needs both then waits for nothing else.
    """
    late = leverage.RESPONSE, leverage.CHECKED
    found = [measurement for family in FAMILIES for measurement in family.measurements]
    return [*(each for each in found if each not in late), *late]


def rows(level: Level, results: Results) -> list[Claim]:
    """Every row of the ledger, in reading order; what a level's samples cannot decide is not run there."""
    return [at_level(level, claim) for family in FAMILIES for claim in family.rows(level, results)]


def at_level(level: Level, claim: Claim) -> Claim:
    """The claim, or the same without evidence where the level has too few samples for it."""
    if level.runs(claim.runs_from):
        return claim
    return claim.not_run(f"too few samples to tell the rival apart: the {claim.runs_from} level runs it")
