"""What `signmag measure` can measure: how each is run, summarised, drawn, and what it costs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .request import Request


@dataclass(frozen=True)
class Verb:
    """One measurement.

    Args:
      run: from the request to a result with `to_json`.
      summary: lines for a terminal, by name.
      cost: forward passes of 2,048 tokens.
      options: options besides model, text and windows that it takes.
      fewest: windows that it takes at least.
      rates: its flip rates where none are asked for; nothing where it has none.
      plot: draws the result, where there is a picture.
      check: refuses options, before anything is opened.
    """

    run: Callable[[Request], Any]
    summary: Callable[[Any], dict[str, str]]
    cost: Callable[[Request], float]
    options: tuple[str, ...] = ()
    fewest: int = 1
    rates: tuple[float, ...] = ()
    plot: Callable[[Any, Path], None] | None = None
    check: Callable[[Request], None] | None = None


def written(estimate: Any) -> str:
    """An estimate in one line."""
    from signmag_jax.report.numbers import with_error

    number = with_error(estimate.value, estimate.standard_error)
    return f"{number} {estimate.unit} (n = {estimate.n}; {estimate.estimator})"


def calibration_passes(request: Request) -> float:
    """Forward passes of 2,048 tokens that choosing the columns takes."""
    return (request.calibration or 0) * request.window / 2048


def _nll(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.nll(model, tokens, source=source)


def _nll_summary(found: Any) -> dict[str, str]:
    from signmag_jax import measure

    return {"nll": written(found), "perplexity": written(measure.perplexity(found))}


def _alpha(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.alpha(model, tokens, source=source)


def _alpha_summary(found: Any) -> dict[str, str]:
    lines = {}
    for site, share in found.token_share.items():
        layer, column = divmod(int(share.value.argmax()), share.value.shape[1])
        lines[site] = (
            f"largest α² = {share.value[layer, column]:.4f}({share.standard_error[layer, column]:.4f}) "
            f"in column {column} of layer {layer}; uniform would be {1 / share.value.shape[1]:.5f}"
        )
    return lines


def _alpha_plot(found: Any, path: Path) -> None:
    import numpy as np

    from signmag_jax.report import figures

    series = {
        site: {"median": np.sqrt(np.median(share.value, axis=1)), "max": np.sqrt(share.value.max(axis=1))}
        for site, share in found.token_share.items()
    }
    figures.save(figures.alpha(series), path)


def _leverage(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.leverage(
        model,
        tokens[: request.calibration],
        tokens[request.calibration :],
        rates=request.rates,
        seeds=request.seeds,
        layers=request.layers,
        matrices=request.matrices,
        root=request.seed,
        resume=request.resume,
        source=source,
    )


def _leverage_summary(found: Any) -> dict[str, str]:
    return {"noise floor": f"{found.noise_floor:.2g} nat/token", **_comparisons(found.rates, "leverage")}


def _comparisons(rates: Any, what: str) -> dict[str, str]:
    """For each rate the ratio, or why there is none, and the damage of both arms."""
    lines = {}
    for rate in rates:
        name, ratio = f"rate {rate.rate:g}, {rate.flips} flips", rate.ratio
        value = written(ratio.interval.estimate) if ratio.resolved else f"UNRESOLVED: {ratio.reason}"
        lines[f"{name}: {what}"] = value
        for arm, damage in rate.damage.items():
            lines[f"{name}: ΔNLL {arm}"] = "not finite" if damage is None else written(damage.estimate)
    return lines


def _leverage_cost(request: Request) -> float:
    from signmag_jax import measure

    scored = measure.leverage_cost(request.windows, request.window, request.rates, request.seeds)
    return scored + calibration_passes(request)


def _quantization(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.quantization(
        model, tokens, layers=request.layers, matrices=request.matrices, seed=request.seed, source=source
    )


def _quantization_summary(found: Any) -> dict[str, str]:
    lines = {}
    for quantizer in found.alignments:
        for which in ("rows", "spherical", "real"):
            lines[f"cos², {quantizer}, {which}"] = written(found.overall(quantizer, which))
    return lines


def _all_columns(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.all_columns(
        model,
        tokens,
        rates=request.rates,
        seeds=request.seeds,
        layers=request.layers,
        matrices=request.matrices,
        root=request.seed,
        resume=request.resume,
        source=source,
    )


def _all_columns_summary(found: Any) -> dict[str, str]:
    return _comparisons(found.rates, "flips over shifts")


def _all_columns_cost(request: Request) -> float:
    from signmag_jax import measure

    return measure.all_columns_cost(request.windows, request.window, request.rates, request.seeds)


@functools.cache
def verbs() -> dict[str, Verb]:
    """Every measurement by name; what they are made of is imported only now."""
    from signmag_jax.measure import inputs
    from signmag_jax.measure.all_columns import RATES as ALL_COLUMNS_RATES
    from signmag_jax.measure.leverage import RATES

    from . import derivatives, experiments

    spread, ratios = inputs.FEWEST_CALIBRATION, inputs.MINIMUM_WINDOWS
    draws = ("rates", "seeds", "layers", "matrices", "resume")
    return {
        "nll": Verb(_nll, _nll_summary, Request.passes),
        "alpha": Verb(_alpha, _alpha_summary, Request.passes, fewest=spread, plot=_alpha_plot),
        "leverage": Verb(
            _leverage, _leverage_summary, _leverage_cost, ("calibration", *draws), ratios, RATES
        ),
        "quantization": Verb(
            _quantization, _quantization_summary, Request.passes, ("layers", "matrices"), spread
        ),
        "all-columns": Verb(
            _all_columns, _all_columns_summary, _all_columns_cost, draws, ratios, ALL_COLUMNS_RATES
        ),
        **experiments.verbs(),
        **derivatives.verbs(),
    }
