"""Pictures of single measurements: points against a law, bars, curves by depth, maps of layers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from signmag_jax.evidence import Picture

from . import pictures, style
from .style import COLORS, DASHES, PALETTE, SHAPES, SMALL, dress, new_figure, single

TICKS = 6
"""Layers that a map names, at most twice as many."""


def points(series: Mapping[str, tuple[Any, Any, Any]], x: str, y: str, title: str) -> Figure:
    """Values with errors against a predictor, by name (predictor, value, error); negative ones are shown."""
    figure, axes = single()
    sizes = [np.abs(value) for _, value, _ in series.values()]
    positive = np.concatenate(sizes)[np.concatenate(sizes) > 0]
    for (color, shape, _), (name, (predictor, value, error)) in zip(looks(), series.items(), strict=False):
        axes.errorbar(predictor, value, error, fmt=shape, capsize=3, color=color, label=name)
    axes.set(xscale="log", xlabel=x, ylabel=y, title=title)
    # Linear around zero, so that the columns whose flip helps stay in the picture.
    axes.set_yscale("symlog", linthresh=float(np.median(positive)) if positive.size else 1.0)
    axes.legend(fontsize=SMALL)
    return figure


def looks() -> Iterator[tuple[str, str, str]]:
    """Colour, marker and line of one series after the other: of seven, each has its own colour and marker."""
    for line in itertools.cycle(DASHES):
        yield from zip(PALETTE, SHAPES, itertools.repeat(line))


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
    figure = new_figure(6.4, 6.4)
    above, below = figure.subplots(2, 1, sharex=True)
    for axes in (above, below):
        dress(axes)
    for (color, shape, _), (name, (rate, value, error)) in zip(looks(), damage.items(), strict=False):
        above.errorbar(rate, value, error, fmt=shape, capsize=3, color=color, label=name)
    above.set(xscale="log", ylabel="ΔNLL, nats per token", title=title)
    above.legend(fontsize=SMALL)
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
    laws: Mapping[str, Any] = MappingProxyType({}),
) -> Figure:
    """Values with errors (value, error) along x, by default 1, 2, …; by name, the law for them."""
    figure, axes = single(width=7.4)
    for (color, shape, line), (name, (value, error)) in zip(looks(), series.items(), strict=False):
        at = np.arange(1, len(value) + 1) if along is None else along
        options: dict[str, Any] = {"color": color, "marker": shape, "linestyle": line, "markersize": 4}
        axes.errorbar(at, value, error, capsize=3, label=name, **options)
        if name in laws:
            axes.plot(at, laws[name], ":", color=color, label=f"{name}: law")
    axes.set(xlabel=x, ylabel=y, title=title, yscale="log" if log else "linear")
    axes.legend(fontsize=SMALL, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


def estimates(
    axis: str, along: Any, values: Any, standard_errors: Any, title: str, law: Any = None, law_is: str = ""
) -> Figure:
    """Estimates along one argument, beside the law that they should agree with, where there is one."""
    figure, axes = single()
    axes.errorbar(along, values, standard_errors, fmt="o", capsize=3, color=COLORS["simulated"])
    axes.set(xlabel=axis, title=title)
    ends = [(float(np.ravel(values)[-1]), COLORS["simulated"], "simulated")]
    if law is not None:
        axes.plot(along, law, "--_", color=COLORS["predicted"], markersize=12)
        ends.append((float(np.ravel(law)[-1]), COLORS["predicted"], law_is))
    style.label(axes, ends)
    return figure


def budgets(series: Mapping[str, tuple[Any, Any, Any, Any]], everything: float | None, title: str) -> Figure:
    """ΔNLL with its interval (share, value, low, high) against the share that is protected, by criterion."""
    figure, axes = single(width=8.0)
    ends = []
    for (color, shape, line), (name, columns) in zip(looks(), series.items(), strict=False):
        share, value, low, high = (np.asarray(each, float) for each in columns)
        reach = np.maximum([value - low, high - value], 0.0)
        options: dict[str, Any] = {"color": color, "marker": shape, "linestyle": line, "markersize": 4}
        axes.errorbar(100 * share, value, reach, capsize=3, **options)
        ends.append((float(value[-1]), color, name))
    if everything is not None:
        axes.axhline(everything, color=style.MUTED, linewidth=1)
        ends.append((everything, style.MUTED, "nothing protected"))
    axes.set(xscale="log", xlabel="protected, % of the weights", ylabel="ΔNLL, nats per token", title=title)
    axes.xaxis.set_major_formatter("{x:g}")
    style.label(axes, ends)
    return figure


def layers(table: Any, rows: Sequence[str], columns: Sequence[str], title: str, label: str) -> Figure:
    """One number for each matrix (row) and layer (column)."""
    figure, axes = single(8.0, 3.6)
    picture = axes.imshow(np.asarray(table, float), aspect="auto", cmap="cividis", interpolation="nearest")
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(range(len(columns)), columns, fontsize=7)
    axes.set(title=title, xlabel="layer")
    pictures.color_bar(figure, picture, axes, label)
    return figure


def maps(tables: Mapping[str, Any], label: str, layers: Sequence[int]) -> Figure:
    """One number for each layer (row) and input column, a picture for each matrix, one scale for all."""
    figure = new_figure(9.0, 1.5 * len(tables) + 0.8)
    grid = figure.subplots(len(tables), 1, squeeze=False)[:, 0]
    shades = ScalarMappable(Normalize(-1, 2), "cividis")
    every = max(1, len(layers) // TICKS)
    for axes, (name, table) in zip(grid, tables.items(), strict=True):
        axes.imshow(
            np.asarray(table), aspect="auto", cmap=shades.cmap, norm=shades.norm, interpolation="nearest"
        )
        axes.set_title(name, loc="left", fontsize="medium")
        axes.set(ylabel="layer")
        axes.set_yticks(range(0, len(layers), every), [str(layer) for layer in layers[::every]])
    grid[-1].set(xlabel="input column")
    figure.suptitle("Which input columns carry the signs")
    pictures.color_bar(figure, shades, grid.tolist(), label, aspect=50, extend="max")
    return figure


def draw(picture: Picture) -> Figure:
    """The figure that a result describes."""
    return KINDS[picture.kind](**picture.arguments)


KINDS = {
    "alpha": pictures.alpha,
    "points": points,
    "bars": bars,
    "arms": arms,
    "budgets": budgets,
    "curves": curves,
    "layers": layers,
    "maps": maps,
}
