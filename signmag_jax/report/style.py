"""One style for every picture: colours that the colour-blind tell apart, labels beside their lines, SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from signmag_jax.evidence import invalid
from signmag_jax.evidence.files import write_atomic

INK = "#1b1c1f"
"""Colour of text and axes; in a page it becomes that of the page's text."""
MUTED = "#6b6f76"
# After Okabe and Ito (2008), the purple darkened until it shows on white.
COLORS = {"predicted": "#0072b2", "paper": "#d55e00", "simulated": "#009e73", "measured": "#7b1f5c"}
MARKERS = {"paper": "s", "simulated": "o", "measured": "D"}
PALETTE = (*COLORS.values(), "#b8860b", "#56b4e9", INK)
"""Seven series side by side: as many as a layer has matrices."""
SHAPES = "oDs^vPX"
DASHES = ("-", "--", "-.", ":")
SMALL = 8
SPREAD = 0.055
"""Distance between two labels, as a part of the axes' height."""


def new_figure(width: float = 6.2, height: float = 4.0) -> Figure:
    """An empty figure without a background: the page's shows."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_visible(False)
    return figure


def single(width: float = 6.2, height: float = 4.0) -> tuple[Figure, Any]:
    """A figure of one pair of axes."""
    figure = new_figure(width, height)
    axes = figure.subplots()
    dress(axes)
    return figure, axes


def dress(axes: Any) -> None:
    """Axes of the one style: two spines, ink, no background."""
    axes.patch.set_visible(False)
    axes.spines[["top", "right"]].set_visible(False)
    for spine in axes.spines.values():
        spine.set_color(INK)
    axes.tick_params(which="both", colors=INK)
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
        text.set_color(INK)


def points(axes: Any, x: Sequence[float], series: Any, kind: str, **options: Any) -> None:
    """Values with their errors, in the colour and shape of their route."""
    if len(x):
        defaults = {"fmt": MARKERS[kind], "color": COLORS[kind], "markersize": 4, "capsize": 3}
        axes.errorbar(x, series["value"], series.get("standard_error"), **(defaults | options))


def label(axes: Any, named: Sequence[tuple[float, str, str]]) -> None:
    """Name series at the right edge, each beside the height where it ends; labels do not overlap.

    Args:
      axes: whose scales and limits are final.
      named: for each series its last value, its colour and its name.
    """
    low, high = axes.get_ylim()
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = [to_axes.transform((axes.get_xlim()[1], min(max(y, low), high)))[1] for y, _, _ in named]
    order = sorted(range(len(named)), key=lambda i: ends[i])
    places, floor, ceiling = {}, -1.0, 1.0
    for i in order:
        floor = places[i] = max(ends[i], floor + SPREAD)
    for i in reversed(order):
        ceiling = places[i] = min(places[i], ceiling)
        ceiling -= SPREAD
    for i in order:
        _, color, name = named[i]
        axes.plot(
            [1.0, 1.04],
            [ends[i], places[i]],
            color=color,
            linewidth=2,
            transform=axes.transAxes,
            clip_on=False,
        )
        axes.text(1.05, places[i], name, va="center", fontsize=SMALL, color=INK, transform=axes.transAxes)


def svg(figure: Figure) -> str:
    """SVG text of a figure, identical for identical data."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "signmag", "svg.fonttype": "path"}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": "signmag_jax"})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def embedded(text: str, name: str, title: str) -> str:
    """SVG text for a page: ids of its own, a name for those who hear it, colours that the page decides."""
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = text.replace(INK, "currentColor")
    for role, color in COLORS.items():
        text = text.replace(color, f"var(--{role}, {color})")
    return text.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)


def save(figure: Figure, path: Path) -> None:
    """Write a picture in the format of the file's suffix, whole or not at all.

    Raises:
      InvalidInput: for a suffix that is no picture.
    """
    kind = check_format(path)
    figure.patch.set_visible(True)  # a file stands on no page
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
