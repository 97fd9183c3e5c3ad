"""The data behind the report's pictures; they travel inside the ledger, so a report needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from signmag_jax import measure, theory
from signmag_jax.claims.claim import Evidence, Missing
from signmag_jax.claims.levels import Level
from signmag_jax.claims.pieces import Results
from signmag_jax.claims.published import paper, row
from signmag_jax.evidence import Estimate
from signmag_jax.evidence.ratio import SEPARATION
from signmag_jax.perturb import MagnitudeShift, SignFlip

from .alignment import PROFILE
from .depth import SECTIONS
from .depth_laws import LAYERS, RATE, WIDTH, chain_at, ratio_behind
from .leverage import ARMS, CHECKED, LEVERAGE, POOL_LAW, RESPONSE, leverage_by_flips, published_leverage
from .theorem_3 import FINITE_WIDTH_RATE, PAPER_SEEDS, block, rates, ratio_at

RATES = np.geomspace(1e-4, 0.5, 80)
CURVE_WIDTHS = np.unique(np.geomspace(32, 4096, 15).astype(int))
STREAM_READERS = {"attention_in": ("q_proj", "k_proj", "v_proj"), "mlp_in": ("gate_proj", "up_proj")}
DIGITS = 3
NOT_SEPARATED = -1.0
"""The height at which a column is drawn whose slope is not resolved."""


def series(level: Level, results: Results) -> dict[str, Any]:
    """Every picture's series, by the names that the report draws; None where there is nothing to draw."""
    profile, response = results[PROFILE], results[RESPONSE]
    return {
        "transverse_ratio": _transverse_ratio(level, results),
        "geometry": _geometry(),
        "finite_width": _finite_width(level, results),
        "depth": {chain: _depth(chain, level, results) for chain in SECTIONS},
        "alpha": None if isinstance(profile, Missing) else _alpha(profile),
        "column_slopes": None if isinstance(response, Missing) else column_slopes(response),
        "leverage": None if isinstance(profile, Missing) else _leverage(level, results),
        "damage": _damage(results),
    }


def _transverse_ratio(level: Level, results: Results) -> dict[str, Any]:
    table = paper()["theorem_3_V1"]
    error = [deviation / math.sqrt(PAPER_SEEDS) for deviation in table["plus_minus"]]

    def simulated(width: int) -> dict[str, Any]:
        run = block(level, width)
        return _points("rate", ((rate, results.evidence(run, ratio_at(rate, rates()))) for rate in rates()))

    return {
        "rate": RATES.tolist(),
        "exact": np.asarray(theory.transverse_ratio(RATES)).tolist(),
        "paper_formula": np.asarray(theory.paper_transverse_ratio(RATES)).tolist(),
        "limit": float(theory.transverse_ratio_limit()),
        "published": {"rate": table["p"], "value": table["measured"], "standard_error": error},
        "simulated": {f"simulated, width {width}": simulated(width) for width in level.widths[-2:]},
    }


def _geometry() -> dict[str, Any]:
    """Flips and shift in units of the signal's norm: along it, with its sign, and across."""
    errors = {"flip": SignFlip(RATE), "shift": MagnitudeShift.matching(SignFlip(RATE))}
    blocks = {name: theory.block(error) for name, error in errors.items()}
    return {"rate": RATE} | {
        name: {
            "radial": float(each.alignment / each.signal),
            "transverse": float(np.sqrt(each.transverse / each.signal)),
        }
        for name, each in blocks.items()
    }


def _finite_width(level: Level, results: Results) -> dict[str, Any]:
    rate = FINITE_WIDTH_RATE
    read = ratio_at(rate, rates())
    return {
        "at_rate": rate,
        "width": CURVE_WIDTHS.tolist(),
        "predicted": [float(theory.finite_width_ratio(rate, int(n))) for n in CURVE_WIDTHS],
        "infinite": float(theory.transverse_ratio(rate)),
        "simulated": _points("width", ((n, results.evidence(block(level, n), read)) for n in level.widths)),
    }


