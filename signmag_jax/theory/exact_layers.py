"""The layers of a network with exact numbers, as its ball wants them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from flint import fmpq

from signmag_jax.evidence import invalid

from .activations import ACTIVATIONS
from .balls import composition as ball
from .composition import branches, flat, integrals, leaves
from .layers import GIVEN, Activated, Dense, RMSNorm
from .network import Network, Residual

MOST_INTEGRALS = 64
"""Numerical integrals that a network may hold: each takes some hundredths of a second."""

Read = Callable[[str, Any], Any]


class Typed(float):
    """A decimal as it was typed: a float to whoever checks it, but its own ratio of integers.

    Args:
      text: of the number.
    """

    exact: Fraction

    def __new__(cls, text: str) -> Typed:
        """The nearest float, which remembers what it stands for."""
        self = super().__new__(cls, text)
        self.exact = Fraction(text)
        return self

    def as_integer_ratio(self) -> tuple[int, int]:
        """The ratio of the decimal as it was typed, which `Fraction` reads."""
        return self.exact.as_integer_ratio()


def exact_layers(network: Network, number: Read, perturbation: Read, weights: Read) -> Callable[[], list]:
    """What gives the layers of a network at the precision of the moment.

    Args:
      network: of numbers that stand for themselves.
      number, perturbation, weights: how these are read; what the last two give is called.

    Raises:
      InvalidInput: for a network that has no ratio, or an activation of one's own.
    """
    network.gaussian(False)
    if all(getattr(layer, "perturbation", None) is None for layer in leaves(network)):
        raise invalid("a difference to compare", 0.0, "perturb a Dense before what is asked about")
    if (count := integrals(network)) > MOST_INTEGRALS:
        raise invalid(f"at most {MOST_INTEGRALS} integrals for an enclosure", count, "take the float64 law")
    # Functions, not layers: a ball keeps the radius it was made with, so that more digits need new ones.
    layers = [_exact(layer, number, perturbation, weights) for layer in flat(network)]
    return lambda: [layer() for layer in layers]


def _exact(layer: Any, number: Read, perturbation: Read, weights: Read) -> Callable[[], Any]:
    if isinstance(layer, Dense):
        return _dense(layer, number, perturbation, weights)
    if isinstance(layer, Activated):
        name = layer.activation.name
        if ACTIVATIONS.get(name) is not layer.activation:
            raise invalid(f"activation in {tuple(ACTIVATIONS)} for an enclosure", name, "choose one of these")
        return lambda: ball.Activated(name)
    if isinstance(layer, RMSNorm):
        moments = [_two_moments(n, getattr(layer, n, 0), number) for n in ("gain", "bias")]
        # Rational throughout: one norm serves every precision.
        norm = ball.Norm(hasattr(layer, "bias"), moments[0], number("eps", layer.eps), moments[1])
        return lambda: norm
    inside = [[_exact(one, number, perturbation, weights) for one in flat(b)] for b in branches(layer)]
    kind = ball.Residual if isinstance(layer, Residual) else ball.Gate
    return lambda: kind(*([one() for one in branch] for branch in inside))


def _dense(layer: Dense, number: Read, perturbation: Read, weights: Read) -> Callable[[], ball.Dense]:
    scale, bias = number("scale", layer.scale), number("bias", layer.bias)
    law, own = weights("weights", layer.weights), layer.perturbation
    if own is None:
        return lambda: ball.Dense(ball.NONE, None, scale, bias)
    if isinstance(own, str) and own == GIVEN:
        return lambda: ball.Dense(None, law(), scale, bias)
    error = perturbation("perturbation", own)
    return lambda: ball.Dense(error(law), None, scale, bias)


def _two_moments(name: str, numbers: Any, number: Read) -> ball.TwoMoments:
    each = [number(name, one) for one in (numbers if np.ndim(numbers) else [numbers])]
    count = fmpq(len(each))
    return ball.TwoMoments(sum(each, fmpq(0)) / count, sum((x * x for x in each), fmpq(0)) / count)
