"""`signmag measure alpha`: how the energy of every input is spread over its columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from signmag_jax.cli.request import Request

from .verb import Rows, Verb


def _run(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.alpha(model, tokens, source=source)


def _summary(found: Any) -> dict[str, str]:
    lines = {}
    for site, share in found.token_share.items():
        layer, column = divmod(int(share.value.argmax()), share.value.shape[1])
        lines[site] = (
            f"largest α² = {share.value[layer, column]:.4f}({share.standard_error[layer, column]:.4f}) "
            f"in column {column} of layer {layer}; uniform would be {1 / share.value.shape[1]:.5f}"
        )
    return lines


def _plot(found: Any, path: Path) -> None:
    import numpy as np

    from signmag_jax.report import figures

    series = {
        site: {"median": np.sqrt(np.median(share.value, axis=1)), "max": np.sqrt(share.value.max(axis=1))}
        for site, share in found.token_share.items()
    }
    figures.save(figures.alpha(series), path)


def _rows(found: Any) -> Rows:
    """One row for each input column of each layer."""
    return [
        {
            "site": site,
            "layer": layer,
            "column": column,
            "token_share": float(share.value[layer, column]),
            "token_share_se": float(share.standard_error[layer, column]),
            "energy_share": float(found.energy_share[site].value[layer, column]),
            "magnitude": float(found.magnitude[site].value[layer, column]),
        }
        for site, share in found.token_share.items()
        for layer in range(share.value.shape[0])
        for column in range(share.value.shape[1])
    ]


def verb() -> Verb:
    """The measurement."""
    from signmag_jax.measure.inputs import FEWEST_CALIBRATION

    return Verb(_run, _summary, Request.passes, fewest=FEWEST_CALIBRATION, plot=_plot, rows=_rows)
