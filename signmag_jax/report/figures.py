"""The pictures of a report, drawn only from a saved ledger, as self-contained SVG text."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from signmag_jax.evidence import invalid
from signmag_jax.evidence.files import write_atomic

Series = Mapping[str, Any]
COLORS = {"predicted": "#1f4e8c", "paper": "#b3401f", "simulated": "#2a7f3f", "measured": "#6b3fa0"}


def svg(figure: Figure) -> str:
    """SVG text of a figure, identical for identical data."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "signmag", "svg.fonttype": "path"}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": "signmag_jax"})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def single() -> tuple[Figure, Any]:
    """A figure of one pair of axes."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    return figure, figure.subplots()


def transverse_ratio(data: Series) -> Figure:
    """A(p): exact law, the paper's formula, the paper's measurements, ours with error bars."""
    figure, axes = single()
    axes.plot(data["rate"], data["exact"], color=COLORS["predicted"], label="exact law, infinite width")
    axes.plot(data["rate"], data["paper_formula"], "--", color=COLORS["paper"], label="the paper's formula")
    _points(axes, data["published"], "s", COLORS["paper"], "the paper's measurements")
    for color, (name, series) in zip(
        ("#7fbf8f", COLORS["simulated"]), data["simulated"].items(), strict=False
    ):
        _points(axes, series, "o", color, name)
    axes.axhline(data["limit"], color="grey", linewidth=0.8, linestyle=":", label="limit π/(π−2)")
    axes.set(
        xscale="log", xlabel="flip rate p", ylabel="transverse ratio A(p)", title="Theorem 3 at finite rate"
    )
    axes.legend(fontsize=8)
    return figure


def finite_width(data: Series) -> Figure:
    """The simulated ratio against width, with the flips-per-row law."""
    figure, axes = single()
    axes.plot(data["width"], data["predicted"], color=COLORS["predicted"], label="flips-per-row law")
    axes.axhline(data["infinite"], color="grey", linewidth=0.8, linestyle=":", label="infinite width")
    _points(axes, data["simulated"], "o", COLORS["simulated"], "simulated", x="width")
    axes.set(xscale="log", xlabel="width n", ylabel=f"transverse ratio at p = {data['at_rate']:g}")
    axes.set_title("Finite width: a row holds few flips")
    axes.legend(fontsize=8)
    return figure


def depth(data: Series) -> Figure:
    """C_L by depth for the plain and the residual chain."""
    figure, axes = single()
    for index, (name, chain) in enumerate(data.items()):
        color = ("#1f4e8c", "#2a7f3f", "#6b3fa0", "#b3401f")[index % 4]
        axes.plot(chain["depth"], chain["predicted"], color=color, label=f"{name}: recursion, infinite width")
        _points(axes, chain["simulated"], "o", color, f"{name}: simulated, width {chain['width']}", x="depth")
        _points(
            axes, chain["published"], "x", "black", f"{name}: the paper, width {chain['width']}", x="depth"
        )
    axes.set(xlabel="layers L", ylabel="transverse ratio C_L", title="Depth does not compound")
    axes.legend(fontsize=7)
    return figure


def alpha(data: Series) -> Figure:
    """Median and largest α (share of the input's norm in one column) of every layer, by matrix input."""
    figure, axes = single()
    colors = ("#1f4e8c", "#b3401f", "#2a7f3f", "#6b3fa0")
    for color, (site, profile) in zip(colors, data.items(), strict=False):
        axes.plot(profile["max"], color=color, label=f"{site}: largest")
        axes.plot(profile["median"], ":", color=color, label=f"{site}: median")
    axes.set(
        yscale="log",
        xlabel="layer",
        ylabel="α = √E[x_j²/‖x‖²]",
        title="Outlier features concentrate the input",
    )
    axes.legend(fontsize=7, ncols=2)
    return figure


def columns(data: Series) -> Figure:
    """Every column that reads the residual stream: its damage per flip against the mean of its matrix."""
    figure = Figure(figsize=(9.0, 3.2 * len(data)), layout="constrained")
    grid = figure.subplots(len(data), 1, squeeze=False)
    for axes, (name, rows) in zip(grid[:, 0], data.items(), strict=True):
        picture = axes.imshow(
            np.asarray(rows), aspect="auto", cmap="magma", interpolation="nearest", vmin=-1, vmax=2
        )
        axes.set(title=f"{name}: which input columns carry the signs", xlabel="input column", ylabel="layer")
        figure.colorbar(picture, ax=axes, label="log10 of α²‖w‖² over its mean")
    return figure


def leverage(data: Series) -> Figure:
    """Count-matched leverage of outlier columns against rate."""
    figure, axes = single()
    _points(axes, data["measured"], "o", COLORS["measured"], f"measured, {data['model']}")
    _points(axes, data["unresolved"], "x", "grey", "unresolved (see the ledger)")
    _points(axes, data["published"], "s", COLORS["paper"], f"the paper's runs, {data['published_model']}")
    if data.get("predicted") is not None:
        axes.axhline(data["predicted"], color=COLORS["predicted"], linestyle="--", label="α²‖w‖² law")
    axes.set(xscale="log", xlabel="flips per sign of the outlier pool", ylabel="leverage (damage per flip)")
    axes.set_title("Sign flips in outlier columns against the rest")
    axes.legend(fontsize=8)
    return figure


def _points(axes: Any, series: Series, marker: str, color: str, label: str, x: str = "rate") -> None:
    if len(series[x]):
        error = series.get("standard_error")
        axes.errorbar(series[x], series["value"], error, fmt=marker, color=color, capsize=3, label=label)


DRAWINGS: dict[str, tuple[Callable[[Series], Figure], str]] = {
    "transverse_ratio": (
        transverse_ratio,
        "Transverse ratio of sign flips to magnitude shifts of equal norm",
    ),
    "finite_width": (finite_width, "The same ratio at finite width"),
    "depth": (depth, "Depth"),
    "alpha": (alpha, "Concentration of the input by layer"),
    "columns": (columns, "Which columns carry the signs"),
    "leverage": (leverage, "Count-matched leverage against rate"),
}


def draw(ledger: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Title and SVG text of each picture for which the ledger holds data."""
    series = ledger["figures"]
    return [
        (title, own_ids(svg(drawing(series[name])), name))
        for name, (drawing, title) in DRAWINGS.items()
        if series.get(name)
    ]


def own_ids(text: str, name: str) -> str:
    """SVG text whose ids begin with a name: in one page no two elements may have the same."""
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)


def curve(axis: str, along: Any, values: Any, title: str, *, log: bool = True) -> Figure:
    """Values of a law along one of its arguments; one line per further component."""
    figure, axes = single()
    axes.plot(along, values, marker="." if len(along) < 30 else None, color=COLORS["predicted"])
    axes.set(xscale="log" if log else "linear", xlabel=axis, title=title)
    return figure


def estimates(axis: str, along: Any, values: Any, standard_errors: Any, title: str) -> Figure:
    """Estimates along one argument."""
    figure, axes = single()
    axes.errorbar(along, values, standard_errors, fmt="o", capsize=3, color=COLORS["simulated"])
    axes.set(xlabel=axis, title=title)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a picture in the format of the file's suffix, whole or not at all.

    Raises:
      InvalidInput: for a suffix that is no picture.
    """
    kind = check_format(path)
    if kind == "svg":
        write_atomic(path, svg(figure))
        return
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=150)
    write_atomic(path, buffer.getvalue())


def check_format(path: Path) -> str:
    """The format of a picture file by its suffix.

    Raises:
      InvalidInput: for a suffix that is no picture.
    """
    kind = path.suffix.lower().lstrip(".")
    if kind not in {"svg", "png", "pdf"}:
        raise invalid("--plot ends in .svg, .png or .pdf", str(path), "choose one of these formats")
    return kind
