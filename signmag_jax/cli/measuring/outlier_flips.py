"""`signmag measure outlier-flips`: flips in outlier columns, in the rest and anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from signmag_jax.cli.request import Request

from . import lines
from .checks import one_rate_and_number
from .tables import by_draw
from .verb import DRAWS, Rows, Verb, scored


def _run(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.outlier_flips(
        model,
        *request.divided(tokens),
        rate=request.rates[0],
        draws=request.count,
        **request.placed(source),
    )


def _summary(found: Any) -> dict[str, str]:
    summary = {"noise floor": f"{found.noise_floor:.2g} nat/token"}
    for arm, damage in found.damage.items():
        scaled = f", drawn weights × {found.factor[arm]:.2f}" if arm in found.factor else ""
        summary[f"ΔNLL {arm}, {found.flips[arm]} flips{scaled}"] = lines.mean(damage)
    return summary | {name: lines.ratio(ratio) for name, ratio in found.ratios.items()}


def _rows(found: Any) -> Rows:
    return by_draw(found.samples, "arm", "delta_nll")


def _plot(found: Any, path: Path) -> None:
    from signmag_jax.report import figures, measured

    values = {
        arm: (damage.estimate.value, damage.low, damage.high)
        for arm, damage in found.damage.items()
        if damage is not None
    }
    title = f"Flips of {found.rate:.2%} of the signs, by where they fall"
    figures.save(measured.bars(values, "ΔNLL, nats per token", title), path)


def verb() -> Verb:
    """The measurement."""
    from signmag_jax.measure.inputs import MINIMUM_WINDOWS
    from signmag_jax.measure.outlier_flips import RATE

    return Verb(
        _run,
        _summary,
        scored("outlier_flips_cost"),
        ("calibration", "rates", *DRAWS),
        MINIMUM_WINDOWS,
        (RATE,),
        _plot,
        _rows,
        one_rate_and_number,
    )
