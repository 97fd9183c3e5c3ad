"""Leverage by law: from α²‖w‖², in which all outputs matter alike, to the whole linear response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from signmag_jax.evidence import ConfidenceInterval, Estimate, Picture, Ratio, Result, invalid
from signmag_jax.evidence.jackknife import jackknife
from signmag_jax.evidence.numbers import with_error
from signmag_jax.evidence.ratio import paired_ratio
from signmag_jax.evidence.result import KEPT_OUT

from . import slopes
from .activations import Columns
from .column_costs import LAWS, OUTPUTS_ALIKE
from .map_prediction import ALL, MapPrediction
from .pools import ARMS, OUTLIER, REST
from .predicted import LinearResponse

WHOLE = "whole_response"
"""The law that has first order, residual Hessian and the exact costs of single weights as well."""


@dataclass(frozen=True, eq=False)
class Sensitivity(Result):
    """Result of `sensitivity`.

    Args:
      costs: `Σ 2 D_ij w_ij²` of every draw and window, in nats per token per unit flip rate; laws and pools
        in the order of `column_costs.LAWS` and `pools.ARMS`.
      weights: how many there are.
      columns: mean cost of each input column by matrix, for each law.
      map: by matrix and of "all", how well the token-wise law tells Gauss–Newton probes; empty for one draw.
      response: the linear response on the same windows, if there is one.
      outliers: the outlier columns, by site.
      matrices, taking_part: those of the arrays' axes.
      provenance: model, texts, seed, versions, device.
    """

    SHOWN = ("leverage", "leverage_by_matrix", "leverage_by_layer", "pools", "each")

    costs: Float[np.ndarray, "laws pools draws windows matrices _"] = field(metadata=KEPT_OUT)
    weights: Int[np.ndarray, "pools matrices _"] = field(metadata=KEPT_OUT)
    columns: dict[str, Float[np.ndarray, "laws _ _"]] = field(metadata=KEPT_OUT)
    map: dict[str, MapPrediction]
    response: LinearResponse | None = field(metadata=KEPT_OUT)
    outliers: Columns
    matrices: tuple[str, ...]
    taking_part: tuple[int, ...]
    provenance: Mapping[str, Any]

    def cost(self, law: str, pool: str, matrix: str | None = None, layer: int | None = None) -> Estimate:
        """Second-order cost by one of `LAWS` of a pool's flips, of one matrix or layer or of all.

        Raises:
          InvalidInput: for a law, pool, matrix or layer that does not exist.
        """
        unit = "1" if law == OUTPUTS_ALIKE else slopes.UNIT
        return slopes.mean(self._table(law, pool, matrix, layer)[0], unit, f"{law}, one backward pass a draw")

    def leverage_of(self, law: str, matrix: str | None = None, layer: int | None = None) -> Ratio:
        """Cost of a weight of the outlier pool over one of the rest, by one of `LAWS`."""
        return paired_ratio(*(np.divide(*self._table(law, arm, matrix, layer)) for arm in (OUTLIER, REST)))

    def step(self, law: str, other: str, matrix: str | None = None) -> ConfidenceInterval | None:
        """Logarithm of the leverage by one law over that by another, paired; None without one."""
        tables = [self._table(each, arm, matrix, None)[0] for each in (law, other) for arm in (OUTLIER, REST)]

        def logarithm(windows: Int[np.ndarray, " some"]) -> float:
            means = np.array([table[:, windows].mean() for table in tables])
            # Of the logarithm, so that either law may stand above, and by the same windows: their common luck
            # drops out.
            signs = np.array([1, -1, -1, 1])
            return float(signs @ np.log(means)) if means.min() > 0 else np.nan

        return jackknife(logarithm, self.costs.shape[3], f"log of the leverage, {law} over {other}")

    @property
    def leverage(self) -> dict[str, Ratio]:
        """The leverage of all that takes part, by each law and by the linear response if there is one."""
        by_law = {law: self.leverage_of(law) for law in LAWS}
        return by_law if self.response is None else by_law | {WHOLE: self.response.leverage}

    @property
    def leverage_by_matrix(self) -> dict[str, dict[str, Ratio]]:
        """The leverage by law and matrix."""
        return {law: {name: self.leverage_of(law, name) for name in self.matrices} for law in LAWS}

    @property
    def leverage_by_layer(self) -> dict[str, dict[str, Ratio]]:
        """The leverage by law and layer."""
        return {law: {str(i): self.leverage_of(law, layer=i) for i in self.taking_part} for law in LAWS}

    @property
    def pools(self) -> dict[str, dict[str, Estimate]]:
        """The cost by law and pool; of a linear response also first order, residual and single weights."""
        costs = {law: {arm: self.cost(law, arm) for arm in ARMS} for law in LAWS}
        if self.response is None:
            return costs
        measured = {arm: self.response.pools[arm] for arm in ARMS}
        return costs | {
            "first_order": {arm: each.first for arm, each in measured.items()},
            "residual_hessian": {arm: each.difference for arm, each in measured.items()},
            "single_weights": {arm: each.singles for arm, each in measured.items()},
            WHOLE: {arm: each.slope for arm, each in measured.items()},
        }

    @property
    def each(self) -> list[dict[str, Any]]:
        """The rows."""
        return self.rows()

    def _table(
        self, law: str, pool: str, matrix: str | None, layer: int | None
    ) -> tuple[Float[np.ndarray, "draws windows"], int]:
        """Cost of every draw and window, and the number of weights."""
        at = _index(LAWS, law), _index(ARMS, pool)
        matrices = slice(None) if matrix is None else [_index(self.matrices, matrix)]
        layers = slice(None) if layer is None else [_index(self.taking_part, layer)]
        costs = self.costs[at][:, :, matrices][..., layers].sum(axis=(-2, -1))
        return costs, int(self.weights[at[1]][matrices][:, layers].sum())

    def summary(self) -> dict[str, str]:
        """The leverage by every law, over all and by matrix, and how well the map of columns is told."""
        lines = {f"leverage, {law}": str(ratio) for law, ratio in self.leverage.items()}
        for law, ratios in self.leverage_by_matrix.items():
            lines[f"by matrix, {law}"] = "; ".join(f"{name} {_brief(one)}" for name, one in ratios.items())
        return lines | (self.map[ALL].lines("map of columns") if ALL in self.map else {})

    def rows(self) -> list[dict[str, Any]]:
        """One row for each pool of each matrix of each layer: its weights, and the cost by every law."""
        # laws, pools, draws, windows, ... -> draws, windows, laws, pools, ...
        every = slopes.mean(np.moveaxis(self.costs, (2, 3), (0, 1)), slopes.UNIT, "draws and windows")
        rows = []
        for at in np.ndindex(self.weights.shape):
            pool, matrix, layer = ARMS[at[0]], self.matrices[at[1]], self.taking_part[at[2]]
            row = {"pool": pool, "matrix": matrix, "layer": layer, "weights": int(self.weights[at])}
            for index, law in enumerate(LAWS):
                row |= every.cells(law, (index, *at))
            rows.append(row)
        return rows

    def picture(self) -> Picture:
        """The leverage by each law, where it is resolved."""
        intervals = {law: ratio.interval for law, ratio in self.leverage.items()}
        values = {
            law: (one.estimate.value, one.low, one.high) for law, one in intervals.items() if one is not None
        }
        y, title = "cost of a flip, outlier columns over the rest", "Leverage by law"
        return Picture("bars", {"values": values, "y": y, "title": title})


def _brief(ratio: Ratio) -> str:
    if ratio.interval is None:
        return "UNRESOLVED"
    estimate = ratio.interval.estimate
    return with_error(estimate.value, estimate.standard_error)


def _index(known: tuple[Any, ...], asked: Any) -> int:
    if asked not in known:
        raise invalid(f"one of {known}", asked, "name one of them")
    return known.index(asked)
