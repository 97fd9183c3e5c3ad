"""Fact 1's cos² of each trained matrix, as it predicts the matrix's own flips over shifts."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from signmag_jax import measure, theory
from signmag_jax.claims.claim import Claim, Evidence, Missing
from signmag_jax.claims.levels import Level
from signmag_jax.claims.measured import Measured, ModelRun
from signmag_jax.claims.pieces import Results
from signmag_jax.claims.supply import pick, with_origin

from .trained_chains import check_width, law_of

RATE = 0.01
COUNT = 6
KIND = "trained"

Each = tuple[measure.TrainedChain, ...]


def _measure(run: ModelRun, resume: Path | None, **options: Any) -> Each:
    """A chain of one matrix of each of the middle layers."""
    check_width(run)
    layers = run.model.config.layers
    first = max(0, (layers - COUNT) // 2)
    return tuple(
        measure.trained_chain(
            run.model,
            layers=(layer,),
            resume=None if resume is None else resume / f"layer {layer}",
            **options,
        )
        for layer in range(first, min(first + COUNT, layers))
    )


EACH = Measured(
    "own_ratio",
    _measure,
    options=lambda level: {"rates": (RATE,), "draws": level.matrix_draws},
    amount=lambda level: level.matrix_draws,
    what="each matrix by itself",
    passes=lambda level: 0.0,
)


def rows(level: Level, results: Results) -> Iterator[Claim]:
    """One a matrix, in the order of the layers."""
    for index in range(COUNT):
        yield _row(index, results)


def _predicted(each: Each, index: int) -> Evidence:
    if index >= len(each):
        return Missing("UNRESOLVED", f"the model has only {len(each)} layers")
    law = law_of(each[index], KIND, (RATE,))
    if isinstance(law, Missing):
        return law
    origin = {**each[index].provenance, "cos²(w, sign w)": float(each[index].moments[0][0]) ** 2}
    return with_origin(pick(law, (0, 0)), origin)


def _measured(each: Each, index: int) -> Evidence:
    if index >= len(each):
        return Missing("UNRESOLVED", f"the model has only {len(each)} layers")
    return with_origin(pick(each[index].ratio[KIND], (0, 0)), each[index].provenance)


def _row(index: int, results: Results) -> Claim:
    return Claim(
        name=f"fact_1.own_ratio.matrix={index + 1}",
        claimant="open",
        source="Theorem 3 and Fact 1, for weights of any law",
        statement=f"What flips cost over a shift of equal norm at p = {RATE:g}, behind the gate_proj matrix "
        f"of middle layer {index + 1}, follows from its own cos²(w, sign w).",
        routes={
            "predicted": results.supply(EACH, functools.partial(_predicted, index=index)),
            "measured": results.supply(EACH, functools.partial(_measured, index=index)),
        },
        compare=(("predicted", "measured"),),
        rival=lambda: float(np.ravel(theory.depth_ratios(RATE, 1))[-1]),
        rival_is="one law for all matrices, that of Gaussian weights",
        runs_from="default",
        note="sin² of the angle behind one layer of ReLU, whose limit as p → 0 is 1/(1 − cos²(w, sign w)). "
        f"At its width the matrix's E|w|³ and E w⁴ count besides. Measured: {results.model}.",
    )
