"""What measurements by linear response share: random probes of the curvature, and their cost."""

from __future__ import annotations

from signmag_jax.cli.request import Request

from .verb import PLACES, calibration_passes

OPTIONS = ("draws", "calibration", *PLACES, "resume")
FEWEST = 2
ARRAYS = 3
"""Weights, the costs by which single ones are chosen, and a gradient."""


def count(request: Request) -> int:
    """Probes of each window."""
    from signmag_jax.measure.response import PROBES

    return PROBES if request.count is None else request.count


def check(request: Request) -> None:
    """At least two probes, the same number for every window."""
    from signmag_jax.evidence import invalid

    if isinstance(request.draws, tuple) or count(request) < 2:
        raise invalid("--draws is one number >= 2", request.draws, "it counts the random probes of a window")


def cost(request: Request) -> float:
    """Forward passes of 2,048 tokens."""
    from signmag_jax import measure

    passes = measure.linear_response_cost(request.windows, request.window, count(request))
    # Columns, then a backward pass of each for the single weights.
    return passes + 5 * calibration_passes(request)
