"""The paper's figures (arXiv:2605.18933), with the error that their printing and sampling leave."""

from __future__ import annotations

import json
import math
from functools import cache
from importlib import resources
from typing import Any

from signmag_jax.evidence import Estimate

PAPER = "arXiv:2605.18933"


@cache
def figures() -> dict[str, Any]:
    """The content of `published.json`."""
    return json.loads(resources.files("signmag_jax.claims").joinpath("published.json").read_text())


def figure(
    value: float, *, decimals: int | None, standard_error: float = 0.0, n: int = 0, section: str, what: str
) -> Estimate:
    """A published number; rounding to `decimals` adds the deviation of a uniform error, 10^-decimals/√12."""
    rounding = 0.0 if decimals is None else 10.0**-decimals / math.sqrt(12)
    return Estimate(
        value,
        math.hypot(standard_error, rounding),
        n,
        "1",
        what,
        {"source": PAPER, "section": section, "printed_decimals": decimals},
    )


def row(table: str, **where: Any) -> dict[str, Any]:
    """The row of a published table whose fields equal `where`."""
    for candidate in figures()[table]["rows"]:
        if all(candidate.get(name) == value for name, value in where.items()):
            return candidate
    raise KeyError(f"{table} has no row with {where}")
