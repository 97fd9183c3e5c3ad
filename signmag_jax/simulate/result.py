"""What a simulation returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from signmag_jax.evidence import Estimate

from .tally import Pair, Tally

MEAN_OF_RATIOS = "mean of per-network ratios"
RATIO_OF_MEANS = "ratio of means over networks (delta method)"
MEAN = "mean over networks"


@dataclass(frozen=True)
class Result:
    """Base of the results: a dataclass whose fields are Estimates, nested results or plain values."""

    def to_json(self) -> dict[str, Any]:
        """A strict-JSON object with the fields' names."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}


def _plain(value: Any) -> Any:
    if isinstance(value, (Estimate, Result)):
        return value.to_json()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value


class Estimates:
    """Makes Estimates from a tally, each with its estimator's name and the run's provenance.

    Args:
      tally: the merged statistics.
      provenance: of the run.
      shape: of the results, where the statistics carry one vmapped axis.
    """

    def __init__(
        self, tally: Tally, provenance: Mapping[str, Any], shape: tuple[int, ...] | None = None
    ) -> None:
        self._tally, self._provenance, self._shape = tally, provenance, shape

    def mean(self, name: str, estimator: str = MEAN) -> Estimate:
        """Of one statistic."""
        return self._of(self._tally.mean(name), estimator)

    def controlled(self, name: str, controls: tuple[str, ...], estimator: str) -> Estimate:
        """Of one statistic, with control variates."""
        return self._of(self._tally.controlled(name, controls), estimator)

    def ratio(self, numerator: str, denominator: str, estimator: str = RATIO_OF_MEANS) -> Estimate:
        """Of the means of two statistics."""
        return self._of(self._tally.ratio(numerator, denominator), estimator)

    def _of(self, pair: Pair, estimator: str) -> Estimate:
        value, error = (np.asarray(part) for part in pair)
        if self._shape is not None:
            trailing = value.shape[1:]
            value, error = value.reshape(self._shape + trailing), error.reshape(self._shape + trailing)
        return Estimate(value, error, self._tally.count, "1", estimator, self._provenance)
