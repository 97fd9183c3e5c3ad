"""How well the token-wise law tells the map of columns, which probes of the Gauss–Newton diagonal measure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from signmag_jax.evidence import ConfidenceInterval, Ratio, Result
from signmag_jax.evidence.jackknife import jackknife
from signmag_jax.evidence.ratio import paired_ratio

from .association import FEWEST, slope_of, spearman

GROUPS = 20
"""Groups of equally many columns: their means have logarithms where a single probe may be almost nothing."""
ALL = "all"

Table = Float[np.ndarray, "draws windows columns"]
Columns = Float[np.ndarray, " columns"]


@dataclass(frozen=True)
class MapPrediction(Result):
    """The token-wise cost of columns, per weight, beside Gauss–Newton probes of other draws on the same text.

    Args:
      rank_correlation: Spearman's, of one draw's prediction with the probe of another, over all columns.
      probes: the same of two probes: what one backward pass of a probe would tell.
      total: all probes over all predictions, a ratio of means.
      slope: of log probe against log prediction, over `GROUPS` groups of columns by prediction.

    Each is None where it does not exist: of columns that all cost the same, or nothing.
    """

    rank_correlation: ConfidenceInterval | None
    probes: ConfidenceInterval | None
    total: Ratio
    slope: ConfidenceInterval | None

    def lines(self, name: str) -> dict[str, str]:
        """Lines for a terminal."""
        lines = {
            "rank correlation with a probe": self.rank_correlation,
            "rank correlation of two probes": self.probes,
            "probes over prediction": self.total,
            "log-log slope": self.slope,
        }
        return {f"{name}: {what}": str(one) for what, one in lines.items() if one is not None}

    def summary(self) -> dict[str, str]:
        """Correlations, ratio and slope."""
        return self.lines("columns")


def of(maps: Mapping[str, Float[np.ndarray, "two draws windows layers _"]]) -> dict[str, MapPrediction]:
    """The predictions of each matrix and of all together; empty for a single draw.

    Args:
      maps: cost per weight of every column by the law and by a probe, by matrix.
    """
    flat = {name: table.reshape(*table.shape[:3], -1) for name, table in maps.items()}
    flat[ALL] = np.concatenate(list(flat.values()), axis=-1)
    return {
        name: _one(*table) for name, table in flat.items() if table.shape[1] > 1 and table.shape[-1] >= FEWEST
    }


def _one(law: Table, probe: Table) -> MapPrediction:
    # Draw by draw, of other signs than the prediction's: what both have by chance is no agreement.
    other = np.roll(probe, 1, axis=0)
    return MapPrediction(
        _over_windows(_ranks, "Spearman's correlation", law, other),
        _over_windows(_ranks, "Spearman's correlation", probe, other),
        paired_ratio(other.mean(axis=-1), law.mean(axis=-1)),
        # Grouped by one draw, scaled by the other: columns that one draw makes too dear would flatten it.
        _over_windows(
            _slope,
            f"slope of logarithms over {GROUPS} groups of columns",
            law,
            np.roll(law, 1, axis=0),
            other,
        ),
    )


def _over_windows(statistic: Callable[..., float], name: str, *tables: Table) -> ConfidenceInterval | None:
    """A statistic of means over windows, averaged over draws."""

    def mean_of(windows: Int[np.ndarray, " some"]) -> float:
        means = zip(*(table[:, windows].mean(axis=1) for table in tables), strict=True)
        return float(np.mean([statistic(*each) for each in means]))

    return jackknife(mean_of, tables[0].shape[1], name)


def _ranks(first: Columns, second: Columns) -> float:
    return float(spearman(first[None], second[None])[0])


def _slope(order: Columns, law: Columns, probe: Columns) -> float:
    """NaN where a group costs nothing or all predictions are alike."""
    groups = np.array_split(np.argsort(order, kind="stable"), min(GROUPS, len(law)))
    x, y = (np.array([table[group].mean() for group in groups]) for table in (law, probe))
    if not min(x.min(), y.min()) > 0:
        return math.nan
    return float(slope_of(np.log(x)[None], np.log(y)[None])[0])
