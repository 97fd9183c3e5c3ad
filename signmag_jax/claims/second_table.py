"""The paper's second table of blocks: two layers, flips against the coherent shift, widths 512 to 2,048."""

from __future__ import annotations

from typing import Any

from .published import figures


def widths() -> list[int]:
    """Its widths, ascending."""
    return sorted({row["n"] for row in cells()})


def rates(width: int) -> list[float]:
    """Its rates at one of the widths, ascending."""
    return sorted({row["p"] for row in cells() if row["n"] == width})


def cells() -> list[dict[str, Any]]:
    """Its rows, as published."""
    return figures()["proposition_1"]["two_layer_hidden"]
