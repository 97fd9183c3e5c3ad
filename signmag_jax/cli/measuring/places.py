"""One measurement in several layers and matrices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signmag_jax.cli.request import Request

from .verb import Rows, calibration_passes


@dataclass(frozen=True, eq=False)
class Several:
    """Results of one measurement in several places."""

    results: tuple[Any, ...]

    def to_json(self) -> dict[str, Any]:
        """A strict-JSON object."""
        return {"results": [found.to_json() for found in self.results]}


def everywhere(request: Request, measurement: Callable[..., Any], **options: Any) -> Several:
    """The measurement in every place asked for, with records in a folder for each."""
    model, tokens, source = request.load()
    return Several(
        tuple(
            measurement(
                model,
                *request.divided(tokens),
                layer=layer,
                matrix=name,
                columns=columns(request),
                resume=folder,
                source=source,
                **options,
            )
            for layer, name, folder in _places(request, model)
        )
    )


def _places(request: Request, model: Any) -> Iterator[tuple[int, str, Path | None]]:
    for layer in request.layers or (model.config.layers // 2,):
        for name in request.matrices or ("q_proj",):
            folder = None if request.resume is None else request.resume / f"layer-{layer}-{name}"
            yield layer, name, folder


def columns(request: Request) -> int:
    """Columns sampled of a matrix."""
    from signmag_jax.measure.column_sample import COLUMNS

    return COLUMNS if request.columns is None else request.columns


def cost(request: Request, one: float) -> float:
    """The cost in all places, from the evaluations in one."""
    places = len(request.layers or (0,)) * len(request.matrices or ("",))
    return places * (one + calibration_passes(request))


def title(sample: Any) -> str:
    """Which matrix the columns are of."""
    return f"layer {sample.layer} {sample.matrix}"


def rows(found: Several, cells: Callable[[Any, int], Rows]) -> Rows:
    """One row for each cell of each sampled column, with what is known of the column."""
    return [
        {
            "layer": each.sample.layer,
            "matrix": each.sample.matrix,
            "column": int(column),
            "alpha_squared": float(each.sample.alpha_squared[index]),
            "norm_squared": float(each.sample.norm_squared[index]),
            **cell,
        }
        for each in found.results
        for index, column in enumerate(each.sample.columns)
        for cell in cells(each, index)
    ]
