"""`signmag measure trained-chain`: flips against shifts along a chain of trained matrices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from signmag_jax.cli.request import Request

from .checks import one_number_of_seeds
from .verb import DRAWS, Rows, Verb


def _check(request: Request) -> None:
    from signmag_jax.evidence import invalid
    from signmag_jax.measure.outlier_flips import check_rate

    for rate in request.rates:
        check_rate(rate)
    one_number_of_seeds(request)
    if request.matrices is not None and len(request.matrices) > 1:
        raise invalid("one value of --matrices", request.matrices, "a chain is made of one kind of matrix")


def _run(request: Request) -> Any:
    from signmag_jax import measure

    model, _, source = request.load()
    return measure.trained_chain(
        model,
        rates=request.rates,
        layers=request.layers,
        matrix=(request.matrices or ("gate_proj",))[0],
        draws=request.count,
        **request.seeded(source),
    )


def _summary(found: Any) -> dict[str, str]:
    from signmag_jax.report.numbers import with_error

    lines = {"matrices of layers": ", ".join(map(str, found.layers)), "width": str(found.width)}
    for kind, ratio in found.ratio.items():
        for rate, value, error in zip(found.rates, ratio.value, ratio.standard_error, strict=True):
            lines[f"C_1..C_{len(found.layers)}, {kind}, rate {rate:g}"] = "  ".join(
                map(with_error, value, error)
            )
    return lines


def _rows(found: Any) -> Rows:
    return [
        {
            "weights": kind,
            "rate": rate,
            "depth": depth + 1,
            "ratio": float(ratio.value[i, depth]),
            "standard_error": float(ratio.standard_error[i, depth]),
        }
        for kind, ratio in found.ratio.items()
        for i, rate in enumerate(found.rates)
        for depth in range(len(found.layers))
    ]


def _plot(found: Any, path: Path) -> None:
    from signmag_jax.report import figures, measured

    series = {
        f"{kind}, rate {rate:g}": (ratio.value[i], ratio.standard_error[i])
        for kind, ratio in found.ratio.items()
        for i, rate in enumerate(found.rates)
    }
    figures.save(
        measured.curves(series, "layers L", "transverse ratio C_L", "Trained matrices in a chain"), path
    )


def verb() -> Verb:
    """The measurement."""
    from signmag_jax.measure.trained_chain import RATES

    return Verb(
        _run,
        _summary,
        lambda _: 1.0,  # about: no window is read, and six matrices meet a few hundred inputs
        ("rates", *DRAWS),
        1,
        RATES,
        _plot,
        _rows,
        _check,
    )
