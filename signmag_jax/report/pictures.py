"""The pictures of a report, drawn only from a saved ledger."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from . import style
from .style import COLORS, INK, MUTED, PALETTE, SMALL, label, points, single

Series = Mapping[str, Any]


def transverse_ratio(data: Series) -> Figure:
    """A(p): exact law, the paper's formula, the paper's measurements, ours with error bars."""
    figure, axes = single()
    axes.axhline(data["limit"], color=MUTED, linewidth=0.8, linestyle=":")
    axes.plot(data["rate"], data["exact"], color=COLORS["predicted"])
    axes.plot(data["rate"], data["paper_formula"], "--", color=COLORS["paper"])
    points(axes, data["published"]["rate"], data["published"], "paper")
    ends = [
        (data["limit"], MUTED, "limit π/(π−2)"),
        (data["exact"][-1], COLORS["predicted"], "exact law"),
        (data["paper_formula"][-1], COLORS["paper"], "paper's formula"),
        (data["published"]["value"][-1], COLORS["paper"], "paper's runs (squares)"),
    ]
    for hollow, (name, run) in enumerate(data["simulated"].items()):
        filled = {} if hollow else {"markerfacecolor": "none"}
        points(axes, run["rate"], run, "simulated", **filled)
        if run["value"]:
            ends.append((run["value"][-1], COLORS["simulated"], f"{name} ({'full' if hollow else 'hollow'})"))
    axes.set(xscale="log", xlabel="flip rate p", ylabel="transverse ratio A(p)")
    label(axes, ends)
    return figure


def finite_width(data: Series) -> Figure:
    """The simulated ratio against width, with the flips-per-row law."""
    figure, axes = single()
    axes.axhline(data["infinite"], color=MUTED, linewidth=0.8, linestyle=":")
    axes.plot(data["width"], data["predicted"], color=COLORS["predicted"])
    points(axes, data["simulated"]["width"], data["simulated"], "simulated")
    axes.set(xscale="log", xlabel="width n", ylabel=f"transverse ratio at p = {data['at_rate']:g}")
    ends = [(data["infinite"], MUTED, "infinite width"), (data["predicted"][-1], COLORS["predicted"], "law")]
    if data["simulated"]["value"]:
        ends.append((data["simulated"]["value"][-1], COLORS["simulated"], "simulated"))
    label(axes, ends)
    return figure


def geometry(data: Series) -> Figure:
    """Errors of equal norm as vectors: along the signal, and across it, which RMSNorm lets through."""
    figure, axes = single(height=3.4)
    axes.axhline(0, color=MUTED, linewidth=0.8)
    for name, color in (("shift", COLORS["predicted"]), ("flip", COLORS["paper"])):
        radial, transverse = data[name]["radial"], data[name]["transverse"]
        arrow = {"arrowstyle": "-|>", "color": color, "linewidth": 2, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", xy=(radial, transverse), xytext=(0, 0), arrowprops=arrow)
        axes.plot([radial, radial], [0, transverse], ":", color=color)
        share = radial**2 / (radial**2 + transverse**2)
        axes.annotate(
            f"{name}: {share:.1%} radial,\ntransverse {transverse:.3f}",
            (radial, transverse), (6, 4), textcoords="offset points", fontsize=SMALL, color=INK,
        )  # fmt: skip
    largest = max(abs(data[name][part]) for name in ("flip", "shift") for part in ("radial", "transverse"))
    axes.set(
        xlim=(-0.5 * largest, 1.5 * largest), ylim=(-0.08 * largest, 1.25 * largest), aspect="equal",
        xlabel="along the signal h: RMSNorm removes it", ylabel="transverse: RMSNorm passes it",
    )  # fmt: skip
    return figure


def depth(data: Series) -> Figure:
    """C_L by depth for the plain and the residual chain, each beside the law of its own width."""
    figure, axes = single(height=4.6)
    ends = []
    for (name, chain), line in zip(data.items(), style.DASHES, strict=False):
        width = chain["width"]
        law, at = (chain.get("finite_width"), f"law, n = {width}")
        if law is None:
            law, at = chain["predicted"], "law, infinite width"
        axes.plot(chain["depth"], law, line, color=COLORS["predicted"])
        ends.append((law[-1], COLORS["predicted"], f"{name}: {at}"))
        for kind, run, aside in (
            ("simulated", chain["simulated"], -0.07),
            ("paper", chain["published"], 0.07),
        ):
            points(axes, [at + aside for at in run["depth"]], run, kind)
            if run["value"]:
                whose = "the paper" if kind == "paper" else kind
                ends.append((run["value"][-1], COLORS[kind], f"{name}: {whose}, n = {width}"))
    axes.set(xlabel="layers L", ylabel="transverse ratio C_L")
    label(axes, ends)
    return figure


def alpha(data: Series) -> Figure:
    """Median and largest α (share of the input's norm in one column) of every layer, by matrix input."""
    figure, axes = single()
    ends = []
    for color, (site, profile) in zip(PALETTE, data.items(), strict=False):
        axes.plot(profile["max"], color=color, marker=".")
        axes.plot(profile["median"], ":", color=color, marker=".")
        ends += [(profile[of][-1], color, f"{site}: {of}") for of in ("max", "median")]
    axes.set(yscale="log", xlabel="layer", ylabel="α = √E[x_j²/‖x‖²]")
    label(axes, ends)
    return figure


def columns(data: Series) -> Figure:
    """What flips in every column that reads the residual stream cost, against the mean: as measured."""
    figure = style.new_figure(7.0, 2.6 * len(data))
    grid = figure.subplots(len(data), 1, squeeze=False)
    for axes, (name, rows) in zip(grid[:, 0], data.items(), strict=True):
        style.dress(axes)
        picture = axes.imshow(
            np.asarray(rows), aspect="auto", cmap="cividis", interpolation="nearest", vmin=-1, vmax=2
        )
        axes.set(title=name, xlabel="input column", ylabel="layer")
        color_bar(figure, picture, axes, "log10 of slope over the mean")
    return figure


def color_bar(figure: Figure, picture: Any, axes: Any, name: str, **options: Any) -> None:
    """The scale of a map, in ink."""
    bar = figure.colorbar(picture, ax=axes, **options)
    bar.set_label(name, color=INK, fontsize=SMALL)
    bar.ax.tick_params(colors=INK)


def leverage(data: Series) -> Figure:
    """Count-matched leverage of outlier columns against rate."""
    figure, axes = single()
    named = {
        "measured": ("measured", data["model"]),
        "unresolved": ("measured", "unresolved (crosses)"),
        "published": ("paper", f"the paper, {data['published_model']}"),
    }
    ends = []
    for series, (kind, name) in named.items():
        run = data[series]
        points(axes, run["rate"], run, kind, **({"fmt": "x"} if series == "unresolved" else {}))
        if run["value"]:
            ends.append((run["value"][-1], COLORS[kind], name))
    if data.get("predicted") is not None:
        axes.axhline(data["predicted"], color=COLORS["predicted"], linestyle="--")
        ends.append((data["predicted"], COLORS["predicted"], "α²‖w‖² law"))
    axes.set(xscale="log", xlabel="flips per sign of the outlier pool", ylabel="leverage (damage per flip)")
    label(axes, ends)
    return figure


def damage(data: Series) -> Figure:
    """ΔNLL of the same number of flips in either pool against the rate, with what derivatives predict."""
    figure, axes = single()
    ends = []
    for (arm, each), marker in zip(data["arms"].items(), "Do", strict=False):
        points(axes, each["rate"], each, "measured", fmt=marker)
        ends.append((each["value"][-1], COLORS["measured"], f"{arm}: measured"))
        if each["predicted"]:
            axes.plot(each["rate"], each["predicted"], "--", color=COLORS["predicted"])
            ends.append((each["predicted"][-1], COLORS["predicted"], f"{arm}: predicted"))
    drawn = [each[of] or [] for each in data["arms"].values() for of in ("value", "predicted")]
    axes.set(xscale="log", xlabel="flips per sign of the outlier pool", ylabel="ΔNLL, nats per token")
    if min(map(min, filter(None, drawn))) > 0:
        axes.set_yscale("log", nonpositive="clip")
    label(axes, ends)
    return figure


DRAWINGS: dict[str, tuple[Callable[[Series], Figure], str]] = {
    "transverse_ratio": (
        transverse_ratio,
        "Transverse ratio of sign flips to magnitude shifts of equal norm",
    ),
    "geometry": (geometry, "Two errors of equal norm, seen from the signal"),
    "finite_width": (finite_width, "The same ratio at finite width"),
    "depth": (depth, "Depth does not compound"),
    "alpha": (alpha, "Concentration of the input by layer"),
    "column_slopes": (columns, "What flips in each input column cost, as measured"),
    "leverage": (leverage, "Count-matched leverage against rate"),
    "damage": (damage, "Damage against rate, measured and predicted from derivatives"),
}


def draw(ledger: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Title and SVG text for a page of each picture for which the ledger holds data, by its name."""
    series = ledger["figures"]
    return {
        name: (title, style.embedded(style.svg(drawing(series[name])), name, title))
        for name, (drawing, title) in DRAWINGS.items()
        if series.get(name)
    }


def curve(axis: str, along: Any, values: Any, title: str, *, log: bool = True) -> Figure:
    """Values of a law along one of its arguments; one line per further component, which is a layer."""
    figure, axes = single()
    table = np.asarray(values).reshape(len(along), -1)
    marker = "." if len(along) < 30 else None
    axes.set(xscale="log" if log else "linear", xlabel=axis, title=title)
    colors = [COLORS["predicted"]] if table.shape[1] == 1 else itertools.cycle(PALETTE)
    ends = []
    for number, (column, color) in enumerate(zip(table.T, colors, strict=False), start=1):
        axes.plot(along, column, marker=marker, color=color)
        ends.append((column[-1], color, f"L = {number}"))
    if len(ends) > 1:
        label(axes, ends)
    return figure
