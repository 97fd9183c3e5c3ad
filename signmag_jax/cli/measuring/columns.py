"""`signmag measure columns`: the map of columns, and which to protect first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from signmag_jax.cli.request import Request

from . import probes
from .verb import Rows, Verb

SHOWN = 10
# log10 of a slope per weight over the mean: what is not resolved stays at the bottom of the picture.
UNRESOLVED = -1.0


def _run(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    windows, options = request.divided(tokens), request.placed(source)
    return measure.columns(model, *windows, probes=probes.count(request), **options)


def _summary(found: Any) -> dict[str, str]:
    from signmag_jax.report.numbers import with_error

    lines = {f"resolved columns, {kind}": f"{share:.1%}" for kind, share in found.resolved_share().items()}
    for rank, column in enumerate(found.protect_first(SHOWN), start=1):
        place = f"layer {column.layer} {column.matrix} column {column.column}"
        note = ", an outlier column" if column.outlier else ""
        cost = with_error(column.slope, column.standard_error)
        lines[f"protect {rank}"] = f"{place}: {cost}, {column.relative:.3g} times the mean weight's{note}"
    return lines


def _plot(found: Any, path: Path) -> None:
    import numpy as np

    from signmag_jax.report import figures, measured

    total = found.total
    mean = float(total.gauss_newton.value) / int(total.weights)
    pictures = {}
    for name, each in found.matrices.items():
        value = np.asarray(each.gauss_newton.value)
        clear = value > 3 * np.asarray(each.gauss_newton.standard_error)
        relative = np.where(clear, value / np.asarray(each.weights) / mean, 1.0)
        pictures[name] = np.where(clear, np.log10(relative), UNRESOLVED)
    figures.save(
        measured.maps(pictures, "log10 of the slope per weight over the mean; black: not resolved"), path
    )


def _rows(found: Any) -> Rows:
    """One row for each input column: both slopes with their errors."""
    import numpy as np

    from signmag_jax.models import SITE_OF

    rows = []
    for name, each in found.matrices.items():
        parts = {"gauss_newton": each.gauss_newton, "hessian": each.slope}
        for at in np.ndindex(each.weights.shape):
            layer, column = found.depth[at[0]], at[1]
            row = {"matrix": name, "layer": layer, "column": column, "weights": int(each.weights[at])}
            for part, estimate in parts.items():
                row[part] = float(estimate.value[at])
                row[f"{part}_se"] = float(estimate.standard_error[at])
            rows.append(row | {"outlier": bool(column in found.outliers[SITE_OF[name]][layer])})
    return rows


def verb() -> Verb:
    """The measurement."""
    return Verb(
        _run,
        _summary,
        probes.cost,
        probes.OPTIONS,
        probes.FEWEST,
        plot=_plot,
        rows=_rows,
        check=probes.check,
        arrays=probes.ARRAYS,
    )
