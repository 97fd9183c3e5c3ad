"""Smooth activations on a Gaussian pair: the trapezoidal rule with a rigorous bound of its error.

For f analytic in |Im z| <= d the rule of step h errs by at most (∫|f(x+id)| + |f(x−id)| dx)/(e^(2πd/h) − 1).
It is used along one axis of the plane after the other. All activations here obey |f(z)| <= 1 + |z| in their
strip, and |φ(x+id)| = φ(x)e^(d²/2); the rest is Gaussian moments and the Cauchy–Schwarz inequality. With
h <= ½ and X >= 2, Σ hφ(x_i)|x_i|^k <= 2 for k <= 2, and its part beyond X is at most T = 2φ(X)(X + 1/X).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from flint import arb, ctx, fmpq

from signmag_jax.evidence import Incomplete

from .second_moments import SecondMoments

# Half-widths of the strips are at most this: beyond, e^(d²/2) costs more than the strip gains.
WIDEST = 8.0
GUARD = 12
MOST_BITS = 512
MOST_NODES = 1_000_000


@dataclass(frozen=True)
class Smooth:
    """An activation z/2·odd + f(z) with f even or odd, analytic and at most 1 + |z| for |Im z| <= strip.

    Args:
      function: f on a real ball.
      strip: half-width, as a rational share of π.
      linear: the odd linear part that goes with an even f: 1/2 for SiLU.
      even: whether f is even, so that its mean does not vanish.
    """

    function: Callable[[arb], arb]
    strip: fmpq
    linear: fmpq
    even: bool


SMOOTH: dict[str, Smooth] = {
    # silu(z) = z/2 + (z/2)tanh(z/2), and |tanh(z/2)| <= 1 for |Im z| <= π/2.
    "silu": Smooth(lambda z: z / 2 * (z / 2).tanh(), fmpq(1, 2), fmpq(1, 2), True),
    # |tanh z| <= 1 for |Im z| <= π/4.
    "tanh": Smooth(lambda z: z.tanh(), fmpq(1, 4), fmpq(0), False),
}


def smooth(activation: Smooth, c: arb, v: arb, scale: arb) -> SecondMoments:
    """The pair's moments: a sum over the line for each variance, and one over the plane.

    Raises:
      Incomplete: beyond 512 bits, or where it takes more than a million nodes.
    """
    if ctx.prec > MOST_BITS:
        raise Incomplete(f"a quadrature of more than {MOST_BITS} bits: ask for fewer digits")
    root = (v - c**2).nonnegative_part().sqrt()
    linear = activation.linear**2 * scale**2
    own, mean = _line(activation, scale)
    other, other_mean = _line(activation, scale * v.sqrt()) if v != 0 else (arb(0), arb(0))
    cross = _plane(activation, c, root, scale)
    return SecondMoments(own + linear, other + linear * v, cross + linear * c, mean, other_mean)


def _step(strip: float) -> tuple[fmpq, float, float]:
    """A step, half-width and reach for this precision."""
    bits = (ctx.prec + GUARD) * math.log(2)
    # The largest useful half-width balances e^(d²/2) and e^(−2πd/h).
    d = min(0.999 * strip, WIDEST, math.sqrt(2 * bits))
    h = min(0.5, 2 * math.pi * d / (bits + d**2 / 2))
    # 20 bits of it: a step of few bits keeps the nodes exact and short.
    part, exponent = math.frexp(h)
    return fmpq(int(part * 2**20)) * fmpq(2) ** (exponent - 20), d, math.sqrt(2 * bits) + 2


def _nodes(step: fmpq, reach: float) -> list[tuple[arb, arb]]:
    """x_i and hφ(x_i) for i >= 0."""
    count = math.ceil(reach * float(step.q) / float(step.p))
    _check_nodes(float(count))
    unit = arb(step) / (2 * arb.pi()).sqrt()
    points = [arb(step * i) for i in range(count + 1)]
    return [(x, unit * (-(x**2) / 2).exp()) for x in points]


def _check_nodes(count: float) -> None:
    if count > MOST_NODES:
        raise Incomplete(
            f"a quadrature of {count:.0e} nodes, of which {MOST_NODES:.0e} take ten seconds: take fewer "
            "digits, a smaller scale·√v, or the float64 law"
        )


def _tail(nodes: list[tuple[arb, arb]], step: fmpq) -> arb:
    """T at the last node."""
    last, weight = nodes[-1]
    return 2 * weight / step * (last + 1 / last)


def _discretisation(d: float, step: fmpq) -> arb:
    """2e^(d²/2)/(e^(2πd/h) − 1)."""
    wide = arb(d)
    return 2 * (wide**2 / 2).exp() / ((2 * arb.pi() * wide / step).exp() - 1)


def _line(activation: Smooth, scale: arb) -> tuple[arb, arb]:
    """E f(scale·x)² and E f(scale·x)."""
    step, d, reach = _step(float(activation.strip) * math.pi / float(scale.upper()))
    nodes = _nodes(step, reach)
    square, mean = arb(0), arb(0)
    for i, (x, weight) in enumerate(nodes):
        value, twice = activation.function(scale * x), 1 if i == 0 else 2
        square += twice * weight * value**2
        mean += twice * weight * value
    # E(1 + |z|)² <= 2 + 2E|z|² on the lines |Im x| = d, and (1 + s|x|)² <= (1 + s)²x² beyond the last node.
    size = 2 * (1 + scale**2 * (1 + arb(d) ** 2))
    error = _discretisation(d, step) * size + (1 + scale) ** 2 * _tail(nodes, step)
    square, mean = square + _within(error), mean + _within(error)
    return square, mean if activation.even else arb(0)


def _plane(activation: Smooth, c: arb, root: arb, scale: arb) -> arb:
    """E f(scale·x)f(scale·(cx + root·y)) over the plane; both signs of (x, y) weigh alike."""
    width, size = float(activation.strip) * math.pi / float(scale.upper()), float(abs(c).upper())
    step, d, reach = _step(width / max(1.0, size))
    spread = float(root.upper())
    cross_step, cross_d, cross_reach = _step(width / spread if spread > width / WIDEST else WIDEST)
    count = reach * cross_reach / float(step) / float(cross_step)
    _check_nodes(count)
    nodes, cross = _nodes(step, reach), _nodes(cross_step, cross_reach)
    moves = [(root * y, weight) for y, weight in cross]
    total = arb(0)
    for i, (x, weight) in enumerate(nodes):
        inner = arb(0)
        for k, (move, part) in enumerate(moves):
            value = activation.function(scale * (c * x + move))
            if k:
                value += activation.function(scale * (c * x - move))
            inner += part * value
        total += (1 if i == 0 else 2) * weight * activation.function(scale * x) * inner
    return total + _within(_plane_error(c, root, scale, (d, step, nodes), (cross_d, cross_step, cross)))


def _plane_error(c: arb, root: arb, s: arb, along: tuple, across: tuple) -> arb:
    size, v = abs(c), c**2 + root**2
    d, step, nodes = along
    mine, theirs = 1 + s**2 * (1 + arb(d) ** 2), 1 + s**2 * (v + c**2 * arb(d) ** 2)
    # Cauchy–Schwarz on the lines |Im x| = d.
    first = _discretisation(d, step) * 2 * (mine * theirs).sqrt()
    e, cross_step, cross = across
    lifted = 1 + s * root * (1 + arb(e) ** 2).sqrt()
    # Σ_i hφ(x_i)(1 + s|x_i|)(lifted + s|c||x_i|), with each Σ hφ|x|^k at most 2.
    second = _discretisation(e, cross_step) * 2 * (1 + s) * (lifted + s * size)
    beyond = 4 * (1 + s) * (1 + s * size + s * root) * (_tail(nodes, step) + _tail(cross, cross_step))
    return first + second + beyond


def _within(bound: arb) -> arb:
    return arb(0, bound.upper())