def _depth(chain: str, level: Level, results: Results) -> dict[str, Any]:
    layers, run = list(range(1, LAYERS + 1)), chain_at(level, f"{chain}.relu", WIDTH)
    table = row(f"depth_{chain}", activation="relu", width=WIDTH, p=RATE)
    predicted = theory.depth_ratios(RATE, LAYERS, residual=chain == "residual")
    finite = theory.finite_width_depth_ratios(RATE, LAYERS, WIDTH) if chain == "plain" else None
    return {
        "width": WIDTH,
        "depth": layers,
        "predicted": np.asarray(predicted).tolist(),
        "finite_width": None if finite is None else np.asarray(finite).tolist(),
        "published": {"depth": layers, "value": table["C_L"], "standard_error": table["se"]},
        "simulated": _points("depth", ((at, results.evidence(run, ratio_behind(at))) for at in layers)),
    }


def _leverage(level: Level, results: Results) -> dict[str, Any]:
    measured = [(rate, leverage_by_flips(results, rate)) for rate in level.leverage_rates]
    unjudged = [(rate, evidence.estimate) for rate, evidence in measured if isinstance(evidence, Missing)]
    law = results[POOL_LAW]
    published = [each["rate"] for each in paper()["count_matched_leverage"]["rows"]]
    return {
        "model": results.model,
        "published_model": "TinyLlama-1.1B",
        "measured": _points("rate", measured),
        "unresolved": _points("rate", unjudged),
        "published": _points("rate", ((rate, published_leverage(rate)) for rate in published)),
        "predicted": law.value if isinstance(law, Estimate) else None,
    }


def _alpha(profile: measure.Alpha) -> dict[str, Any]:
    """Median and largest α of each layer, by site."""
    return {
        site: {
            "median": _rounded(np.sqrt(np.median(share.value, axis=1))),
            "max": _rounded(np.sqrt(share.value.max(axis=1))),
        }
        for site, share in profile.token_share.items()
    }


def column_slopes(response: measure.LinearResponse) -> dict[str, Any]:
    """log10 of the measured slope per weight over its mean, layers × columns, by site of the stream.

    The matrices that read a site are added up. What three standard errors do not separate from zero, their
    errors added as if they went together, stays at the bottom.
    """
    slopes = {}
    for site, names in STREAM_READERS.items():
        readers = [response.columns[name] for name in names if name in response.columns]
        value, error = (
            np.sum([np.asarray(getattr(each.gauss_newton, part)) for each in readers], axis=0)
            for part in ("value", "standard_error")
        )
        clear = value > SEPARATION * error
        mean = np.mean(value) if np.mean(value) > 0 else 1.0
        relative = np.log10(np.where(clear, value, mean) / mean)
        slopes[site] = _rounded(np.where(clear, relative, NOT_SEPARATED))
    return slopes


def _damage(results: Results) -> dict[str, Any] | None:
    """ΔNLL of each arm against the rate of the outlier pool, and what derivatives predict for these flips."""
    leverage, checked = results[LEVERAGE], results[CHECKED]
    if isinstance(leverage, Missing):
        return None
    arms: dict[str, Any] = {}
    for arm, name in ARMS.items():
        known = [(one, one.damage[arm]) for one in leverage.rates]
        series = _points("rate", ((one.rate, damage and damage.estimate) for one, damage in known))
        predicted = None
        if not isinstance(checked, Missing):
            predicted = [
                float(checked.damage[one.rate, arm].predicted.value) for one, damage in known if damage
            ]
        if series["rate"]:
            arms[name] = {**series, "predicted": predicted}
    return {"model": results.model, "arms": arms} if arms else None


def _rounded(array: Any) -> Any:
    return np.round(array, DIGITS).tolist()


def _points(abscissa: str, items: Iterable[tuple[float, Evidence | None]]) -> dict[str, list[int | float]]:
    """Columns of a scatter plot: the abscissa by its name, value and standard error."""
    known = [(at, evidence) for at, evidence in items if isinstance(evidence, Estimate)]
    return {
        abscissa: [at for at, _ in known],
        "value": [float(evidence.value) for _, evidence in known],
        "standard_error": [float(evidence.standard_error) for _, evidence in known],
    }
