"""Proposition 1: one matrix without a ReLU, where noise costs more than flips, and the shift less."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import numpy as np

from signmag_jax import simulate, theory
from signmag_jax.claims.claim import Claim, Route, Supply, simulated_law
from signmag_jax.claims.levels import Level, LevelName
from signmag_jax.claims.pieces import Results, Simulated
from signmag_jax.claims.published import PAPER, paper
from signmag_jax.claims.supply import exact, inverse, scaled
from signmag_jax.evidence import Estimate

SECTION = "9.7"
SIMULATED_RATE = 0.1
SIMULATED_WIDTH = 256


def experiments(level: Level) -> Iterator[Simulated]:
    """Flips against noise, and against the coherent shift."""
    yield against_noise(level)
    yield against_shift(level)


def against_noise(level: Level) -> Simulated[simulate.Proposition1]:
    """Flips and magnitude noise of one matrix."""
    run = partial(simulate.proposition_1, SIMULATED_WIDTH, SIMULATED_RATE)
    return Simulated("proposition_1", run, level.paper_networks)


def against_shift(level: Level) -> Simulated[simulate.Proposition1]:
    """Flips and the coherent shift of one matrix."""
    run = partial(simulate.proposition_1, SIMULATED_WIDTH, SIMULATED_RATE, magnitude="shift")
    return Simulated("proposition_1", run, level.paper_networks, variant="shift")


def rows(level: Level, results: Results) -> Iterator[Claim]:
    """Energy, radial fractions and the reversed ratio, over the paper's table and simulated; the shift."""
    rate, m = SIMULATED_RATE, SIMULATED_WIDTH
    noise = against_noise(level)
    law = float(theory.flip_matrix_radial_fraction(rate, m))
    yield _claim(
        "energy",
        "Equal Frobenius norm gives equal energy E‖δWx‖² to flips and to noise.",
        "energy_flip_over_magnitude",
        lambda p, rows: 1.0,
        results.supply(noise, lambda run: run.energy_ratio),
        (lambda: 1 - rate, "flips that lose the factor 1 − p"),
    )
    yield _claim(
        "radial_flip",
        "The radial fraction of sign flips is p + (1 − p)/m.",
        "radial_flip",
        theory.flip_matrix_radial_fraction,
        results.supply(noise, lambda run: scaled(run.flip_radial_fraction, 1 / law)),
        (lambda: rate / float(theory.flip_matrix_radial_fraction(rate, m)), "p, without the 1/m term"),
        (("predicted", "simulated"),),
        "The law is a ratio of means; a mean of per-input cos² has other terms of order 1/m. Which of the "
        "two the table prints is not said, so it is not compared.",
        "ours",
        "default",
    )
    yield _claim(
        "radial_noise",
        "The radial fraction of magnitude noise is 1/m.",
        "radial_magnitude",
        lambda p, rows: theory.noise_matrix_radial_fraction(rows),
        results.supply(noise, lambda run: scaled(run.magnitude_radial_fraction, float(m))),
        (lambda: m * float(theory.flip_matrix_radial_fraction(rate, m)), "that of the flips"),
    )
    yield _claim(
        "transverse_ratio",
        "Noise has 1/(1 − p) times the transverse energy of flips: without a ReLU it is the other way round.",
        "transverse_magnitude_over_flip",
        lambda p, rows: 1 / (1 - p),
        results.supply(noise, lambda run: scaled(run.transverse_ratio, 1 - rate)),
        (lambda: (1 - rate) ** 2, "the ratio the other way round"),
    )
    yield _coherent(results.supply(against_shift(level), lambda run: inverse(run.transverse_ratio)))


def _coherent(simulated: Supply) -> Claim:
    rate, m = SIMULATED_RATE, SIMULATED_WIDTH
    return simulated_law(
        "proposition_1.coherent_shift",
        "Flips have (1 − p)π/(π − 2) times the transverse energy of the coherent shift, which is no noise: "
        "the asymmetry needs no ReLU.",
        exact(theory.flip_to_shift_ratio, rate),
        simulated,
        (lambda: float(theory.transverse_ratio_limit()), "the limit of Theorem 3, without 1 − p"),
        source="Proposition 1, with the shift of Theorem 3",
        proofs=("proposition_1",),
        note=f"Ratio of means, simulated at p = {rate:g}, n = m = {m}; the paper simulates noise alone.",
    )


def _claim(
    name: str,
    statement: str,
    column: str,
    law: Callable[[Any, Any], Any],
    simulated: Supply,
    rival: tuple[Callable[[], float], str],
    compare: tuple[tuple[Route, Route], ...] = (("published", "predicted"), ("predicted", "simulated")),
    note: str = "",
    claimant: Literal["paper", "ours"] = "paper",
    runs_from: LevelName = "quick",
) -> Claim:
    return Claim(
        name=f"proposition_1.{name}",
        claimant=claimant,
        source="Proposition 1, section 9.7",
        statement=statement,
        unit="1 (over the law)",
        routes={
            "published": _published(column, law),
            "predicted": exact(lambda: 1.0, name="1 by definition of the unit"),
            "simulated": simulated,
        },
        compare=compare,
        rival=rival[0],
        rival_is=rival[1],
        proofs=("proposition_1",),
        runs_from=runs_from,
        note=f"Divided by the law at each size and rate; simulated at p = {SIMULATED_RATE:g}, "
        f"n = m = {SIMULATED_WIDTH}. Published: mean of the table, error from its scatter over sizes. "
        f"{note}".rstrip(),
        quotes=tuple(f"proposition_1.rows.{index}.{column}" for index in range(len(_table()))),
    )


def _table() -> list[dict[str, Any]]:
    return paper()["proposition_1"]["rows"]


def _published(column: str, law: Callable[[Any, Any], Any]) -> Supply:
    """Over the law, by size: a size is one sample, since its rates share draws (noise has equal digits)."""

    def supply() -> Estimate:
        by_size: dict[int, list[float]] = {}
        for row in _table():
            by_size.setdefault(row["m"], []).append(row[column] / float(law(row["p"], row["m"])))
        return Estimate.of_samples(
            [float(np.mean(ratios)) for ratios in by_size.values()],
            estimator=f"mean over {len(by_size)} printed sizes, each over its rates",
            provenance={"source": PAPER, "section": SECTION},
        )

    return supply
