"""Costs of sign flips by exact derivatives, as `signmag measure` runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .measurements import Verb, calibration_passes, written
from .request import Request

SHOWN = 10
# log10 of a slope per weight over the mean: what is not resolved stays at the bottom of the picture.
UNRESOLVED = -1.0


def _options(request: Request, source: Any) -> dict[str, Any]:
    return {
        "layers": request.layers,
        "matrices": request.matrices,
        "root": request.seed,
        "resume": request.resume,
        "source": source,
    }


def _probes(request: Request) -> int:
    from signmag_jax.measure.response import PROBES

    return request.seeds if isinstance(request.seeds, int) else PROBES


def _check(request: Request) -> None:
    from signmag_jax.evidence import invalid

    if isinstance(request.seeds, tuple) or _probes(request) < 2:
        raise invalid("--seeds is one number >= 2", request.seeds, "it counts the random probes of a window")


def _response(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.linear_response(
        model, *request.divided(tokens), probes=_probes(request), **_options(request, source)
    )


def _response_summary(found: Any) -> dict[str, str]:
    lines = {}
    for pool, slopes in found.pools.items():
        for name in ("slope", "first", "second", "singles", "gauss_newton"):
            label = name.replace("_", "–")
            lines[f"{pool}, {int(slopes.weights)} weights: {label}"] = written(getattr(slopes, name))
        if not slopes.resolved:
            lines[f"{pool}: slope"] = "UNRESOLVED: not separated from zero by 3 standard errors"
        lines[f"{pool}: linear to 10% below rate"] = f"{found.linear_below(pool):.2g}"
    ratio = found.leverage
    lines["predicted count-matched leverage"] = (
        written(ratio.interval.estimate) if ratio.resolved else f"UNRESOLVED: {ratio.reason}"
    )
    return lines


def _columns(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.columns(
        model, *request.divided(tokens), probes=_probes(request), **_options(request, source)
    )


def _columns_summary(found: Any) -> dict[str, str]:
    from signmag_jax.report.numbers import with_error

    lines = {f"resolved columns, {kind}": f"{share:.1%}" for kind, share in found.resolved_share().items()}
    for rank, column in enumerate(found.protect_first(SHOWN), start=1):
        place = f"layer {column.layer} {column.matrix} column {column.column}"
        note = ", an outlier column" if column.outlier else ""
        cost = with_error(column.slope, column.standard_error)
        lines[f"protect {rank}"] = f"{place}: {cost}, {column.relative:.3g} times the mean weight's{note}"
    return lines


def _columns_plot(found: Any, path: Path) -> None:
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
    figures.save(measured.maps(pictures, "log10 of the slope per weight over the mean"), path)


def _response_cost(request: Request) -> float:
    from signmag_jax import measure

    scored = measure.linear_response_cost(request.windows, request.window, _probes(request))
    # Columns, then a backward pass of each for the single weights.
    return scored + 5 * calibration_passes(request)


def _deciding(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.deciding_weights(
        model, *request.divided(tokens), **_sizes(request), **_options(request, source)
    )


def _sizes(request: Request) -> dict[str, int]:
    """How many weights are verified: `--columns`, where it is given."""
    return {} if request.columns is None else {"verified": request.columns}


def _deciding_summary(found: Any) -> dict[str, str]:
    lines = {}
    for name, interval in found.rank_correlation.items():
        lines[f"rank correlation with the exact cost, {name}"] = (
            "undefined"
            if interval is None
            else f"{written(interval.estimate)}, 95% interval [{interval.low:.3f}, {interval.high:.3f}]"
        )
    for rank, weight in enumerate(found.ranked()[:SHOWN], start=1):
        place = weight.place
        where = f"layer {place.layer} {place.name} [{place.row}, {place.column}]"
        lines[f"weight {rank}: {where}"] = f"ΔNLL {written(weight.flip)}"
    return lines


def _deciding_cost(request: Request) -> float:
    from signmag_jax import measure

    sizes = _sizes(request)
    return measure.deciding_weights_cost(request.calibration or 0, request.windows, request.window, **sizes)


def verbs() -> dict[str, Verb]:
    """These measurements by name."""
    options = ("calibration", "layers", "matrices", "resume")
    probed = ("seeds", *options)
    return {
        "linear-response": Verb(_response, _response_summary, _response_cost, probed, 2, check=_check),
        "columns": Verb(
            _columns, _columns_summary, _response_cost, probed, 2, plot=_columns_plot, check=_check
        ),
        "deciding-weights": Verb(_deciding, _deciding_summary, _deciding_cost, ("columns", *options), 2),
    }
