"""Flips against shifts in one kind of trained matrix at a time: where the asymmetry survives."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from signmag_jax import measure
from signmag_jax.claims.claim import Claim, Evidence, Missing
from signmag_jax.claims.levels import TOKENS_OF_A_PASS, Level
from signmag_jax.claims.measured import Measured, ModelRun
from signmag_jax.claims.pieces import Results
from signmag_jax.claims.supply import of_ratio
from signmag_jax.measure.costs import all_columns
from signmag_jax.measure.shift_parts import REST, SHIFT
from signmag_jax.models import MATRICES

from .leverage import missed_singles
from .trained import ALL_COLUMNS_RATE as RATE
from .trained import PAIR, law_of

NAMES = {SHIFT: "shifts", REST: "rest"}

Kinds = dict[str, measure.AllColumns]


# Draws scatter more than windows do: many of them on little text cost less, and tell more, than few on much.
WINDOWS, TOKENS = 32, 64


def _measure(run: ModelRun, resume: Path | None, **options: Any) -> Kinds:
    """Errors in one kind of matrix, in all layers at once."""
    return {
        kind: measure.all_columns(
            run.model,
            run.evaluation[:WINDOWS, :TOKENS],
            matrices=(kind,),
            resume=None if resume is None else resume / kind,
            **options,
        )
        for kind in MATRICES
    }


def _options(level: Level) -> dict[str, Any]:
    return {"rates": (RATE,), "draws": level.kind_draws, "scattered": 0}


def _passes(level: Level) -> float:
    tokens = min(level.windows, WINDOWS) * min(level.window, TOKENS)
    return len(MATRICES) * tokens / TOKENS_OF_A_PASS * all_columns(**_options(level), by_matrix=False)


KINDS = Measured(
    "flips_by_kind",
    _measure,
    options=_options,
    amount=lambda level: level.kind_draws,
    what="flips against shifts by kind of matrix",
    passes=_passes,
)


def rows(level: Level, results: Results) -> Iterator[Claim]:
    """Two a kind: against the whole shift, and against the shift without its growth."""
    del level
    for kind in MATRICES:
        yield _row(
            kind, SHIFT, results, f"What flips in {kind} cost over a shift of equal norm is A({RATE:g})."
        )
        yield _row(
            kind,
            REST,
            results,
            f"Without the growth that all weights of a {kind} have in common, it is A({RATE:g}).",
        )


def _row(kind: str, part: str, results: Results, statement: str) -> Claim:
    return Claim(
        name=f"trained.flips_over_{NAMES[part]}.{kind}.p={RATE:g}",
        claimant="open",
        source="Theorem 3 for the matrices' own E|w|/σ, carried over to a trained model",
        statement=statement,
        routes={
            "predicted": results.supply(KINDS, lambda kinds: law_of(kinds[kind])),
            "measured": results.supply(KINDS, partial(_ratio, kind, part)),
        },
        compare=(PAIR,),
        rival=lambda: 1.0,
        rival_is="no asymmetry",
        runs_from="full",
        missed=lambda: missed_singles(results, RATE, _damage(results, kind, part), (kind,)),
        note=f"ΔNLL of errors in {kind} of all layers at once, windows paired. Nobody claims that A(p), "
        "which is of one block, carries over to a model's loss.",
    )


def _of(kinds: Kinds, kind: str, part: str) -> Any:
    return (kinds[kind].rates if part == SHIFT else kinds[kind].rest)[0]


def _ratio(kind: str, part: str, kinds: Kinds) -> Evidence:
    return of_ratio(_of(kinds, kind, part).ratio, kinds[kind].provenance)


def _damage(results: Results, kind: str, part: str) -> float:
    """Mean ΔNLL of the shift or the rest of it; 0 if there is none."""
    kinds = results[KINDS]
    damage = None if isinstance(kinds, Missing) else _of(kinds, kind, part).damage[part]
    return 0.0 if damage is None else float(damage.estimate.value)
