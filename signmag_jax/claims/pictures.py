"""The data behind the report's pictures; they travel inside the ledger, so a report needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from signmag_jax import theory
from signmag_jax.evidence import Estimate

from . import chains, depth, theorem_3, trained
from .claim import Evidence, Missing
from .levels import Level
from .measured import Measured
from .published import figures, row

RATES = np.geomspace(1e-4, 0.5, 80)
CURVE_WIDTHS = np.unique(np.geomspace(32, 4096, 15).astype(int))


def series(level: Level, simulated: Mapping[str, Evidence], measured: Measured) -> dict[str, Any]:
    """Every picture's series, by the names that the report draws; None where there is nothing to draw."""
    return {
        "transverse_ratio": _transverse_ratio(level, simulated),
        "finite_width": _finite_width(level, simulated),
        "depth": {chain: _depth(chain, simulated) for chain in depth.SECTIONS},
        "alpha": measured.alpha,
        "columns": measured.columns,
        "leverage": _leverage(level, measured),
    }


def _transverse_ratio(level: Level, simulated: Mapping[str, Evidence]) -> dict[str, Any]:
    table = figures()["theorem_3_V1"]
    error = [deviation / math.sqrt(theorem_3.PAPER_SEEDS) for deviation in table["plus_minus"]]
    return {
        "rate": RATES.tolist(),
        "exact": np.asarray(theory.transverse_ratio(RATES)).tolist(),
        "paper_formula": np.asarray(theory.paper_transverse_ratio(RATES)).tolist(),
        "limit": float(theory.transverse_ratio_limit()),
        "published": {"rate": table["p"], "value": table["measured"], "standard_error": error},
        "simulated": {
            f"simulated, width {width}": _points(
                ("rate", rate, simulated.get(f"block.{width}.{rate}")) for rate in table["p"]
            )
            for width in level.widths[-2:]
        },
    }


def _finite_width(level: Level, simulated: Mapping[str, Evidence]) -> dict[str, Any]:
    rate = theorem_3.FINITE_WIDTH_RATE
    return {
        "at_rate": rate,
        "width": CURVE_WIDTHS.tolist(),
        "predicted": [float(theory.finite_width_ratio(rate, int(n))) for n in CURVE_WIDTHS],
        "infinite": float(theory.transverse_ratio(rate)),
        "simulated": _points(("width", n, simulated.get(f"block.{n}.{rate}")) for n in level.widths),
    }


def _depth(chain: str, simulated: Mapping[str, Evidence]) -> dict[str, Any]:
    layers, label = list(range(1, chains.LAYERS + 1)), chains.label(f"{chain}.relu", chains.WIDTH)
    table = row(f"depth_{chain}", activation="relu", width=chains.WIDTH, p=chains.RATE)
    predicted = theory.depth_ratios(chains.RATE, chains.LAYERS, residual=chain == "residual")
    return {
        "width": chains.WIDTH,
        "depth": layers,
        "predicted": np.asarray(predicted).tolist(),
        "published": {"depth": layers, "value": table["C_L"], "standard_error": table["se"]},
        "simulated": _points(("depth", layer, simulated.get(f"{label}.{layer}")) for layer in layers),
    }


def _leverage(level: Level, measured: Measured) -> dict[str, Any] | None:
    found = [("rate", rate, measured.results.get(f"leverage.{rate}")) for rate in level.leverage_rates]
    unclear = [
        ("rate", rate, evidence.estimate)
        for _, rate, evidence in found
        if isinstance(evidence, Missing) and evidence.estimate is not None
    ]
    law = measured.results.get("leverage.pool_law")
    if not measured.alpha:
        return None
    rates = [row["rate"] for row in figures()["count_matched_leverage"]["rows"]]
    return {
        "model": measured.model,
        "published_model": "TinyLlama-1.1B",
        "measured": _points(found),
        "unresolved": _points(unclear),
        "published": _points(("rate", rate, trained.published_leverage(rate)) for rate in rates),
        "predicted": law.value if isinstance(law, Estimate) else None,
    }


def _points(items: Iterable[tuple[str, float, Evidence | None]]) -> dict[str, list[int | float]]:
    """Columns of a scatter plot: the abscissa by its name, value and standard error."""
    columns: dict[str, list[int | float]] = {
        "rate": [],
        "width": [],
        "depth": [],
        "value": [],
        "standard_error": [],
    }
    for name, place, evidence in items:
        if isinstance(evidence, Estimate):
            columns[name].append(place)
            columns["value"].append(float(evidence.value))
            columns["standard_error"].append(float(evidence.standard_error))
    kept = {name: values for name, values in columns.items() if values}
    return kept or columns
