"""Pictures of single measurements: points against a law, bars, curves by depth, maps of layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from signmag_jax.evidence import Picture

from . import figures
from .figures import COLORS, single

PALETTE = (COLORS["measured"], COLORS["simulated"], COLORS["predicted"], COLORS["paper"])


def points(series: Mapping[str, tuple[Any, Any, Any]], x: str, y: str, title: str) -> Figure:
    """Values with errors against a predictor, by name (predictor, value, error); negative ones are shown."""
    figure, axes = single()
    sizes = [np.abs(value) for _, value, _ in series.values()]
    positive = np.concatenate(sizes)[np.concatenate(sizes) > 0]
    for color, (name, (predictor, value, error)) in zip(PALETTE * len(series), series.items(), strict=False):
        axes.errorbar(predictor, value, error, fmt="o", capsize=3, color=color, label=name)
    axes.set(xscale="log", xlabel=x, ylabel=y, title=title)
    # Linear around zero, so that the columns whose flip helps stay in the picture.
    axes.set_yscale("symlog", linthresh=float(np.median(positive)) if positive.size else 1.0)
    axes.legend(fontsize=8)
    return figure


def bars(values: Mapping[str, tuple[float, float, float]], y: str, title: str) -> Figure:
    """Values with their intervals (value, low, high), by name; without any, the picture says so."""
    figure, axes = single()
    value, low, high = (np.asarray([each[i] for each in values.values()]) for i in range(3))
    # A percentile interval need not hold its own mean.
    reach = np.maximum([value - low, high - value], 0.0)
    axes.bar(list(values), value, yerr=reach, capsize=4, color=COLORS["measured"])
    axes.tick_params(axis="x", labelrotation=20)
    axes.set(ylabel=y, title=title)
    if not values:
        _say_nothing(axes)
        return figure
    axes.set_yscale("symlog", linthresh=max(float(np.abs(value).min()), 1e-6))
    return figure


def _say_nothing(axes: Any) -> None:
    axes.text(0.5, 0.5, "nothing is resolved", ha="center", transform=axes.transAxes)


def arms(damage: Mapping[str, Sequence[Any]], ratio: Sequence[Any], what: str, title: str) -> Figure:
    """ΔNLL of each arm (rate, value, error) against the rate, over their ratio (rate, value, low, high)."""
    figure = Figure(figsize=(6.4, 6.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for color, (name, (rate, value, error)) in zip(PALETTE, damage.items(), strict=False):
        above.errorbar(rate, value, error, fmt="o", capsize=3, color=color, label=name)
    above.set(xscale="log", ylabel="ΔNLL, nats per token", title=title)
    above.legend(fontsize=8)
    rate, value, low, high = (np.asarray(each, float) for each in ratio)
    reach = np.maximum([value - low, high - value], 0.0)
    if rate.size:
        below.errorbar(rate, value, reach, fmt="o", capsize=3, color=COLORS["measured"])
    else:
        _say_nothing(below)
    below.set(xlabel="flips per sign of the pool", ylabel=what)
    return figure


def curves(
    series: Mapping[str, tuple[Any, Any]],
    x: str,
    y: str,
    title: str,
    along: Sequence[int] | None = None,
    log: bool = False,
) -> Figure:
    """Values with errors (value, error) along x, by default 1, 2, …"""
    figure, axes = single()
    for color, (name, (value, error)) in zip(PALETTE * len(series), series.items(), strict=False):
        at = np.arange(1, len(value) + 1) if along is None else along
        axes.errorbar(at, value, error, capsize=3, color=color, label=name)
    axes.set(xlabel=x, ylabel=y, title=title, yscale="log" if log else "linear")
    axes.legend(fontsize=7)
    return figure


def layers(table: Any, rows: Sequence[str], columns: Sequence[str], title: str, label: str) -> Figure:
    """One number for each matrix (row) and layer (column)."""
    figure = Figure(figsize=(8.0, 3.6), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(np.asarray(table, float), aspect="auto", cmap="magma", interpolation="nearest")
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(range(len(columns)), columns, fontsize=7)
    axes.set(title=title, xlabel="layer")
    figure.colorbar(picture, ax=axes, label=label)
    return figure


def maps(pictures: Mapping[str, Any], label: str) -> Figure:
    """One number for each layer (row) and input column, a picture for each matrix, one scale for all."""
    figure = Figure(figsize=(9.0, 1.5 * len(pictures) + 0.8), layout="constrained")
    grid = figure.subplots(len(pictures), 1, squeeze=False)[:, 0]
    shades = ScalarMappable(Normalize(-1, 2), "magma")
    for axes, (name, table) in zip(grid, pictures.items(), strict=True):
        axes.imshow(
            np.asarray(table), aspect="auto", cmap=shades.cmap, norm=shades.norm, interpolation="nearest"
        )
        axes.set_title(name, loc="left", fontsize="medium")
        axes.set(ylabel="layer")
    grid[-1].set(xlabel="input column")
    figure.suptitle("Which input columns carry the signs")
    figure.colorbar(shades, ax=grid.tolist(), label=label, aspect=50, extend="max")
    return figure


def draw(picture: Picture) -> Figure:
    """The figure that a result describes."""
    return KINDS[picture.kind](**picture.arguments)


KINDS = {
    "alpha": figures.alpha,
    "points": points,
    "bars": bars,
    "arms": arms,
    "curves": curves,
    "layers": layers,
    "maps": maps,
}
