"""A level of few samples, and results of runs in which little or nothing was computed."""

from signmag_jax.claims import families
from signmag_jax.claims.claim import Missing
from signmag_jax.claims.levels import Level
from signmag_jax.claims.pieces import Results

TINY = Level("tiny", (64, 128), (96, 64), 8, 16, 8, 0, 64, 8, 8, (0.005,), (2,), 2, 2)


def results_of(level, known, model="no model"):
    """Results of a run in which only these pieces gave something."""
    pieces = [*families.experiments(level), *families.measurements()]
    return Results(dict.fromkeys(pieces, Missing("NOT RUN", "no part of this test")) | known, model)
