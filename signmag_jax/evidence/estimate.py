"""The one shape in which a number leaves theory, simulation or measurement."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from .errors import invalid
from .numbers import with_error
from .result import Result

E = TypeVar("E", bound="Estimate")


@dataclass(frozen=True, eq=False)
class Estimate(Result):
    """A number with everything that is needed to judge it.

    Args:
      value: the number, or an array of numbers.
      standard_error: of the same shape; 0 for an exact value.
      n: independent samples behind it (0 for an exact value).
      unit: "1" for a pure number, "nat/token" for a loss.
      estimator: how it was obtained, by name ("mean of per-network ratios", "closed form").
      provenance: what is needed to obtain it again.
      enclosure: for an exact value, the rigorous ball as decimal text (midpoint, radius).

    Raises:
      InvalidInput: if a value is NaN or infinite, an error negative, or the shapes differ.
    """

    value: Any
    standard_error: Any
    n: int
    unit: str = "1"
    estimator: str = "unnamed"
    provenance: Mapping[str, Any] = field(default_factory=dict)
    enclosure: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        value = np.asarray(self.value, dtype=np.float64)
        error = np.asarray(self.standard_error, dtype=np.float64)
        if value.shape != error.shape:
            raise invalid(
                "value.shape == standard_error.shape",
                (value.shape, error.shape),
                "give one standard error for each value",
            )
        if not np.all(np.isfinite(value)) or not np.all(np.isfinite(error)):
            raise invalid(
                "value and standard_error finite",
                (self.value, self.standard_error),
                "an undefined number has no Estimate; report it as UNRESOLVED with the reason",
            )
        if np.any(error < 0):
            raise invalid("standard_error >= 0", self.standard_error, "pass a standard deviation of the mean")
        scalar = value.ndim == 0
        object.__setattr__(self, "value", float(value) if scalar else value)
        object.__setattr__(self, "standard_error", float(error) if scalar else error)

    @classmethod
    def of_samples(
        cls: type[E],
        samples: Sequence[float] | np.ndarray,
        *,
        unit: str = "1",
        estimator: str,
        provenance: Mapping[str, Any] | None = None,
    ) -> E:
        """Mean of independent samples along the first axis, with the standard error of that mean."""
        array = np.asarray(samples, dtype=np.float64)
        if array.shape[:1] < (2,):
            raise invalid("at least 2 samples", array.shape, "one sample has no standard error")
        error = array.std(axis=0, ddof=1) / math.sqrt(array.shape[0])
        return cls(array.mean(axis=0), error, array.shape[0], unit, estimator, provenance or {})

    @classmethod
    def exact(
        cls: type[E],
        value: Any,
        *,
        unit: str = "1",
        estimator: str = "closed form",
        provenance: Mapping[str, Any] | None = None,
        enclosure: tuple[str, str] | None = None,
    ) -> E:
        """A value without sampling error."""
        return cls(value, np.zeros(np.shape(value)), 0, unit, estimator, provenance or {}, enclosure)

    def distance(self, other: Estimate) -> Any:
        """(self − other) in combined standard errors: 0 where equal, `inf` where exact values differ."""
        difference = np.asarray(self.value) - np.asarray(other.value)
        combined = np.hypot(self.standard_error, other.standard_error)
        with np.errstate(divide="ignore", invalid="ignore"):
            # Equal exact values, 0/0, agree; different ones are infinitely far apart.
            distance = np.where(difference == 0, 0.0, difference / combined)
        return float(distance) if np.ndim(distance) == 0 else distance

    def interval(self, k: float = 1.96) -> tuple[Any, Any]:
        """`value ± k · standard_error`, with k widened from the normal to Student's quantile of n − 1.

        Where n < 2 the value is exact, or its samples are not known, and k stays.
        """
        from scipy import stats

        if self.n >= 2:
            k = float(stats.t.isf(stats.norm.sf(k), self.n - 1))
        return self.value - k * self.standard_error, self.value + k * self.standard_error

    def cells(self, name: str, at: Any = ()) -> dict[str, float]:
        """One value and its error as cells of a table, NAME and NAME_se."""
        pair = np.asarray(self.value)[at], np.asarray(self.standard_error)[at]
        return dict(zip((name, f"{name}_se"), map(float, pair), strict=True))

    def __str__(self) -> str:
        if np.ndim(self.value):
            number = f"{' × '.join(map(str, np.shape(self.value)))} values"
        else:
            number = with_error(self.value, self.standard_error)
        return f"{number} {self.unit} (n = {self.n}; {self.estimator})"

    def summary(self) -> dict[str, str]:
        """The value in one line."""
        return {"value": str(self)}

    def to_json(self) -> dict[str, Any]:
        """A strict-JSON object; `from_json` reads it back."""
        plain = {
            "value": np.asarray(self.value).tolist(),
            "standard_error": np.asarray(self.standard_error).tolist(),
            "n": int(self.n),
            "unit": self.unit,
            "estimator": self.estimator,
            "provenance": dict(self.provenance),
        }
        if self.enclosure is not None:
            plain["enclosure"] = {"midpoint": self.enclosure[0], "radius": self.enclosure[1]}
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Estimate:
        """The inverse of `to_json`."""
        ball = plain.get("enclosure")
        return cls(
            plain["value"],
            plain["standard_error"],
            plain["n"],
            plain["unit"],
            plain.get("estimator", "unnamed"),
            plain.get("provenance", {}),
            None if ball is None else (ball["midpoint"], ball["radius"]),
        )
