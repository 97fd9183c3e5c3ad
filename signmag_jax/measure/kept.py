"""What is left of a quantised matrix's cost when its costliest weight, or its first columns, are kept.

Scores say which weights carry the error, and add up to its cost; what keeping them saves does not add. So it
is measured.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from signmag_jax.evidence import ConfidenceInterval, Result, bootstrap
from signmag_jax.evidence.counts import counting
from signmag_jax.models import MATRICES, LanguageModel, window_nll

from . import inputs, recorded
from .activations import Alpha
from .granularity import quantized
from .inputs import Windows
from .mask import Mask
from .place import Place
from .protection import scores
from .quantization_report import QUANTIZERS
from .screening import TOKENS, excerpt
from .setup import Setup, prepare, subfolder

HURT = 3
"""Matrices that are looked at: those whose quantisation costs most."""
WEIGHTS_TRIED = 8
"""Weights of a matrix, those of largest score; the one that saves most on calibration text is kept."""
COLUMNS_KEPT: tuple[int, ...] = (1, 2, 4)
"""Numbers of columns that are kept together, those of largest score."""


Part = tuple[slice | list[int], slice | list[int]]
"""Rows and columns of a matrix."""
EVERYTHING: Part = (slice(None), slice(None))
NOTHING: Part = (slice(0), slice(0))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Replaced:
    """The weight transform that puts another matrix in place of one.

    Args:
      name: which matrix.
      layer: of which layer.
      weight: what stands there instead.
    """

    name: str = field(metadata={"static": True})
    layer: Any
    weight: Any

    def __call__(self, weight: Array, layer: Array, name: str) -> Array:
        """The transformed weight, as `models.token_nll` asks for it."""
        return jnp.where(layer == self.layer, self.weight, weight) if name == self.name else weight


@dataclass(frozen=True, eq=False)
class Kept(Result):
    """One quantised matrix, and what is left of its cost; ΔNLL in nats per token, against the clean model.

    Args:
      layer, matrix, quantizer, scale: which, and how.
      all_quantized: ΔNLL with nothing kept.
      weight: the single weight whose keeping saved most on calibration text.
      weight_kept: ΔNLL with that one kept in its own precision.
      columns: the columns of largest score.
      columns_kept: by number, ΔNLL with so many of these kept.
    """

    layer: int
    matrix: str
    quantizer: str
    scale: str
    all_quantized: ConfidenceInterval
    weight: Place
    weight_kept: ConfidenceInterval
    columns: tuple[int, ...]
    columns_kept: dict[int, ConfidenceInterval]

    def lines(self) -> dict[str, str]:
        """Lines for a terminal: of the single weight, then of the columns one after the other."""
        whole, where = self.all_quantized.estimate, f"layer {self.layer} {self.matrix}"
        keep = f"{self.quantizer} {where}"
        place = f"[{self.weight.row}, {self.weight.column}]"
        lines = {f"{keep}, {place} kept": f"ΔNLL {whole} falls to {self.weight_kept.estimate}"}
        for count, left in self.columns_kept.items():
            named = ", ".join(map(str, self.columns[:count]))
            lines[f"{keep}, column {named} kept"] = f"ΔNLL {left.estimate}"
        return lines


@counting
def what_is_left(
    model: LanguageModel,
    calibration: Windows,
    evaluation: Windows,
    profile: Alpha,
    mask: Mask,
    *,
    batch: int | None = None,
    resume: str | Path | None = None,
    source: Mapping[str, Any] | None = None,
) -> tuple[Kept, ...]:
    """Measure what keeping the head of a mask saves, in the matrices that it says are hurt most.

    The single weight is chosen on the calibration windows, the columns by their scores. The matrices are
    those that the mask's report found costliest on these evaluation windows: being the largest of many, their
    ΔNLL with nothing kept is read a little high.

    Args:
      model: from `models.load`.
      calibration: windows that choose.
      evaluation: other windows, those of the mask's report.
      profile: `alpha` of the calibration windows.
      mask: from `protection`.
      batch: number of evaluation windows that are computed at a time; by default all.
      resume: folder of records.
      source: added to the provenance.

    Returns:
      One result for each of the first matrices whose quantisation raised the loss, the costliest first.
    """
    hurt = [one for one in mask.matrices[:HURT] if one.resolved and (one.delta_nll or 0) > 0]
    own = {
        "experiment": "kept",
        "quantizer": mask.against,
        "scale": str(mask.scale),
        "hurt": [[one.layer, one.matrix] for one in hurt],
    }
    folder = subfolder(resume, "kept")
    setup = prepare(model, calibration, evaluation, own, batch=batch, seed=None, resume=folder, source=source)
    chosen = _chosen(setup, profile, mask) if hurt else []
    tasks = []
    for one, (place, columns) in zip(hurt, chosen, strict=True):
        # Everything kept is the clean model by the others' program: what that rounds drops out.
        variants: list[Part] = [EVERYTHING, NOTHING, ([place.row], [place.column])]
        variants += [(slice(None), list(columns[:count])) for count in COLUMNS_KEPT]
        make = functools.partial(_with_kept, setup.model, mask, one.layer, one.matrix)
        tasks += [functools.partial(_loss, setup, make, keep) for keep in variants]
    rows = iter(setup.sweep(tasks, first=1))
    results = []
    for one, (place, columns) in zip(hurt, chosen, strict=True):
        clean, *left = (next(rows) for _ in range(3 + len(COLUMNS_KEPT)))
        inputs.check_finite(np.stack([clean, *left], axis=1), "the loss with a matrix partly quantised")
        whole, weight, *kept = (bootstrap.mean((row - clean)[None], unit="nat/token") for row in left)
        by_count: dict[int, ConfidenceInterval] = dict(zip(COLUMNS_KEPT, kept, strict=True))
        which = one.layer, one.matrix, mask.against, str(mask.scale)
        results.append(Kept(*which, whole, place, weight, columns, by_count))
    return tuple(results)


def kept_tokens(matrices: int) -> int:
    """Tokens that pass through the model to choose single weights, at most."""
    return min(matrices, HURT) * WEIGHTS_TRIED * TOKENS


def kept_rows(matrices: int) -> int:
    """Losses of the evaluation windows, at most."""
    return min(matrices, HURT) * (3 + len(COLUMNS_KEPT))


def _chosen(setup: Setup, profile: Alpha, mask: Mask) -> list[tuple[Place, tuple[int, ...]]]:
    """The weight that saves most and the columns of largest score of each matrix, chosen once."""
    few = excerpt(setup.calibration)

    def one(layer: int, name: str) -> list[Any]:
        score = scores(setup.model, profile, layer, name, mask.against, mask.scale)
        largest = np.argsort(-score, axis=None, kind="stable")[:WEIGHTS_TRIED]
        places = [Place(MATRICES.index(name), layer, *map(int, divmod(at, score.shape[1]))) for at in largest]

        def left(place: Place) -> float:
            transform = _with_kept(setup.model, mask, layer, name, ([place.row], [place.column]))
            loss = float(window_nll(setup.model, few, transform).mean())
            return loss if np.isfinite(loss) else np.inf

        # Of equal losses the weight of the larger score, which comes first.
        best = min(places, key=left)
        columns = np.argsort(-score.sum(axis=0), kind="stable")[: max(COLUMNS_KEPT)]
        return [list(best), columns.tolist()]

    def choose() -> list[Any]:
        return [one(layer, name) for layer, name in setup.configuration["hurt"]]

    def reader(stored: Any) -> list[tuple[Place, tuple[int, ...]]]:
        config = setup.model.config
        chosen = [
            (recorded.place(at, config), *recorded.whole(columns)[None])
            for at, columns in recorded.listed(stored)
        ]
        for (place, columns), (layer, name) in zip(chosen, setup.configuration["hurt"], strict=True):
            inputs_ = config.shapes()[name][1]
            inside = np.isin(columns, range(inputs_)).all() and columns.shape == (
                min(max(COLUMNS_KEPT), inputs_),
            )
            if (place.name, place.layer) != (name, layer) or not inside:
                raise ValueError("other matrices")
        return [(place, tuple(columns.tolist())) for place, columns in chosen]

    return setup.once(choose, reader)


def _with_kept(model: LanguageModel, mask: Mask, layer: int, name: str, keep: Part) -> Replaced:
    """The quantised matrix, by the scale of the whole of it, with a part of its weights as they were."""
    weight = model.params["blocks"][name][layer]
    coarse = quantized(QUANTIZERS[mask.against], weight, mask.scale)
    kept = np.zeros(weight.shape, bool)
    kept[keep] = True
    return Replaced(name, jnp.asarray(layer, jnp.int32), jnp.where(jnp.asarray(kept), weight, coarse))


def _loss(setup: Setup, make: Callable[[Part], Replaced], keep: Part) -> Float[np.ndarray, " windows"]:
    return setup.losses(make(keep))
