"""Samples as the flat rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .verb import Rows


def by_draw(samples: Mapping[str, Any], name: str, value: str, **fixed: Any) -> Rows:
    """One row for each draw and window of draws × windows tables, None left out, with its table's name."""
    return [
        {**fixed, name: label, "draw": draw, "window": window, value: float(number)}
        for label, table in samples.items()
        if table is not None
        for draw, row in enumerate(table)
        for window, number in enumerate(row)
    ]
