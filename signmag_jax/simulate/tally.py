"""Statistics of independent networks, by name, merged in network order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from signmag_jax.evidence import Incomplete, SampleMoments

# With k controls the error is √((K−2)/(K−k−2)) times larger: by a sixth at 4k networks.
FEWEST_PER_CONTROL = 4

# A value and its standard error: arrays of one shape, or scalars.
Pair = tuple[Any, Any]


def fewest_networks(controls: tuple[str, ...]) -> int:
    """The fewest networks on which so many control variates can be regressed."""
    return FEWEST_PER_CONTROL * len(controls)


class Tally:
    """Running centred moments (float64) of the named statistics that each network returns.

    The independent unit is the network: inputs within one share its weights, so no error is ever
    computed from them.

    Args:
      optional: statistics that a network may lack (NaN): their mean is that over the networks
        that have one, E[DX]/E[D] with D = 1 there and 0 elsewhere.
    """

    def __init__(self, optional: frozenset[str] = frozenset()) -> None:
        self.moments: SampleMoments | None = None
        self._optional = optional
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._starts: dict[str, int] = {}

    @property
    def count(self) -> int:
        """Networks merged so far."""
        return 0 if self.moments is None else self.moments.count

    def add(self, first: int, columns: Mapping[str, Any]) -> None:
        """Merge the statistics of the next networks in order, one along the first axis, from number `first`.

        Raises:
          Incomplete: if one that they may not lack is not finite.
        """
        values = {name: np.asarray(columns[name], dtype=np.float64) for name in sorted(columns)}
        for name in self._optional:
            has = np.isfinite(values[name])
            values[name] = np.where(has, values[name], 0.0)
            values[_indicator(name)] = has.astype(np.float64)
        _require_finite(first, values)
        if not self._shapes:
            self._shapes = {name: value.shape[1:] for name, value in values.items()}
            sizes = [math.prod(shape) for shape in self._shapes.values()]
            self._starts = dict(zip(values, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))
        table = np.concatenate([value.reshape(len(value), -1) for value in values.values()], axis=1)
        if self.moments is None:
            size = table.shape[1]
            self.moments, table = SampleMoments(1, table[0], np.zeros((size, size))), table[1:]
        self.moments = self.moments.extended(table)

    def _index(self, name: str) -> np.ndarray:
        shape, start = self._shapes[name], self._starts[name]
        return np.asarray(start + np.arange(math.prod(shape)).reshape(shape))

    def _done(self) -> SampleMoments:
        if self.moments is None or self.moments.count < 2:
            raise Incomplete("fewer than 2 networks have no standard error: ask for more networks")
        return self.moments

    @property
    def rarest(self) -> int:
        """Networks that have the rarest of the statistics; all of them, if none may be lacking."""
        return min((int(self.having(name).min()) for name in self._optional), default=self.count)

    def having(self, name: str) -> np.ndarray:
        """Networks that have this statistic, for each of its elements."""
        if self.moments is None or name not in self._optional:
            return np.full(self._shapes.get(name, ()), self.count)
        share = self.moments.mean[self._index(_indicator(name))]
        # A whole number, which the mean of ones and zeros gives but for rounding.
        return np.asarray(np.rint(share * self.count), dtype=int)

    def mean(self, name: str) -> Pair:
        """Mean over the networks that have it and its standard error, each of the statistic's shape."""
        value, square, _ = self._deviations(name)
        have = self.having(name)
        return value, np.sqrt(square / (have - 1) / have)

    def _deviations(self, name: str, others: Any = ()) -> tuple[Any, Any, Any]:
        """Mean of one statistic, the sum of its squared deviations, and that of their products with others.

        The indices of others have one axis more than the statistic.
        """
        moments, index = self._done(), self._index(name)
        value, comoment = moments.mean[index], moments.comoment
        square, cross = comoment[index, index], comoment[index[..., None], others]
        if name in self._optional:
            self.require(name)
            # What deviates is DX − D·mean: nothing, of a network that has none.
            has = self._index(_indicator(name))
            value = value / moments.mean[has]
            square = square - 2 * value * comoment[index, has] + value**2 * comoment[has, has]
            cross = cross - value[..., None] * comoment[has[..., None], others]
        return value, np.maximum(square, 0), cross

    def require(self, name: str) -> None:
        """Raise `Incomplete` unless at least two networks have this statistic."""
        if (have := int(self.having(name).min())) < 2:
            raise Incomplete(
                f"{have} of {self.count} networks have a {_words(name)}, the others no flip or no active "
                "unit: raise the rate, the sizes or the number of networks"
            )

    def ratio(self, numerator: str, denominator: str, among: str | None = None) -> Pair:
        """Ratio of the two means, element by element, with its delta-method standard error.

        Both vanish in networks without the statistic `among`: what they do not tell makes no error smaller,
        and of the others as many count as `carrying` says.
        """
        moments = self._done()
        self.require(among or numerator)
        top, bottom = np.broadcast_arrays(self._index(numerator), self._index(denominator))
        if np.any(moments.mean[bottom] == 0):
            raise Incomplete(
                f"the mean {_words(denominator)} is 0, so that its ratio is undefined: "
                "raise the width, the rate or the number of networks"
            )
        ratio = moments.mean[top] / moments.mean[bottom]
        square = (
            moments.comoment[top, top]
            - 2 * ratio * moments.comoment[top, bottom]
            + ratio**2 * moments.comoment[bottom, bottom]
        )
        count = self.carrying(numerator, denominator, among)
        # Rounding may leave a little less than nothing where numerator and denominator are proportional.
        variance = np.maximum(square, 0) / ((count - 1) * count)
        return ratio, np.sqrt(variance) / np.abs(moments.mean[bottom] * (moments.count / count))

    def carrying(self, numerator: str, denominator: str, among: str | None = None) -> np.ndarray:
        """Networks behind the ratio of two means, for each of its elements: as many as have the statistic.

        Where some have none, a few hold most of the flips, and the ratio is theirs: then Kish's number,
        (Σ y)²/Σ y², of equal networks that would scatter as much, by the numerator or the denominator,
        whichever has fewer.
        """
        moments, have = self._done(), self.having(among or numerator)
        equal = []
        for index in np.broadcast_arrays(self._index(numerator), self._index(denominator)):
            square = moments.mean[index] ** 2
            scatter = moments.comoment[index, index] / moments.count
            equal.append(moments.count * square / np.where(square > 0, square + scatter, 1.0))
        fewest = np.clip(np.minimum(*equal), 2, have)
        return np.where(have < moments.count, fewest, have)

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
        means, square, cross = self._deviations(name, columns)
        values, standard_errors = np.empty(index.shape), np.empty(index.shape)
        # What a network has weighs more where others have nothing.
        weight = count / self.having(name)
        for element in np.ndindex(index.shape):
            c, of_controls = columns[element], weight[element] * cross[element]
            # Least squares: a control that does not vary, or that repeats another, is no singular matrix.
            slope = np.linalg.lstsq(moments.comoment[np.ix_(c, c)], of_controls, rcond=None)[0]
            rest = float(weight[element] ** 2 * square[element] - slope @ of_controls)
            residual = max(rest, 0.0) / (count - 1 - used)
            values[element] = means[element] - slope @ moments.mean[c]
            standard_errors[element] = math.sqrt(residual / count * (count - 2) / (count - used - 2))
        return values, standard_errors


def _require_finite(first: int, values: Mapping[str, np.ndarray]) -> None:
    bad = [
        (int(np.argmin(finite)), name)
        for name, value in values.items()
        if not (finite := np.isfinite(value).reshape(len(value), -1).all(axis=1)).all()
    ]
    if bad:
        network, name = min(bad)
        raise Incomplete(
            f"network {first + network} has no finite {_words(name)}: lower the scale of the "
            "perturbation, or check the activation"
        )


def _indicator(name: str) -> str:
    return f"has {name}"


def _words(name: str) -> str:
    return name.replace("_", " ")
