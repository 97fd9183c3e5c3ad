"""What a measurement is to `signmag measure`: how it is run, summarised, drawn, tabled, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signmag_jax.cli.request import Request

Rows = list[dict[str, Any]]
"""Flat rows, of which a Parquet file is made."""

PLACES = ("layers", "matrices")
DRAWS = ("draws", *PLACES, "resume")


@dataclass(frozen=True)
class Verb:
    """One measurement.

    Args:
      run: from the request to a result with `to_json`.
      summary: lines for a terminal, by name.
      cost: forward passes of 2,048 tokens.
      options: options besides model, text and windows that it takes.
      fewest: windows that it takes at least.
      rates: its flip rates where none are asked for; nothing where it has none.
      plot: draws the result, where there is a picture.
      rows: the result as a table, where there is one.
      check: refuses options, before anything is opened.
      arrays: of the weights' size that exist at one time, the weights among them.
    """

    run: Callable[[Request], Any]
    summary: Callable[[Any], dict[str, str]]
    cost: Callable[[Request], float]
    options: tuple[str, ...] = ()
    fewest: int = 1
    rates: tuple[float, ...] = ()
    plot: Callable[[Any, Path], None] | None = None
    rows: Callable[[Any], Rows] | None = None
    check: Callable[[Request], None] | None = None
    arrays: int = 1


def calibration_passes(request: Request) -> float:
    """Forward passes of 2,048 tokens that choosing the columns takes."""
    return (request.calibration or 0) * request.window / 2048


def scored(function: str) -> Callable[[Request], float]:
    """The cost that `measure` states by windows and draws, with that of the calibration."""

    def cost(request: Request) -> float:
        from signmag_jax import measure

        passes = getattr(measure, function)(request.windows, request.window, request.count)
        return passes + calibration_passes(request)

    return cost
