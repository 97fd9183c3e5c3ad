"""(c, v) of the perturbations in ball arithmetic, from exact rational arguments."""

from collections.abc import Callable, Sequence
from typing import Any

from flint import arb, fmpq

from signmag_jax.evidence import invalid

from .quantisers import lloyd_max, ternary, uniform

Pair = tuple[arb, arb]


def flip(rate: fmpq) -> Pair:
    """Sign flips."""
    return arb(1 - 2 * rate), arb(1)


def shift(size: arb) -> Pair:
    """A magnitude shift."""
    b = (2 / arb.pi()).sqrt()
    return 1 + size * b, 1 + 2 * size * b + size**2


def matched(rate: fmpq) -> Pair:
    """The magnitude shift of size 2√rate."""
    return shift(2 * arb(rate).sqrt())


def noise(size: fmpq) -> Pair:
    """Magnitude noise."""
    return arb(1), arb(1 + size * size)


def sign() -> Pair:
    """The sign quantiser."""
    return 2 / arb.pi(), 2 / arb.pi()


def scale(factor: fmpq) -> Pair:
    """A factor."""
    return arb(factor), arb(factor * factor)


def prune(threshold: fmpq) -> Pair:
    """Pruning: c = v = erfc(t/√2) + 2tφ(t)."""
    t = arb(threshold)
    kept = (t / arb(2).sqrt()).erfc() + 2 * t * (-(t**2) / 2).exp() / (2 * arb.pi()).sqrt()
    return kept, kept


PAIRS: dict[str, Callable[..., Pair]] = {
    "SignFlip": flip,
    "MagnitudeShift": lambda size: shift(arb(size)),
    "matched_shift": matched,
    "MagnitudeNoise": noise,
    "SignQuantize": sign,
    "Ternarize": ternary,
    "Scale": scale,
    "Prune": prune,
    "UniformQuantize": uniform,
    "LloydMax": lloyd_max,
}
"""By class name."""

Stage = tuple[str, Sequence[Any]]
"""Class name and exact arguments."""


def check_composition(stages: Sequence[Stage]) -> None:
    """Refuse what has no closed form.

    Raises:
      InvalidInput: unless flips and factors anywhere, and noise at either end, surround at most one other.
    """
    core = _core(stages)
    if len(core) > 1:
        names = " + ".join(name for name, _ in core)
        raise invalid(
            "at most one quantiser, shift or pruning for an enclosure", names, "enclose them singly"
        )


def composed(stages: Sequence[Stage]) -> Pair:
    """Perturbations in turn: flips give ((1−2p)c, v), a factor (ac, a²v), noise (c, (1 + size²)v).

    Noise before a quantiser leaves E[w | w'] = w'/(1 + size²): the result is the same as after it.
    """
    core = _core(stages)
    c, v = PAIRS[core[0][0]](*core[0][1]) if core else (arb(1), arb(1))
    for stage in stages:
        if stage not in core:
            by = PAIRS[stage[0]](*stage[1])
            c, v = by[0] * c, by[1] * v
    return c, v


def _core(stages: Sequence[Stage]) -> list[Stage]:
    core = [stage for stage in stages if stage[0] not in ("SignFlip", "Scale")]
    while core and core[0][0] == "MagnitudeNoise":
        core = core[1:]
    while core and core[-1][0] == "MagnitudeNoise":
        core = core[:-1]
    return core
