"""How far the leverage of outlier columns depends on what is called an outlier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Unpack

from signmag_jax.evidence import Picture, Ratio, Result
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.result import KEPT_OUT, named
from signmag_jax.models import SITES, LanguageModel

from . import inputs
from .activations import membership
from .arm_comparison import UNPREDICTED
from .column_statistics import ColumnStatistics, column_statistics
from .inputs import Windows
from .leverage import Leverage, leverage
from .pools import TooFewWeights
from .setup import Options, nested, prepare

RATE = 0.005
DRAWS = 5
DEFAULT = "top 5% by mean |x|"


@dataclass(frozen=True, eq=False)
class Definition(Result):
    """One definition of outlier columns.

    Args:
      columns: how many columns it names on average in a layer, by site.
      shared: of them, the part that the default definition names too; None where it names none.
      result: the leverage, or None where no flip fits into the pool.
      reason: why there is none.
    """

    SHOWN = ("arms", "leverage")

    columns: dict[str, float]
    shared: float | None = field(metadata=named("shared_with_default"))
    result: Leverage | None = field(metadata=KEPT_OUT)
    reason: str = ""

    @property
    def leverage(self) -> Ratio:
        """The leverage, or why there is none."""
        return Ratio(None, self.reason) if self.result is None else self.result.rates[0].leverage

    def arms(self) -> dict[str, Any]:
        """Flips, pools, damage and leverage; nothing where no flip fits into the pool."""
        return {
            "flips": None if self.result is None else self.result.rates[0].flips,
            "pool_sizes": None if self.result is None else self.result.pool_sizes,
            "damage": None if self.result is None else self.result.rates[0].damage,
        }


@dataclass(frozen=True, eq=False)
class OutlierDefinitions(Result):
    """Result of `outlier_definitions`: by name, and where it came from."""

    SHOWN = ("left_to_chance",)
    left_to_chance = UNPREDICTED

    definitions: dict[str, Definition]
    rate: float
    provenance: Mapping[str, Any]

    def summary(self) -> dict[str, str]:
        """The leverage by definition."""
        summary = {}
        for name, each in self.definitions.items():
            counts = ", ".join(f"{site} {count:g}" for site, count in each.columns.items())
            summary[f"leverage, {name} (columns a layer: {counts})"] = str(each.leverage)
        return summary | {"left to chance": self.left_to_chance}

    def rows(self) -> list[dict[str, Any]]:
        """ΔNLL of every draw and window under each definition that has a leverage."""
        return [
            {"definition": name, **row}
            for name, each in self.definitions.items()
            if each.result is not None
            for row in each.result.rows()
        ]

    def picture(self) -> Picture:
        """The leverage by definition, where it is resolved."""
        values = {
            name: (interval.estimate.value, interval.low, interval.high)
            for name, each in self.definitions.items()
            if (interval := each.leverage.interval)
        }
        title = "Leverage by definition of an outlier"
        return Picture("bars", {"values": values, "y": "leverage", "title": title})


@counting
def outlier_definitions(
    model: LanguageModel,
    calibration: Windows,
    evaluation: Windows,
    *,
    rate: float = RATE,
    draws: int = DRAWS,
    batch: int | None = None,
    **options: Unpack[Options],
) -> OutlierDefinitions:
    """`leverage` at one rate, with the columns of several definitions.

    The top 1, 2, 5 and 10% by mean|x|, the top 5% by E x² and by kurtosis over positions, and LLM.int8()'s
    rule: |x| >= 6 in at least 25% of the layers and 6% of the positions (arXiv:2208.07339). No weight is
    measured alone (`heavy=0`): no error knows of one that costs much and that no draw flips.

    Args:
      model: from `models.load`.
      calibration: windows whose activations choose the columns (at least 2).
      evaluation: other windows that score the damage (at least 8).
      rate: flip rate, as a part of the outlier weights of each definition, in (0, 1].
      draws: number of random masks in each arm, at least 2.
      batch: number of evaluation windows that are computed at a time; by default all.
      options: as in `Options`; the records of each definition lie in a folder of its own.

    Returns:
      For each definition its leverage, how many columns it names and how many the default names too.

    Raises:
      InvalidInput: as in `leverage`.
    """
    (rate,) = inputs.check_rates((rate,))
    own = {"experiment": "outlier definitions", "rate": rate, "draws": draws}
    # Each leverage below keeps records of its own; here the texts are checked and named.
    setup = prepare(model, calibration, evaluation, own, batch=batch, **{**options, "resume": None})
    statistics: ColumnStatistics = column_statistics(model, calibration)
    named = statistics.definitions()
    definitions = {}
    for index, (name, columns) in enumerate(named.items()):
        sizes = {site: float(columns[site].shape[1]) for site in SITES}
        shared = _shared(columns, named[DEFAULT], statistics)
        try:
            one = leverage(
                model,
                calibration,
                evaluation,
                rates=(rate,),
                draws=draws,
                batch=batch,
                columns=columns,
                heavy=0,
                **nested(options, f"definition-{index}"),
            )
        # A rule may name too few columns, or none: that is its result.
        except TooFewWeights as error:
            definitions[name] = Definition(sizes, shared, None, str(error))
        else:
            definitions[name] = Definition(sizes, shared, one)
    return OutlierDefinitions(definitions, rate, setup.origin())


def _shared(
    columns: Mapping[str, Any], default: Mapping[str, Any], statistics: ColumnStatistics
) -> float | None:
    """The part of `columns` that is in `default` too."""
    both, whole = 0, 0
    for site, chosen in columns.items():
        features = statistics.magnitude[site].shape[1]
        ours, theirs = membership(chosen, features), membership(default[site], features)
        both, whole = both + int((ours & theirs).sum()), whole + int(ours.sum())
    return both / whole if whole else None
