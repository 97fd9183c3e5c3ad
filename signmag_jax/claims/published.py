"""What the paper prints (arXiv:2605.18933), with the error that its printing and sampling leave."""

from __future__ import annotations

import json
import math
from functools import cache
from importlib import resources
from typing import Any

from signmag_jax.evidence import Estimate

from .claim import Supply

PAPER = "arXiv:2605.18933"


@cache
def paper() -> dict[str, Any]:
    """What the paper prints, the content of `published.json`."""
    return json.loads(
        resources.files("signmag_jax.claims").joinpath("published.json").read_text(encoding="utf-8")
    )


def printed(
    value: float,
    *,
    decimals: int | None,
    standard_error: float = 0.0,
    error: str = "",
    n: int = 0,
    section: str,
    what: str,
) -> Supply:
    """A published number, whose estimator's name says how its error arose.

    Args:
      value: as printed.
      decimals: as many as were printed: rounding adds the deviation of a uniform error, 10^-decimals/√12.
      standard_error: the sampling error, as far as it is published.
      error: where that comes from; required with it.
      n: samples behind it; 0 where their number is not published.
      section: where it stands.
      what: what it is.
    """
    if (standard_error > 0) != bool(error):
        raise ValueError(f"{what}: a sampling error and its origin go together")
    rounding = 0.0 if decimals is None else 10.0**-decimals / math.sqrt(12)
    printing = "rounding to an integer" if decimals == 0 else f"rounding to {decimals} decimals"
    origins = ([error] if error else []) + ([] if decimals is None else [printing])
    estimate = Estimate(
        value,
        math.hypot(standard_error, rounding),
        n,
        "1",
        f"{what}; error: {' and '.join(origins)}" if origins else what,
        {"source": PAPER, "section": section, "printed_decimals": decimals},
    )
    return lambda: estimate


def row(table: str, **where: Any) -> dict[str, Any]:
    """The row of a published table whose fields equal `where`."""
    for candidate in paper()[table]["rows"]:
        if all(candidate.get(name) == value for name, value in where.items()):
            return candidate
    raise KeyError(f"{table} has no row with {where}")


def second_table() -> list[dict[str, Any]]:
    """Two layers, flips against the coherent shift, at widths 512 to 2,048."""
    return paper()["proposition_1"]["two_layer_hidden"]


def second_table_widths() -> list[int]:
    """Widths of the second table, ascending."""
    return sorted({row["n"] for row in second_table()})


def second_table_rates(width: int) -> list[float]:
    """Rates of the second table at one of its widths, ascending."""
    return sorted({row["p"] for row in second_table() if row["n"] == width})
