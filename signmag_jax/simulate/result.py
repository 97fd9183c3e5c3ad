"""What a simulation returns.

A ratio, of transverse energies or of radial to all energy, is given in two ways. The *ratio of means* divides
the mean numerator over networks by the mean denominator: the laws predict it, and it does not depend on how
many inputs a network sees. The *mean of per-network ratios*, which the paper prints, divides within each
network first. With X and Y of one network and r = E X/E Y, to second order

    E[X/Y] − r = (r·Var Y − Cov(X, Y))/(E Y)²,

the bias of a quotient. It does not fall with the number of networks, but as 1/inputs and with the width, and
is named wherever both are reported. A network in which nothing is perturbed has no ratio: means of ratios are
over the networks that have one, their `n`, and ratios of means count only these in their standard error.
"""

from __future__ import annotations

import dataclasses
from typing import Unpack

import numpy as np

from signmag_jax.evidence import Estimate
from signmag_jax.evidence import result as base
from signmag_jax.evidence.numbers import with_error

from .engine import Options, run
from .network import Experiment
from .tally import Pair

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
# Random squares that a denominator has to sum: 1/χ² of few degrees of freedom has no variance.
FEWEST_TERMS = 16


class Result(base.Result):
    """Base of the results: a dataclass whose fields are Estimates, nested results or plain values."""

    def summary(self) -> dict[str, str]:
        """One line for each estimate, nested ones by a dotted name."""
        lines = {}
        for field in dataclasses.fields(self):  # pyright: ignore[reportArgumentType]
            value = getattr(self, field.name)
            if isinstance(value, Result):
                lines |= {f"{field.name}.{name}": line for name, line in value.summary().items()}
            elif isinstance(value, Estimate):
                pairs = zip(np.ravel(value.value), np.ravel(value.standard_error), strict=True)
                cells = ", ".join(with_error(float(one), float(error)) for one, error in pairs)
                lines[field.name] = f"{cells} (n = {value.n}; {value.estimator})"
        return lines


class Estimates:
    """Simulates an experiment; each Estimate of it carries its estimator's name and the run's provenance.

    Args:
      experiment: to be simulated.
      shape: of the results, where the statistics carry one vmapped axis.
      options: of the run.

    Raises:
      InvalidInput, Incomplete, ShareDone: as `engine.run`.
    """

    def __init__(
        self, experiment: Experiment, shape: tuple[int, ...] | None = None, **options: Unpack[Options]
    ) -> None:
        self._shape = shape
        self._tally, self._provenance = run(experiment, **options)
        self.networks = self._tally.count

    def mean(self, name: str, estimator: str = MEAN) -> Estimate:
        """The mean of one statistic over the networks that have it; these are the `n` of the estimate."""
        return self._of(self._tally.mean(name), estimator, self._tally.having(name))

    def controlled(self, name: str, controls: tuple[str, ...], estimator: str) -> Estimate:
        """The mean of one statistic, with others as control variates."""
        return self._of(self._tally.controlled(name, controls), estimator, self._tally.having(name))

    def ratio(
        self, numerator: str, denominator: str, estimator: str = RATIO_OF_MEANS, *, among: str | None = None
    ) -> Estimate:
        """The ratio of the means of two statistics, which both vanish in networks without `among`.

        Its `n` is `Tally.carrying`, rounded down: where some networks hold no flip, fewer than the others.
        """
        count = self._tally.carrying(numerator, denominator, among)
        return self._of(self._tally.ratio(numerator, denominator, among), estimator, count)

    def _of(self, pair: Pair, estimator: str, count: np.ndarray) -> Estimate:
        value, error = (np.asarray(part) for part in pair)
        if self._shape is not None:
            trailing = value.shape[1:]
            value, error = value.reshape(self._shape + trailing), error.reshape(self._shape + trailing)
        # Of several elements that of the fewest networks decides how wide their intervals are.
        return Estimate(value, error, int(count.min()), "1", estimator, self._provenance)


def flips_over_shift(estimates: Estimates) -> tuple[Estimate, Estimate, Estimate, Estimate, int]:
    """Flips over shift as a mean of ratios and as a ratio of means, both means, the number of networks."""
    return (
        estimates.mean("ratio", MEAN_OF_RATIOS),
        estimates.ratio("flip", "shift", among="ratio"),
        estimates.mean("flip"),
        estimates.mean("shift"),
        estimates.networks,
    )
