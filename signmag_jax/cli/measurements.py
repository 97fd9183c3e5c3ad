"""What `signmag measure` can measure: how each is run, summarised, drawn, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ALL_COLUMNS_RATES = (0.01,)
ALL_COLUMNS_SEEDS = 3


@dataclass(frozen=True)
class Request:
    """What was asked for, after parsing."""

    model: str | None
    text: str | None
    window: int
    windows: int
    calibration: int
    rates: tuple[float, ...] | None
    seeds: tuple[int, ...] | None
    layers: tuple[int, ...] | None
    matrices: tuple[str, ...] | None
    dtype: str
    seed: int
    resume: Path | None

    def load(self, count: int) -> tuple[Any, Any, dict[str, str]]:
        """Model, the first `count` windows of the text, and the text's identity."""
        from signmag_jax import models

        chosen = models.text.load(self.text)
        model = models.load(self.model, dtype=self.dtype)
        tokens = models.text.windows(model.tokenizer.encode(chosen.content), self.window, count)
        return model, tokens, {"text": chosen.source, "text_sha256": chosen.sha256}

    def split(self) -> tuple[Any, Any, Any, dict[str, str]]:
        """Model, calibration windows, the evaluation windows after them, and the text's identity."""
        model, tokens, source = self.load(self.calibration + self.windows)
        return model, tokens[: self.calibration], tokens[self.calibration :], source

    def passes(self, evaluations: int, calibration: bool) -> float:
        """Forward passes of 2,048 tokens."""
        windows = evaluations * self.windows + (self.calibration if calibration else 0)
        return windows * self.window / 2048

    def draws(self, rates: tuple[float, ...]) -> Any:
        """`--seeds` as the measurement takes it: one number for all rates, or one for each."""
        return self.seeds[0] if self.seeds is not None and len(self.seeds) == 1 else self.seeds


@dataclass(frozen=True)
class Verb:
    """One measurement.

    Args:
      run: from the request to a result with `to_json`.
      summary: lines for a terminal, by name.
      cost: forward passes of 2,048 tokens.
      options: options besides model, text and windows that it takes.
      plot: draws the result, where there is a picture.
    """

    run: Callable[[Request], Any]
    summary: Callable[[Any], dict[str, str]]
    cost: Callable[[Request], float]
    options: tuple[str, ...] = ()
    plot: Callable[[Any, Path], None] | None = None


def written(estimate: Any) -> str:
    """An estimate in one line."""
    from signmag_jax.report.numbers import with_error

    number = with_error(estimate.value, estimate.standard_error)
    return f"{number} {estimate.unit} (n = {estimate.n}; {estimate.estimator})"


def _nll(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load(request.windows)
    return measure.nll(model, tokens, source=source)


def _nll_summary(found: Any) -> dict[str, str]:
    from signmag_jax import measure

    return {"nll": written(found), "perplexity": written(measure.perplexity(found))}


def _alpha(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load(request.windows)
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
    from signmag_jax.measure.leverage import RATES

    model, calibration, evaluation, source = request.split()
    rates = request.rates or RATES
    return measure.leverage(
        model,
        calibration,
        evaluation,
        rates=rates,
        seeds=request.draws(rates),
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
    from signmag_jax.measure.leverage import RATES

    rates = request.rates or RATES
    seeds = request.draws(rates)
    return measure.leverage_cost(request.windows, request.window, rates, seeds) + request.passes(0, True)


def _quantization(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load(request.windows)
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

    model, tokens, source = request.load(request.windows)
    rates = request.rates or ALL_COLUMNS_RATES
    return measure.all_columns(
        model,
        tokens,
        rates=rates,
        seeds=request.draws(rates) or ALL_COLUMNS_SEEDS,
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

    rates = request.rates or ALL_COLUMNS_RATES
    seeds = request.draws(rates) or ALL_COLUMNS_SEEDS
    counts = [seeds] * len(rates) if isinstance(seeds, int) else seeds
    return sum(measure.all_columns_cost(request.windows, request.window, 1, count) for count in counts)


VERBS: dict[str, Verb] = {
    "nll": Verb(_nll, _nll_summary, lambda request: request.passes(1, False)),
    "alpha": Verb(_alpha, _alpha_summary, lambda request: request.passes(1, False), plot=_alpha_plot),
    "leverage": Verb(
        _leverage,
        _leverage_summary,
        _leverage_cost,
        ("calibration", "rates", "seeds", "layers", "matrices", "resume"),
    ),
    "quantization": Verb(
        _quantization, _quantization_summary, lambda request: request.passes(1, False), ("layers", "matrices")
    ),
    "all-columns": Verb(
        _all_columns,
        _all_columns_summary,
        _all_columns_cost,
        ("rates", "seeds", "layers", "matrices", "resume"),
    ),
}
