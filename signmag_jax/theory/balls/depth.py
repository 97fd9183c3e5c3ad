"""Chains of blocks in ball arithmetic."""

from collections.abc import Callable
from typing import Any

from flint import arb, fmpq

from .activations import second_moments
from .pairs import Pair, flip, matched
from .weights import Weights

State = Any
Kernel = Callable[[arb, arb], Any]


def _plain(pair: Pair, state: State, kernel: Kernel) -> tuple[State, arb]:
    c, v = pair
    q = kernel(c * (arb(1) if state is None else state), v).cosine
    return q, 1 - q**2


def _renormalised(pair: Pair, state: State, kernel: Kernel) -> tuple[State, arb]:
    c, v = pair
    # Both streams have power 1: their cosine is their covariance.
    before = arb(1) if state is None else state
    out = kernel(c * before, v)
    q = (before + out.cross) / ((1 + out.own) * (1 + out.other)).sqrt()
    return q, 1 - q**2


def _residual(pair: Pair, state: State, kernel: Kernel) -> tuple[State, arb]:
    c, v = pair
    power, other, cross, mean, mean_other = state or (arb(1), arb(1), arb(1), arb(0), arb(0))
    # At the start the cosine is exactly 1; written as a quotient its ball would cross 1.
    cosine = cross / (power * other).sqrt() if state else arb(1)
    out = kernel(c * cosine, v)
    cross = cross + out.cross + mean * out.other_mean + mean_other * out.mean
    power = power + out.own + 2 * mean * out.mean
    other = other + out.other + 2 * mean_other * out.other_mean
    mean, mean_other = mean + out.mean, mean_other + out.other_mean
    return (power, other, cross, mean, mean_other), other - cross**2 / power


_STEPS: dict[str, Callable[..., tuple[State, arb]]] = {
    "plain": _plain,
    "renormalised": _renormalised,
    "residual": _residual,
}


def chain_ratios(
    rate: fmpq,
    depth: fmpq,
    chain: str = "plain",
    layers: str = "all",
    activation: str = "relu",
    scale: fmpq | None = None,
    weights: Weights | list[Weights | None] | None = None,
) -> list[arb]:
    """One ratio a layer."""
    kernel = lambda c, v: second_moments(activation, c, v, scale)  # noqa: E731
    count, columns = int(depth), []
    each = weights if isinstance(weights, list) else [weights] * count
    for pairs in ([flip(rate)] * count, [matched(rate, one) for one in each]):
        state, column = None, []
        for layer, pair in enumerate(pairs):
            here = pair if layers == "all" or layer == 0 else (arb(1), arb(1))
            state, value = _STEPS[chain](here, state, kernel)
            column.append(value)
        columns.append(column)
    return [a / b for a, b in zip(*columns, strict=True)]


def depth_ratios(
    rate: fmpq,
    depth: fmpq,
    residual: bool = False,
    activation: str = "relu",
    layers: str = "all",
    scale: fmpq | None = None,
    weights: Weights | list[Weights | None] | None = None,
) -> list[arb]:
    """One ratio a layer."""
    return chain_ratios(rate, depth, "residual" if residual else "plain", layers, activation, scale, weights)
