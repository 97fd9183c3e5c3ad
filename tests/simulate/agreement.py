"""A configuration of an experiment, the laws that its numbers follow, and their nearest wrong answers.

A case runs at one width against the law of that width, or at two and is extrapolated in 1/width to the law
of infinite width; what is left is of order 1/n².
"""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from signmag_jax import simulate

AGREES, TELLS_APART = 4.0, 6.0
BOTH_RATES = (0.1, 0.3)

Law = Callable[[], Any]


@dataclass(frozen=True, eq=False)
class Case:
    """One configuration of an experiment.

    Args:
      experiment: its name in the registry.
      label: what is particular.
      expected: for a field of the result, dots for nested ones, its law and the nearest wrong answer.
      widths: one, or two to be extrapolated.
      networks: at each.
      arguments: of the experiment; those in `scaled` are multiples of the width.
      fast: whether it runs in the fast suite.
    """

    experiment: str
    label: str
    expected: Mapping[str, tuple[Law, Law]]
    widths: tuple[int, ...] = (48, 96)
    networks: int = 400
    arguments: Mapping[str, Any] = field(default_factory=dict)
    scaled: Mapping[str, int] = field(default_factory=dict)
    fast: bool = False

    def __str__(self):
        return f"{self.experiment}-{self.label}"

    @functools.cached_property
    def results(self):
        """Of a run at each width."""
        run = functools.partial(
            simulate.experiment(self.experiment), networks=self.networks, **self.arguments
        )
        return [
            run(width=n, seed=n, **{name: times * n for name, times in self.scaled.items()})
            for n in self.widths
        ]

    def laws(self):
        return {name: np.asarray(law(), dtype=float) for name, (law, _) in self.expected.items()}

    def compared(self, laws):
        """Name, distance from its law in standard errors, and whether these tell the rival apart."""
        for name, law in laws.items():
            value, error = extrapolated([nested(one, name) for one in self.results], self.widths)
            rival = np.asarray(self.expected[name][1](), dtype=float)
            assert value.shape == law.shape == rival.shape
            yield name, np.abs(value - law) / error, TELLS_APART * error < np.abs(law - rival)


def within(estimate, value, k=4.0):
    """Whether every element is within so many of its standard errors."""
    return bool(np.all(np.abs(estimate.value - value) <= k * np.asarray(estimate.standard_error)))


def nested(result, name):
    return functools.reduce(getattr, name.split("."), result)


def extrapolated(estimates, widths):
    """The value at 1/n = 0 of a line through two widths; of one width, what it is."""
    weights = [math.prod(n / (n - other) for other in widths if other != n) for n in widths]
    pairs = [(np.asarray(one.value), np.asarray(one.standard_error)) for one in estimates]
    value = sum(w * value for w, (value, _) in zip(weights, pairs, strict=True))
    variance = sum((w * error) ** 2 for w, (_, error) in zip(weights, pairs, strict=True))
    return value, np.sqrt(variance)
