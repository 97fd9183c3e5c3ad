"""Means that are sums of independent parts over the same windows, their errors, and Student's intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from .bootstrap import LEVEL, ConfidenceInterval, Table, checked, components, main_effect
from .errors import invalid
from .estimate import Estimate


@dataclass(frozen=True, eq=False)
class Sum:
    """A mean over draws and windows that is the sum of the means of several tables.

    Args:
      tables: draws × windows, independent of each other but for the windows, which they share. A table of a
        single row is known exactly on each window.
      small: tables of draws whose mean is so small that its square may count as an error: their scatter is
        taken about zero, errs on the large side, and needs no more than one row.
    """

    tables: tuple[Table, ...]
    small: tuple[Table, ...] = ()

    @classmethod
    def of(cls, samples: Table | Sum) -> Sum:
        """One table as such a sum; checked.

        Raises:
          InvalidInput: for tables that are not finite, of a single cell, or of different windows.
        """
        if not isinstance(samples, Sum):
            return cls((checked(samples),))
        tables = [checked(table) for table in (*samples.tables, *samples.small)]
        if len({table.shape[1] for table in tables}) > 1:
            raise invalid("tables over the same windows", [t.shape for t in tables], "evaluate them alike")
        return cls(tuple(tables[: len(samples.tables)]), tuple(tables[len(samples.tables) :]))

    @property
    def windows(self) -> Float[np.ndarray, " windows"]:
        """The mean over draws on each window."""
        return np.sum([table.mean(axis=0) for table in (*self.tables, *self.small)], axis=0)

    @property
    def value(self) -> float:
        """The mean."""
        return float(self.windows.mean())

    def minus(self, factor: float, other: Sum) -> Sum:
        """This mean less `factor` times another over the same windows and independent draws."""
        less = [[-factor * table for table in part] for part in (other.tables, other.small)]
        return Sum((*self.tables, *less[0]), (*self.small, *less[1]))

    @property
    def variance(self) -> float:
        """Variance of the mean: of the draws of every table, of the windows they share, of single cells."""
        parts = [components(table) for table in self.tables]
        known = [part for part, table in zip(parts, self.tables, strict=True) if len(table) > 1]
        # The mean over draws on each window holds every table's cells: they are no effect of the window.
        cells = sum(part.cells for part in known)
        windows = max(main_effect(self.windows)[0] - cells, 0.0)
        return sum(part.draws for part in known) + cells + windows + sum(map(_about_zero, self.small))

    @property
    def freedom(self) -> float:
        """Welch and Satterthwaite's degrees of freedom of the variance; infinite without scatter."""
        # Of the margins, which hold the cells: a component that came out as 0 would have no freedom to count.
        effects = [main_effect(self.windows), *(main_effect(table.mean(axis=1)) for table in self.tables)]
        effects += [(_about_zero(table), len(table)) for table in self.small]
        total = sum(variance for variance, _ in effects)
        spread = sum(variance**2 / freedom for variance, freedom in effects if freedom)
        return total**2 / spread if spread > 0 else math.inf

    @property
    def draws(self) -> int:
        """Draws of the table that has most; 1 where nothing was drawn."""
        return max(len(table) for table in self.tables)

    @property
    def effective_draws(self) -> float:
        """Draws of equal weight that would scatter as much about the same mean: `n/(1 + CV²)`, Kish's number.

        Of each table; the least counts. Infinite where nothing was drawn.
        """
        # Against the whole mean: scatter of a part that hardly counts is no luck of the sum.
        square, least = self.value**2, math.inf
        for table in self.tables:
            if len(table) > 1:
                scatter = float(table.mean(axis=1).var())
                least = min(
                    least, len(table) * (square / (square + scatter) if square + scatter > 0 else 1.0)
                )
        return least

    @property
    def units(self) -> int:
        """Independent units behind the scarcer axis."""
        sizes = [len(table) for table in self.tables if len(table) > 1]
        sizes += [len(self.windows)] if len(self.windows) > 1 else []
        return min(sizes)

    def times(self, level: float = LEVEL) -> float:
        """Student's quantile: standard errors on either side of an interval of that coverage."""
        from scipy import stats

        return float(stats.t.isf((1 - level) / 2, self.freedom))


def mean(
    samples: Table | Sum,
    *,
    unit: str = "1",
    provenance: Mapping[str, Any] | None = None,
    level: float = LEVEL,
) -> ConfidenceInterval:
    """A mean with the standard error of draws and windows, crossed, and Student's interval.

    Raises:
      InvalidInput: as `Sum.of`.
    """
    total = Sum.of(samples)
    error = math.sqrt(total.variance)
    half = total.times(level) * error
    estimate = Estimate(total.value, error, total.units, unit, "mean, draws and windows", provenance or {})
    return ConfidenceInterval(estimate, total.value - half, total.value + half, level)


def _about_zero(table: Table) -> float:
    return float(np.sum(table.mean(axis=1) ** 2)) / len(table) ** 2


def joined(samples: Sequence[Table | Sum]) -> Sum:
    """Several sums over the same windows, added."""
    sums = [Sum.of(each) for each in samples]
    return Sum.of(
        Sum(tuple(t for each in sums for t in each.tables), tuple(t for each in sums for t in each.small))
    )
