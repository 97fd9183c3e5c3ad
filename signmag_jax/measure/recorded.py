"""What records of measurements hold, read for what it should be: a checksum does not tell who wrote them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float, Int

from signmag_jax.evidence.domain import reals
from signmag_jax.evidence.records import foreign
from signmag_jax.models import MATRICES, SITE_OF, SITES, ModelConfig

from .place import Place

Read = TypeVar("Read")
NO_VALUE = (TypeError, ValueError, LookupError, AttributeError, OverflowError)
"""What readers raise of a payload that is none of theirs."""


def read(records: Any, index: int, payload: Any, reader: Callable[[Any], Read]) -> Read:
    """What a reader makes of a payload.

    Raises:
      InvalidInput: naming the record, if it is none of the reader's.
    """
    try:
        return reader(payload)
    except NO_VALUE:
        raise foreign(index, records.folder) from None


def row(payload: Any, size: int) -> Float[np.ndarray, " size"]:
    """A row of so many numbers; NaN where the record says that there was none."""
    if not isinstance(payload, list) or len(payload) != size:
        raise ValueError("another shape")
    lacking = [value is None for value in payload]
    values = np.asarray(numbers([0.0 if value is None else value for value in payload]))
    return np.where(lacking, np.nan, values)


def numbers(payload: Any) -> tuple[float, ...]:
    """A list of finite numbers."""
    values = reals(payload)
    if not isinstance(payload, list) or values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError("not a list of finite numbers")
    return tuple(values.tolist())


def whole(payload: Any, rank: int = 1) -> Int[np.ndarray, ...]:
    """Whole numbers in lists of that depth and of equal lengths; none at all are whole, too."""
    values = np.asarray(payload)
    if (
        not isinstance(payload, list)
        or values.ndim != rank
        or (values.size and values.dtype.kind not in "iu")
    ):
        raise ValueError("not whole numbers")
    return values.astype(np.int64)


def place(payload: Any, config: ModelConfig) -> Place:
    """One weight of the model."""
    matrix, layer, *at = whole(payload).tolist()
    names, layers = range(len(MATRICES)), range(config.layers)
    if matrix not in names or layer not in layers:
        raise ValueError("no matrix of the model")
    rows, inputs = config.shapes()[MATRICES[matrix]]
    row, column = at
    if row not in range(rows) or column not in range(inputs):
        raise ValueError("no weight of the matrix")
    return Place(matrix, layer, row, column)


def places(payload: Any, config: ModelConfig, most: int | None = None) -> tuple[Place, ...]:
    """A list of weights of the model, so many at most."""
    if most is not None and len(payload) > most:
        raise ValueError("more weights than were asked for")
    return tuple(place(one, config) for one in listed(payload))


def listed(payload: Any) -> list[Any]:
    """A list."""
    if not isinstance(payload, list):
        raise TypeError("not a list")
    return payload


def named(payload: Any, names: Sequence[str]) -> dict[str, Any]:
    """An object that has nothing under other names."""
    if not isinstance(payload, dict) or not set(payload) <= set(names):
        raise ValueError("other names")
    return payload


def columns(payload: Any, config: ModelConfig) -> dict[str, Int[np.ndarray, "layers _"]]:
    """Some input columns of each layer, by site: of every site, and as many in every layer."""
    if set(payload) != set(SITES):
        raise ValueError("other sites")
    return {site: _columns(payload[site], config, site) for site in SITES}


def _columns(payload: Any, config: ModelConfig, site: str) -> Int[np.ndarray, "layers _"]:
    values = whole(payload, rank=2)
    inputs = next(config.shapes()[name][1] for name in MATRICES if SITE_OF[name] == site)
    if len(values) != config.layers or not np.isin(values, range(inputs)).all():
        raise ValueError("no columns of the model")
    return values
