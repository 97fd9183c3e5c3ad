"""A list of evaluations with progress, time left, and records to resume from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from signmag_jax.evidence import Records, compiling, provenance
from signmag_jax.evidence.common_records import CommonRecords
from signmag_jax.evidence.progress import progress
from signmag_jax.models import LanguageModel, fetch
from signmag_jax.models.llama import attention_of
from signmag_jax.models.sharding import spans_processes

from . import recorded
from .inputs import Windows, sha256_of_parameters

PASS_TOKENS = 2048
"""Tokens of one forward pass, the unit in which costs are stated."""

Row = Float[np.ndarray, " windows"]
AnyRecords = Records | CommonRecords


def records_of(
    folder: str | Path | None,
    model: LanguageModel,
    configuration: Mapping[str, Any],
    together: tuple[int, int] | None = None,
) -> AnyRecords | None:
    """Records of this very computation: same weights, options, platform, versions; None without a folder.

    Those of all processes together where the model lies on the devices of several.

    Args:
      together: windows that pass through the model at a time, and their tokens; None if none do.
    """
    if folder is None:
        return None
    versions = provenance.versions()
    platform = {
        "platform": jax.devices()[0].platform,
        "versions": {name: versions[name] for name in ("signmag_jax", "jax", "jaxlib")},
        # Matrix products are split differently only between one thread and more than one.
        "threads": "1" if provenance.threads() == 1 else "2 or more",
        "x64": jnp.zeros(0, float).dtype == jnp.float64,
        "compiled": compiling.in_force(),
    }
    weights: dict[str, Any] = {"parameters_sha256": sha256_of_parameters(model), "dtype": model.report.dtype}
    if model.report.notes:  # a mesh sums in another order
        weights["notes"] = list(model.report.notes)
    # On a card it may differ between two runs of all else the same: a library is missing, or unfit.
    if together and compiling.platform() != "cpu":
        weights["attention"] = attention_of(model.config, model.params, *together)
    kind = CommonRecords if spans_processes(model.params) else Records
    return kind(folder, {**configuration, **weights, **platform})


def over_windows(description: str, tokens: Windows, batch: int, program: Callable[[Array], Any]) -> list[Any]:
    """What a program gives for each batch of windows, on the host: nothing of it stays on a device."""
    pieces = []
    with progress(description, len(tokens)) as advance:
        for start in range(0, len(tokens), batch):
            rows = jnp.asarray(tokens[start : start + batch])
            pieces.append(fetch(program(rows)))
            advance(len(rows))
    return pieces


def run(
    description: str,
    tasks: Sequence[Callable[[], Row]],
    records: AnyRecords | None,
    entries: int | Sequence[int],
    first: int = 0,
) -> list[Row]:
    """Results of `tasks` in order; those already in `records` (numbered from `first`) are read, not redone.

    A value that is not finite is kept as NaN in the returned rows, for the caller to name.

    Args:
      entries: how many numbers each task gives, or one task after another.

    Raises:
      InvalidInput: if a record holds anything but so many numbers.
    """
    sizes = [entries] * len(tasks) if isinstance(entries, int) else entries
    rows = []
    with progress(description, len(tasks)) as advance:
        for index, (task, size) in enumerate(zip(tasks, sizes, strict=True), start=first):
            rows.append(_one(index, task, records, size))
            advance(1)
    return rows


def _one(index: int, task: Callable[[], Row], records: AnyRecords | None, size: int) -> Row:
    stored = None if records is None else records.read(index)
    if stored is not None:
        assert records is not None
        return recorded.read(records, index, stored, lambda row: recorded.row(row, size))
    row = np.asarray(task(), np.float64)
    assert row.shape == (size,), f"{row.shape} numbers of record {index} where {size} are declared"
    row = np.where(np.isfinite(row), row, np.nan)
    if records is not None:
        records.write(index, [None if np.isnan(value) else value for value in row.tolist()])
    return row
