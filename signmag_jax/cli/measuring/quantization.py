"""`signmag measure quantization`: what sign and ternary weights keep of every matrix's direction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from signmag_jax.cli.request import Request

from .lines import written
from .verb import PLACES, Rows, Verb

KINDS = ("rows", "spherical", "real")
"""Of inputs: none, so that rows are compared; uniform ones; the model's own."""


def _run(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.quantization(
        model, tokens, layers=request.layers, matrices=request.matrices, seed=request.seed, source=source
    )


def _summary(found: Any) -> dict[str, str]:
    lines = {}
    for quantizer in found.alignments:
        for which in KINDS:
            lines[f"cos², {quantizer}, {which}"] = written(found.overall(quantizer, which))
    return lines


def _rows(found: Any) -> Rows:
    """One row for each quantiser, matrix and layer: cos² by kind of input, with its error."""
    rows = []
    for quantizer, table in found.alignments.items():
        for name, each in table.items():
            for index, layer in enumerate(found.layers):
                row = {"quantizer": quantizer, "matrix": name, "layer": layer}
                for which in KINDS:
                    estimate = getattr(each, which)
                    row[which] = float(estimate.value[index])
                    row[f"{which}_se"] = float(estimate.standard_error[index])
                rows.append(row)
    return rows


def _plot(found: Any, path: Path) -> None:
    from signmag_jax.report import figures, measured

    named = {
        f"{quantizer}, {name}": each.real.value
        for quantizer, table in found.alignments.items()
        for name, each in table.items()
    }
    title = "What quantised weights keep of the direction of real outputs"
    table = measured.layers(list(named.values()), list(named), list(map(str, found.layers)), title, "cos²")
    figures.save(table, path)


def verb() -> Verb:
    """The measurement."""
    from signmag_jax.measure.inputs import FEWEST_CALIBRATION

    return Verb(_run, _summary, Request.passes, PLACES, FEWEST_CALIBRATION, plot=_plot, rows=_rows)
