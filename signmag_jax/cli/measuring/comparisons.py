"""Two arms of damage at several rates, as `leverage` and `all-columns` find them."""

from __future__ import annotations

from pathlib import Path
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


def plot(found: Any, what: str, title: str, path: Path) -> None:
    """Both arms and their ratio against the rate; what is not finite or not resolved is left out."""
    from signmag_jax.report import figures, measured

    damage = {}
    for arm in found.rates[0].damage:
        known = [(each.rate, each.damage[arm].estimate) for each in found.rates if each.damage[arm]]
        damage[arm] = [
            [rate for rate, _ in known],
            [estimate.value for _, estimate in known],
            [estimate.standard_error for _, estimate in known],
        ]
    clear = [(each.rate, each.ratio.interval) for each in found.rates if each.ratio.resolved]
    ratio = [
        [rate for rate, _ in clear],
        [interval.estimate.value for _, interval in clear],
        [interval.low for _, interval in clear],
        [interval.high for _, interval in clear],
    ]
    figures.save(measured.arms(damage, ratio, what, title), path)


def rows(found: Any) -> Rows:
    """ΔNLL of every draw and window."""
    return [
        row
        for rate in found.rates
        for row in by_draw(rate.samples, "arm", "delta_nll", rate=rate.rate, flips=rate.flips)
    ]
