"""Statistics of independent networks, by name, merged in network order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from signmag_jax.evidence import Incomplete, Moments

# With k controls the error is √((K−2)/(K−k−2)) times larger: by a sixth at 4k networks.
FEWEST_PER_CONTROL = 4

# A value and its standard error: arrays of one shape, or scalars.
Pair = tuple[Any, Any]


def fewest_networks(controls: tuple[str, ...]) -> int:
    """That a regression on so many control variates takes."""
    return FEWEST_PER_CONTROL * len(controls)


class Tally:
    """Running centred moments (float64) of the named statistics that each network returns.

    The independent unit is the network: inputs within one share its weights, so no error is ever
    computed from them.
    """

    def __init__(self) -> None:
        self.moments: Moments | None = None
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._starts: dict[str, int] = {}

    @property
    def count(self) -> int:
        """Networks merged so far."""
        return 0 if self.moments is None else self.moments.count

    def add(self, network: int, statistics: Mapping[str, Any]) -> None:
        """Merge the statistics of the next network in order.

        Raises:
          Incomplete: if one of them is undefined (0/0), as when a tiny network drew no flip at all.
        """
        names = sorted(statistics)
        if not self._shapes:
            self._shapes = {name: np.shape(statistics[name]) for name in names}
            sizes = [math.prod(self._shapes[name]) for name in names]
            self._starts = dict(zip(names, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))
        row = np.concatenate([np.asarray(statistics[name], dtype=np.float64).ravel() for name in names])
        if not np.all(np.isfinite(row)):
            broken = next(name for name in names if not np.all(np.isfinite(statistics[name])))
            raise Incomplete(
                f"network {network} has no finite {broken.replace('_', ' ')} (nothing was perturbed, or no "
                "unit is active): raise the width, the rate or the inputs"
            )
        one = Moments(1, row, np.zeros((row.size, row.size)))
        self.moments = one if self.moments is None else self.moments.merge(one)

    def _index(self, name: str) -> np.ndarray:
        shape, start = self._shapes[name], self._starts[name]
        return np.asarray(start + np.arange(math.prod(shape)).reshape(shape))

    def _done(self) -> Moments:
        if self.moments is None or self.moments.count < 2:
            raise Incomplete("fewer than 2 networks have no standard error: ask for more networks")
        return self.moments

    def mean(self, name: str) -> Pair:
        """Mean over networks and its standard error, each of the statistic's shape."""
        moments, index = self._done(), self._index(name)
        variance = moments.comoment.diagonal()[index] / (moments.count - 1)
        return moments.mean[index], np.sqrt(variance / moments.count)

    def ratio(self, numerator: str, denominator: str) -> Pair:
        """Ratio of the two means, element by element, with its delta-method standard error."""
        moments = self._done()
        top, bottom = np.broadcast_arrays(self._index(numerator), self._index(denominator))
        if np.any(moments.mean[bottom] == 0):
            raise Incomplete(
                f"the mean {denominator.replace('_', ' ')} is 0, so that its ratio is undefined: "
                "raise the width, the rate or the number of networks"
            )
        ratio = moments.mean[top] / moments.mean[bottom]
        square = (
            moments.comoment[top, top]
            - 2 * ratio * moments.comoment[top, bottom]
            + ratio**2 * moments.comoment[bottom, bottom]
        )
        # Rounding may leave a little less than nothing where numerator and denominator are proportional.
        variance = np.maximum(square, 0) / ((moments.count - 1) * moments.count)
        return ratio, np.sqrt(variance) / np.abs(moments.mean[bottom])

    def controlled(self, name: str, controls: tuple[str, ...]) -> Pair:
        """Mean of one statistic, element by element, regressed on control variates of mean zero.

        ȳ − βᵀc̄ with β = Cov(c)⁻¹ Cov(c, y) from the same networks, whose bias is O(1/count); the
        standard error carries the factor (K−2)/(K−k−2) for k estimated coefficients.
        """
        moments, index = self._done(), self._index(name)
        count, used = moments.count, len(controls)
        if count < fewest_networks(controls):
            raise Incomplete(
                f"{count} networks are too few for {used} control variates: ask for at least "
                f"{fewest_networks(controls)}"
            )
        columns = np.stack([self._index(control) for control in controls], axis=-1)
        values, standard_errors = np.empty(index.shape), np.empty(index.shape)
        for element in np.ndindex(index.shape):
            y, c = index[element], columns[element]
            cross = moments.comoment[c, y]
            # Least squares: a control that does not vary, or that repeats another, is no singular matrix.
            slope = np.linalg.lstsq(moments.comoment[np.ix_(c, c)], cross, rcond=None)[0]
            residual = max(float(moments.comoment[y, y] - slope @ cross), 0.0) / (count - 1 - used)
            values[element] = moments.mean[y] - slope @ moments.mean[c]
            standard_errors[element] = math.sqrt(residual / count * (count - 2) / (count - used - 2))
        return values, standard_errors
