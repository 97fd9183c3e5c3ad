"""`signmag measure linear-response`: slopes of the loss in the flip rate, by exact derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signmag_jax.cli.request import Request

from . import lines, probes
from .verb import Rows, Verb, calibration_passes

PARTS = ("slope", "first", "second", "singles", "gauss_newton")


@dataclass(frozen=True, eq=False)
class Checked:
    """A linear response, and the Monte Carlo damage beside it at the rates that were asked for."""

    found: Any
    checks: tuple[Any, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A strict-JSON object."""
        checks = {"checks": [check.to_json() for check in self.checks]} if self.checks else {}
        return self.found.to_json() | checks


def _check(request: Request) -> None:
    from signmag_jax.evidence import invalid
    from signmag_jax.measure.inputs import MINIMUM_WINDOWS

    probes.check(request)
    if request.rates and request.windows < MINIMUM_WINDOWS:
        raise invalid(
            f"--windows >= {MINIMUM_WINDOWS}", request.windows, "at --rates the damage is measured as well"
        )


def _run(request: Request) -> Checked:
    from signmag_jax import measure

    model, tokens, source = request.load()
    windows, options = request.divided(tokens), request.placed(source)
    found = measure.linear_response(model, *windows, probes=probes.count(request), **options)
    if not request.rates:
        return Checked(found)
    options = request.placed(source, "leverage")
    damage = measure.leverage(model, *windows, rates=request.rates, **options)
    damage = measure.controlled(model, windows[1], damage, found)
    return Checked(found, tuple(found.check(damage)))


def _summary(response: Checked) -> dict[str, str]:
    found, summary = response.found, {}
    for pool, slopes in found.pools.items():
        for name in PARTS:
            label = name.replace("_", "–")
            summary[f"{pool}, {int(slopes.weights)} weights: {label}"] = lines.written(getattr(slopes, name))
        if not slopes.resolved:
            summary[f"{pool}: slope"] = "UNRESOLVED: not separated from zero by 3 standard errors"
        summary[f"{pool}: linear to 10% below rate"] = f"{found.linear_below(pool):.2g}"
    for check in response.checks:
        summary[f"{check.arm} at rate {check.rate:g}"] = _beside(check)
    return summary | {
        "predicted count-matched leverage": lines.ratio(found.leverage),
        "part of the outlier pool's slope that single weights carry": lines.ratio(found.share_of_singles()),
    }


def _beside(check: Any) -> str:
    """Prediction and measurement, and how far apart they are."""
    parts = [f"predicted {lines.written(check.predicted)}"]
    if check.measured is not None:
        parts.append(f"measured {lines.written(check.measured)}")
    far = check.reason if check.distance is None else f"{check.distance:+.1f} standard errors apart"
    return "; ".join([*parts, far])


def _rows(response: Checked) -> Rows:
    """One row for each pool, then for each matrix of each layer: slopes with errors."""
    found = response.found
    pools = [{"pool": pool, **_flat(slopes, ())} for pool, slopes in found.pools.items()]
    return pools + [
        {"pool": "all", "matrix": name, "layer": layer, **_flat(slopes, index)}
        for name, slopes in found.each.items()
        for index, layer in enumerate(found.depth)
    ]


def _flat(slopes: Any, at: Any) -> dict[str, Any]:
    import numpy as np

    flat: dict[str, Any] = {"weights": int(slopes.weights[at])}
    for part in PARTS:
        estimate = getattr(slopes, part)
        for name, value in ((part, estimate.value), (f"{part}_se", estimate.standard_error)):
            flat[name] = float(np.asarray(value)[at])
    return flat


def _plot(response: Checked, path: Path) -> None:
    from signmag_jax.report import figures, measured

    series = {
        name: (slopes.slope.value / slopes.weights, slopes.slope.standard_error / slopes.weights)
        for name, slopes in response.found.each.items()
    }
    y = "nats per token per unit flip rate and weight"
    title = "Slope of the loss in the flip rate"
    figures.save(measured.curves(series, "layer", y, title, response.found.depth), path)


def _cost(request: Request) -> float:
    from signmag_jax import measure

    passes = probes.cost(request)
    if not request.rates:
        return passes
    damage = measure.leverage_cost(request.windows, request.window, request.rates)
    control = measure.controlled_cost(request.windows, request.window)
    return passes + damage + control + calibration_passes(request)


def verb() -> Verb:
    """The measurement."""
    return Verb(
        _run,
        _summary,
        _cost,
        ("rates", *probes.OPTIONS),
        probes.FEWEST,
        plot=_plot,
        rows=_rows,
        check=_check,
        arrays=probes.ARRAYS,
    )
