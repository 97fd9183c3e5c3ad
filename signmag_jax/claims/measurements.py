"""The measured column: what the ledger asks of a trained model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from signmag_jax import measure, models, theory
from signmag_jax.evidence import Estimate

from . import deciding, response, rotated, single_columns, trained_chains
from .claim import Evidence, Missing
from .levels import Level
from .measured import Measured
from .model_run import ModelRun, evidence_of, unresolved

STREAM_SITES = ("attention_in", "mlp_in")
STREAM_READERS = {"attention_in": ("q_proj", "k_proj", "v_proj"), "mlp_in": ("gate_proj", "up_proj")}
DIGITS = 3
ALL_COLUMNS_RATE = 0.01


def measure_all(
    model: models.LanguageModel,
    calibration: Any,
    evaluation: Any,
    level: Level,
    seed: int,
    resume: Path | None,
    source: Mapping[str, Any],
) -> Measured:
    """Activations, quantisation error, what flips cost, and what derivatives say that they cost."""
    profile = measure.alpha(model, calibration, source=source)
    run = ModelRun(model, calibration, evaluation, level, seed, resume, source, profile)
    results: dict[str, Evidence] = {
        **_concentration(model, profile),
        **_quantization(model, calibration, source),
    }
    energies = measure.column_energies(model, profile)
    results["leverage.pool_law"] = _pool_law(energies, len(calibration), profile.provenance)
    flipped = _leverage(run)
    results |= _by_rate(level, flipped)
    results |= _outlier_flips(run)
    results["all_columns.ratio"] = _all_columns(run)
    results |= response.measured(run, flipped)
    for part in (deciding, trained_chains, single_columns, rotated):
        results |= part.measured(run)
    return Measured(
        model.report.source["name"],
        results,
        _alpha_series(profile),
        _column_series(energies),
    )


def _by_rate(level: Level, found: measure.Leverage | Missing) -> dict[str, Evidence]:
    if isinstance(found, Missing):
        return {f"leverage.{rate}": found for rate in level.leverage_rates}
    return {f"leverage.{one.rate}": evidence_of(one.leverage) for one in found.rates}


def _leverage(run: ModelRun) -> measure.Leverage | Missing:
    """Leverage at every rate; a model with fewer weights than a rate needs has none, and says why."""
    try:
        return measure.leverage(
            *run.windows,
            rates=run.level.leverage_rates,
            draws=run.level.leverage_draws,
            profile=run.profile,
            **run.options("leverage"),
        )
    except measure.Unmeasurable as error:
        return Missing("UNRESOLVED", str(error))


def _outlier_flips(run: ModelRun) -> dict[str, Evidence]:
    """Exp D: flips as they are, and rescaled to equal norm as the paper's are."""
    names = {"exp_d.flips": "outlier over rest", "exp_d.matched": "outlier over rest, matched"}
    draws = run.level.pool_draws
    if not draws:
        return run.left_out(names, "Exp D")
    try:
        found = measure.outlier_flips(*run.windows, draws=draws, **run.options("outlier_flips"))
    except measure.Unmeasurable as error:
        return unresolved(names, error)
    return {name: evidence_of(found.ratios[which]) for name, which in names.items()}


def _concentration(model: models.LanguageModel, profile: measure.Alpha) -> dict[str, Evidence]:
    """Median and largest α over the outlier columns of the middle layer's attention input."""
    layer, site = model.config.layers // 2, "attention_in"
    columns = profile.outliers()[site][layer]
    share = profile.token_share[site]
    value, error = share.value[layer][columns], share.standard_error[layer][columns]
    order = np.argsort(value)
    places = {"median": order[len(order) // 2], "max": order[-1]}
    return {f"alpha.{name}": _root(share, value[i], error[i], layer) for name, i in places.items()}


def _quantization(
    model: models.LanguageModel, calibration: Any, source: Mapping[str, Any]
) -> dict[str, Evidence]:
    names = {"row": "rows", "vector": "real"}
    try:
        found = measure.quantization(model, calibration, source=source)
    except measure.Unmeasurable as error:
        return unresolved([f"quantization.{name}_cosine" for name in names], error)
    return {f"quantization.{name}_cosine": found.overall("sign", which) for name, which in names.items()}


def _all_columns(run: ModelRun) -> Evidence:
    try:
        found = measure.all_columns(
            run.model,
            run.evaluation,
            rates=(ALL_COLUMNS_RATE,),
            draws=run.level.column_draws,
            **run.options("all_columns"),
        )
    except measure.Unmeasurable as error:
        return Missing("UNRESOLVED", str(error))
    return evidence_of(found.rates[0].ratio)


def _root(share: Estimate, value: float, error: float, layer: int) -> Estimate:
    """α from α², with the delta-method error; a column that is never active has α = 0, exactly."""
    alpha = float(np.sqrt(value))
    error = error / (2 * alpha) if alpha > 0 else 0.0
    origin = {**share.provenance, "layer": layer, "site": "attention_in"}
    return Estimate(alpha, error, share.n, "1", "√ of the mean of x_j²/‖x‖²", origin)


def _pool_law(
    energies: Mapping[str, measure.ColumnEnergy], windows: int, origin: Mapping[str, Any]
) -> Evidence:
    """Theory's leverage on the model's own α² and ‖w‖²: every column of every matrix, one pool."""
    alpha, norm, pool = (
        np.concatenate([np.ravel(getattr(energy, name)) for energy in energies.values()])
        for name in ("alpha_squared", "column_norm_squared", "pool")
    )
    norm = norm / (norm.max() or 1.0)  # only ratios matter, and the square of a square may overflow
    cost = alpha * norm
    for where, columns in (("outlier columns", pool), ("other columns", ~pool)):
        if not cost[columns].sum() > 0:
            return Missing("UNRESOLVED", f"α²‖w‖² is 0 in all {columns.sum()} {where}")
    value = float(theory.pool_leverage(alpha, norm, pool))
    error = np.concatenate([np.ravel(energy.alpha_error) for energy in energies.values()]) * norm
    inside = np.sum(error[pool] ** 2) / np.sum(cost[pool]) ** 2
    outside = np.sum(error[~pool] ** 2) / np.sum(cost[~pool]) ** 2
    name = "α²‖w‖² law on measured α², whose errors are propagated as independent"
    return Estimate(value, value * float(np.sqrt(inside + outside)), windows, "1", name, origin)


def _alpha_series(profile: measure.Alpha) -> dict[str, Any]:
    return {
        site: {
            "median": _rounded(np.sqrt(np.median(share.value, axis=1))),
            "max": _rounded(np.sqrt(share.value.max(axis=1))),
        }
        for site, share in profile.token_share.items()
    }


def _column_series(energies: Mapping[str, measure.ColumnEnergy]) -> dict[str, Any]:
    series = {}
    for site in STREAM_SITES:
        readers = [energies[name] for name in STREAM_READERS[site]]
        cost = np.sum([energy.alpha_squared * energy.column_norm_squared for energy in readers], axis=0)
        mean = cost.mean(axis=1, keepdims=True)
        share = cost / np.where(mean > 0, mean, 1.0)  # a layer without weights stays at the bottom
        series[site] = _rounded(np.log10(np.maximum(share, np.finfo(float).tiny)))
    return series


def _rounded(array: Any) -> Any:
    return np.round(array, DIGITS).tolist()
