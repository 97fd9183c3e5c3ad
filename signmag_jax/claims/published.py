"""The paper's figures (arXiv:2605.18933): where they stand, their sampling errors, how they are rounded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from signmag_jax.evidence import Estimate

from .claim import Exact, Supply

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

    Rounding is no standard error: `half_unit` tells how far it reaches.

    Args:
      value: as printed.
      decimals: as many as were printed.
      standard_error: the sampling error, as far as it is published.
      error: where that comes from; required with it.
      n: samples behind it; 0 where their number is not published.
      section: where it stands.
      what: what it is.
    """
    if (standard_error > 0) != bool(error):
        raise ValueError(f"{what}: a sampling error and its origin go together")
    estimate = Estimate(
        value,
        standard_error,
        n,
        "1",
        f"{what}; error: {error}" if error else what,
        {"source": PAPER, "section": section, "printed_decimals": decimals},
    )
    return (lambda: estimate) if standard_error else Exact(lambda: estimate)


def half_unit(estimate: Estimate) -> float:
    """How far a number may lie from its printed figure: half a unit of the last decimal, if that is known."""
    decimals = estimate.provenance.get("printed_decimals")
    return 0.0 if decimals is None else 10.0**-decimals / 2


@dataclass(frozen=True)
class Quotation:
    """A figure or formula of the paper, and the section that holds it."""

    path: str
    figure: Any
    section: str


def quotation(path: str) -> Quotation:
    """What stands at a dotted path of `published.json`: "theorem_3_V1.measured.0".

    Raises:
      LookupError: if nothing stands there, or no section is named for it.
    """
    value: Any = paper()
    section = ""
    for part in path.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
        section = value.get("section", section) if isinstance(value, dict) else section
    if not section:
        raise LookupError(f"published.json names no section for {path}")
    return Quotation(path, value, section)


def path_of_row(table: str, **where: Any) -> str:
    """The path of the row of a published table whose fields equal `where`."""
    return f"{table}.rows.{paper()[table]['rows'].index(row(table, **where))}"


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
