"""Flips against a shift without its growth and of random signs: where the asymmetry survives."""

from __future__ import annotations

from collections.abc import Iterator

from signmag_jax import measure
from signmag_jax.claims.claim import Claim
from signmag_jax.claims.levels import Level
from signmag_jax.claims.measured import Measured
from signmag_jax.claims.pieces import Results
from signmag_jax.claims.supply import exact, of_ratio
from signmag_jax.measure.pools import ALL
from signmag_jax.models import MATRICES

from .trained import ALL_COLUMNS_RATE as RATE

INCOHERENT = Measured(
    "incoherent_errors",
    lambda run, **options: measure.incoherent_errors(run.model, run.evaluation, **options),
    options=lambda level: {"rate": RATE},
    amount=lambda level: level.column_draws,
    what="errors of random signs",
)
# The default level's few windows do not tell the others' ratios from 1.
TOLD = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj")


def rows(level: Level, results: Results) -> Iterator[Claim]:
    """The rows of all matrices together, and those of each kind alone."""
    del level
    for name in (ALL, *MATRICES):
        yield _row(name, results)


def _row(name: str, results: Results) -> Claim:
    what, end = ("all matrices", "") if name == ALL else (name, f".{name}")
    return Claim(
        name=f"trained.flips_over_scattered{end}.p={RATE:g}",
        claimant="open",
        source="energies of Theorem 3 in a trained model",
        statement=f"In second order, flips in {what} cost more than a shift of equal norm without its "
        "growth, every change of random sign.",
        routes={
            "predicted": exact(lambda: 1.0, name="no asymmetry"),
            "measured": results.supply(INCOHERENT, lambda run: of_ratio(run.ratio[name], run.provenance)),
        },
        compare=(("measured", "predicted"),),
        kind="above",
        rival=lambda: 2.0,
        rival_is="twice as much, which is to be seen",
        runs_from="default" if name in TOLD else "full",
        note="Where this row holds, it is the definition under which the asymmetry survives in a trained "
        "model: a shift without its growth, and as incoherent as flips are. In a wide block of Gaussian "
        "weights such signs make no difference. By the Gauss–Newton diagonal, one backward pass a window: of "
        "drawn errors few weights decide.",
    )
