"""Finished blocks of an experiment in a folder, from which a run goes on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from signmag_jax.evidence import Records
from signmag_jax.evidence.domain import reals
from signmag_jax.evidence.records import foreign

from .network import Columns, Experiment, networks_in, part


class BlockRecords:
    """The records of a run, one a block.

    Args:
      experiment: whose networks they hold.
      folder: where they lie; None keeps and reads nothing.
      identity: what their numbers depend on.
      limit: the network before which the run ends at the latest.

    Raises:
      InvalidInput, MissingResource: as `Records`.
    """

    def __init__(
        self, experiment: Experiment, folder: str | Path | None, identity: dict[str, Any], limit: int
    ) -> None:
        self._experiment, self._limit = experiment, limit
        self._records = None if folder is None else Records(folder, identity)
        self._shapes: dict[str, tuple[int, ...]] = {}

    def read(self, blocks: Iterable[int]) -> dict[int, Columns]:
        """The blocks whose records are there in full, each without what lies beyond the limit.

        Raises:
          InvalidInput: if a record holds something else than this experiment's statistics.
        """
        if self._records is None:
            return {}
        recorded, size = {}, self._experiment.block
        for block in blocks:
            payload = self._records.read(block)
            if payload is None:
                continue
            columns = self._columns(payload)
            if columns is None:
                raise foreign(block, self._records.folder)
            # One that an earlier, smaller target cut short is done again.
            if networks_in(columns) >= min(size, self._limit - block * size):
                recorded[block] = part(columns, slice(self._limit - block * size))
        return recorded

    def write(self, block: int, columns: Columns) -> None:
        """Add a block, unless something in it is no number: JSON could not hold it, and it ends the run.

        Raises:
          MissingResource: if it cannot be written.
        """
        if self._records is not None and self._holds_numbers(columns):
            self._records.write(block, _rows(columns))

    def _columns(self, rows: Any) -> Columns | None:
        """The statistics in a record's payload; None unless they are this experiment's and numbers."""
        self._shapes = self._shapes or self._experiment.shapes()
        try:
            columns = {name: reals(np.asarray([row[name] for row in rows])) for name in self._shapes}
            known = all(len(row) == len(columns) for row in rows)
        except (TypeError, ValueError, KeyError, OverflowError):
            return None
        fits = {name: values.shape[1:] for name, values in columns.items()} == self._shapes
        return columns if fits and known and self._holds_numbers(columns) else None

    def _holds_numbers(self, columns: Columns) -> bool:
        optional = self._experiment.optional
        return all(np.isfinite(values).all() for name, values in columns.items() if name not in optional)


# Of a record, in which a network's statistics are a JSON object.
Row = dict[str, Any]


def _rows(columns: Columns) -> list[Row]:
    """A network after another; None, which JSON can hold, for what one lacks."""
    plain = {name: _plain(values) for name, values in columns.items()}
    return [{name: values[i] for name, values in plain.items()} for i in range(networks_in(columns))]


def _plain(values: np.ndarray) -> list[Any]:
    lacking = ~np.isfinite(values)
    if lacking.any():
        values = values.astype(object)
        values[lacking] = None
    return values.tolist()
