"""Two arms of damage at several rates, as `leverage` and `all-columns` find them."""

from __future__ import annotations

from typing import Any

from . import lines
from .tables import by_draw
from .verb import Rows


def summary(rates: Any, what: str) -> dict[str, str]:
    """For each rate the ratio, or why there is none, and the damage of both arms."""
    found = {}
    for rate in rates:
        name = f"rate {rate.rate:g}, {rate.flips} flips"
        found[f"{name}: {what}"] = lines.ratio(rate.ratio)
        for arm, damage in rate.damage.items():
            found[f"{name}: ΔNLL {arm}"] = lines.mean(damage)
    return found


def rows(found: Any) -> Rows:
    """ΔNLL of every draw and window."""
    return [
        row
        for rate in found.rates
        for row in by_draw(rate.samples, "arm", "delta_nll", rate=rate.rate, flips=rate.flips)
    ]
