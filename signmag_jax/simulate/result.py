"""What a simulation returns.

A ratio, of transverse energies or of radial to all energy, is given in two ways. The *ratio of means* divides
the mean numerator over networks by the mean denominator: the laws predict it, and it does not depend on how
many inputs a network sees. The *mean of per-network ratios*, which the paper prints, divides within each
network first. With X and Y of one network and r = E X/E Y, to second order

    E[X/Y] − r = (r·Var Y − Cov(X, Y))/(E Y)²,

the bias of a quotient. It does not fall with the number of networks, but as 1/inputs and with the width, and
is named wherever both are reported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from signmag_jax.evidence import Estimate
from signmag_jax.evidence import result as base
from signmag_jax.evidence.numbers import with_error

from .tally import Pair, Tally

MEAN_OF_RATIOS = "mean of per-network ratios"
RATIO_OF_MEANS = "ratio of means over networks (delta method)"
BOTH_RATIOS = frozenset((MEAN_OF_RATIOS, RATIO_OF_MEANS))
# For the reader of a list that has both.
TWO_RATIOS = (
    "A mean of per-network ratios and a ratio of means differ by the bias of a quotient, "
    "(r Var Y - Cov(X, Y))/(E Y)^2 for r = E X/E Y: networks do not remove it, inputs and width do. "
    "The laws are those of ratios of means."
)
MEAN = "mean over networks"


class Result(base.Result):
    """Base of the results: a dataclass whose fields are Estimates, nested results or plain values."""

    def summary(self) -> dict[str, str]:
        """One line for each estimate, nested ones by a dotted name."""
        found = {}
        for field in dataclasses.fields(self):  # pyright: ignore[reportArgumentType]
            value = getattr(self, field.name)
            if isinstance(value, Result):
                found |= {f"{field.name}.{name}": line for name, line in value.summary().items()}
            elif isinstance(value, Estimate):
                pairs = zip(np.ravel(value.value), np.ravel(value.standard_error), strict=True)
                cells = ", ".join(with_error(float(one), float(error)) for one, error in pairs)
                found[field.name] = f"{cells} (n = {value.n}; {value.estimator})"
        return found


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
        """The mean of one statistic over networks."""
        return self._of(self._tally.mean(name), estimator)

    def controlled(self, name: str, controls: tuple[str, ...], estimator: str) -> Estimate:
        """The mean of one statistic, with others as control variates."""
        return self._of(self._tally.controlled(name, controls), estimator)

    def ratio(self, numerator: str, denominator: str, estimator: str = RATIO_OF_MEANS) -> Estimate:
        """The ratio of the means of two statistics."""
        return self._of(self._tally.ratio(numerator, denominator), estimator)

    def _of(self, pair: Pair, estimator: str) -> Estimate:
        value, error = (np.asarray(part) for part in pair)
        if self._shape is not None:
            trailing = value.shape[1:]
            value, error = value.reshape(self._shape + trailing), error.reshape(self._shape + trailing)
        return Estimate(value, error, self._tally.count, "1", estimator, self._provenance)
