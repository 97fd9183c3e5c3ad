"""(c, v) of the perturbations in ball arithmetic, from exact rational arguments."""

from collections.abc import Callable, Sequence
from typing import Any

from flint import arb, fmpq

from signmag_jax.evidence import invalid

from .quantisers import lloyd_max, ternary, uniform
from .weights import Weights, of

Pair = tuple[arb, arb]


def flip(rate: fmpq) -> Pair:
    """Sign flips."""
    return arb(1 - 2 * rate), arb(1)


def shift(size: arb, weights: Weights | None = None) -> Pair:
    """A magnitude shift."""
    b = of(weights).b
    return 1 + size * b, 1 + 2 * size * b + size**2


def matched(rate: fmpq, weights: Weights | None = None) -> Pair:
    """The magnitude shift of size 2√rate."""
    return shift(2 * arb(rate).sqrt(), weights)


def noise(size: fmpq) -> Pair:
    """Magnitude noise."""
    return arb(1), arb(1 + size * size)


def sign(weights: Weights | None = None) -> Pair:
    """The sign quantiser."""
    # c = v: at the least-squares scale b the error is orthogonal to what is kept.
    return of(weights).b ** 2, of(weights).b ** 2


def grouped(size: fmpq, weights: Weights | None = None) -> Pair:
    """The sign quantiser by groups of that size: b² + (1 − b²)/size."""
    b = of(weights).b
    kept = b**2 + (1 - b**2) / size
    return kept, kept


def scale(factor: fmpq) -> Pair:
    """A factor."""
    return arb(factor), arb(factor * factor)


def prune(threshold: fmpq) -> Pair:
    """Pruning: c = v = erfc(t/√2) + 2tφ(t)."""
    t = arb(threshold)
    # A weight is left as it is or becomes 0, so that w·w' = w'².
    kept = (t / arb(2).sqrt()).erfc() + 2 * t * (-(t**2) / 2).exp() / (2 * arb.pi()).sqrt()
    return kept, kept


PAIRS: dict[str, Callable[..., Pair]] = {
    "SignFlip": flip,
    "MagnitudeShift": lambda size, weights=None: shift(arb(size), weights),
    "matched_shift": matched,
    "MagnitudeNoise": noise,
    "SignQuantize": sign,
    "Grouped": grouped,
    "Ternarize": ternary,
    "Scale": scale,
    "Prune": prune,
    "UniformQuantize": uniform,
    "LloydMax": lloyd_max,
}
"""The pair of each perturbation, by the name of its class."""

OF_WEIGHTS = ("MagnitudeShift", "matched_shift", "SignQuantize", "Grouped")
"""Perturbations whose pair takes the weights' distribution."""
UNDER_WEIGHTS = (*OF_WEIGHTS, "SignFlip", "MagnitudeNoise", "Scale")
"""Perturbations whose pair is known for weights that are not Gaussian."""

Stage = tuple[str, Sequence[Any]]
"""A perturbation by its class name, with exact arguments."""


def check_composition(stages: Sequence[Stage]) -> None:
    """Refuse what has no closed form.

    Raises:
      InvalidInput: unless flips and factors anywhere, and noise at either end, surround at most one other.
    """
    core = _core(stages)
    # What the first leaves is not Gaussian, and the pair of a second one is known of Gaussian weights alone.
    if len(core) > 1:
        names = " + ".join(name for name, _ in core)
        raise invalid(
            "at most one quantiser, shift or pruning for an enclosure", names, "enclose them singly"
        )


def composed(stages: Sequence[Stage], weights: Weights | None = None) -> Pair:
    """Perturbations in turn: flips give ((1−2p)c, v), a factor (ac, a²v), noise (c, (1 + size²)v).

    Noise before a quantiser leaves E[w | w'] = w'/(1 + size²): the result is the same as after it. Of
    weights that are not Gaussian only one perturbation alone.
    """
    core = _core(stages)
    own = (weights,) if core and core[0][0] in OF_WEIGHTS else ()
    c, v = PAIRS[core[0][0]](*core[0][1], *own) if core else (arb(1), arb(1))
    for stage in stages:
        if stage not in core:
            by = PAIRS[stage[0]](*stage[1])
            c, v = by[0] * c, by[1] * v
    return c, v


def _core(stages: Sequence[Stage]) -> list[Stage]:
    # These only multiply c and v, wherever they stand; so does noise before all others and after them.
    core = [stage for stage in stages if stage[0] not in ("SignFlip", "Scale")]
    while core and core[0][0] == "MagnitudeNoise":
        core = core[1:]
    while core and core[-1][0] == "MagnitudeNoise":
        core = core[:-1]
    return core
