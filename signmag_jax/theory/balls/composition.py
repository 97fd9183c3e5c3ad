"""Networks of layers in ball arithmetic: second moments and means of the clean and the perturbed entries."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from flint import arb, fmpq

from .activations import second_moments
from .pairs import Pair, flip, matched
from .second_moments import SecondMoments
from .weights import Weights

NONE: Pair = (arb(1), arb(1))


class TwoMoments(NamedTuple):
    """E g and E g² of numbers that do not change."""

    mean: fmpq
    square: fmpq


class Dense(NamedTuple):
    """A matrix: its own error, or the law of its weights, by which it takes the given one."""

    own: Pair | None
    weights: Weights | None
    scale: fmpq
    bias: fmpq


class Activated(NamedTuple):
    """An activation by name."""

    name: str


class Norm(NamedTuple):
    """RMSNorm, or LayerNorm if it takes means away."""

    centred: bool
    gain: TwoMoments
    eps: fmpq
    bias: TwoMoments


class Residual(NamedTuple):
    """y + f(y)."""

    branch: list


class Gate(NamedTuple):
    """a(y) ∘ b(y)."""

    gate: list
    up: list


Given = Callable[[Weights | None], Pair]


def network_ratio(rate: fmpq, network: list, difference: str = "linear") -> arb:
    """What the flips cost over what the shift costs, in a network of layers."""
    arms: list[Given] = [lambda _: flip(rate), partial(matched, rate)]
    above, below = (_cost(network, given, difference) for given in arms)
    return above / below


def _cost(layers: list, given: Given, difference: str) -> arb:
    one, none = arb(1), arb(0)
    before = _run(layers[:-1], SecondMoments(one, one, one, none, none), given)
    last = layers[-1]
    if difference == "finite":
        after = _step(last, before, given)
        return 1 - after.cross**2 / (after.own * after.other)
    if isinstance(last, Norm):
        y = _centred(before) if last.centred else before
        # The norm's derivative takes the part along y away, but for what eps leaves of it.
        root, radial = y.own + last.eps, (y.cross - y.own) ** 2 / y.own
        return last.gain.square * (y.transverse + radial * (last.eps / root) ** 2) / root
    return _step(last, before, given).transverse


def _run(layers: list, y: SecondMoments, given: Given) -> SecondMoments:
    for layer in layers:
        y = _step(layer, y, given)
    return y


def _step(layer: object, y: SecondMoments, given: Given) -> SecondMoments:
    if isinstance(layer, Dense):
        c, v = layer.own if layer.own is not None else given(layer.weights)
        # Symmetric weights, and biases of mean 0: behind a matrix no entry has a mean.
        size, shift = arb(layer.scale) ** 2, arb(layer.bias) ** 2
        none = arb(0)
        return SecondMoments(
            size * y.own + shift, size * v * y.other + shift, size * c * y.cross + shift, none, none
        )
    if isinstance(layer, Activated):
        # Gaussian entries: they are told by c and v of a clean entry of variance 1, at their scale.
        return second_moments(layer.name, y.cross / y.own, y.other / y.own, y.own.sqrt())
    if isinstance(layer, Norm):
        return _normalised(layer, _centred(y) if layer.centred else y)
    if isinstance(layer, Residual):
        return _added(y, _run(layer.branch, y, given))
    assert isinstance(layer, Gate)
    # A matrix of its own in one factor makes them independent: moments multiply.
    a, b = _run(layer.gate, y, given), _run(layer.up, y, given)
    return SecondMoments(*(p * q for p, q in zip(a, b, strict=True)))


def _normalised(layer: Norm, y: SecondMoments) -> SecondMoments:
    own, other = (y.own + layer.eps).sqrt(), (y.other + layer.eps).sqrt()
    gain, square = layer.gain
    after = SecondMoments(
        square * y.own / own**2,
        square * y.other / other**2,
        square * y.cross / (own * other),
        gain * y.mean / own,
        gain * y.other_mean / other,
    )
    mean, power = arb(layer.bias.mean), arb(layer.bias.square)
    return _added(after, SecondMoments(power, power, power, mean, mean))


def _added(a: SecondMoments, b: SecondMoments) -> SecondMoments:
    """Moments of a sum of independent vectors."""
    return SecondMoments(
        a.own + b.own + 2 * a.mean * b.mean,
        a.other + b.other + 2 * a.other_mean * b.other_mean,
        a.cross + b.cross + a.mean * b.other_mean + a.other_mean * b.mean,
        a.mean + b.mean,
        a.other_mean + b.other_mean,
    )


def _centred(y: SecondMoments) -> SecondMoments:
    m, other, none = y.mean, y.other_mean, arb(0)
    return SecondMoments(y.own - m * m, y.other - other * other, y.cross - m * other, none, none)
