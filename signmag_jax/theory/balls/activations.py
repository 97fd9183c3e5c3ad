"""Moments of an activation on a Gaussian pair in ball arithmetic: textbook kernels, or bounded quadrature."""

from collections.abc import Callable
from typing import NamedTuple

from flint import arb, fmpq

from signmag_jax.evidence import invalid

from .quadrature import SMOOTH, smooth
from .second_moments import SecondMoments

LEAKY_SLOPE = fmpq(*(0.01).as_integer_ratio())
"""What the float64 law computes with."""


class Angle(NamedTuple):
    """√(v − c²) and acos(c/√v)."""

    root: arb
    theta: arb


def angle(c: arb, v: arb) -> Angle:
    """The pair's angle; sound, if wide, where the two are parallel."""
    # True values of v − c² are never negative, whatever rounding has left in the ball.
    root = (v - c**2).nonnegative_part().sqrt()
    # By atan: a ball of c/√v that crosses 1 has no acos.
    if c > 0:
        return Angle(root, (root / c).atan())
    if c < 0:
        return Angle(root, arb.pi() + (root / c).atan())
    return Angle(root, (c / v.sqrt()).acos())


def kappa(c: arb, v: arb) -> arb:
    """κ = (√(v−c²) + (π−θ)c)/(2π): the degree-1 arc-cosine kernel."""
    root, theta = angle(c, v)
    return (root + (arb.pi() - theta) * c) / (2 * arb.pi())


def leaky(slope: fmpq) -> Callable[[arb, arb, arb], SecondMoments]:
    """relu(z) − slope·relu(−z): E hh' = (1 + slope²)κ(c) − 2 slope κ(−c)."""

    def moments(c: arb, v: arb, scale: arb) -> SecondMoments:
        own, unit = arb(1 + slope**2) / 2, scale * (1 - slope) / (2 * arb.pi()).sqrt()
        cross = (1 + slope**2) * kappa(c, v)
        if slope != 0:
            cross = cross - 2 * slope * kappa(-c, v)
        square = scale**2
        return SecondMoments(square * own, square * own * v, square * cross, unit, unit * v.sqrt())

    return moments


def identity(c: arb, v: arb, scale: arb) -> SecondMoments:
    """z itself."""
    return SecondMoments(scale**2, scale**2 * v, scale**2 * c, arb(0), arb(0))


def relu_squared(c: arb, v: arb, scale: arb) -> SecondMoments:
    """relu(z)²: the degree-2 arc-cosine kernel (3c√(v−c²) + (π−θ)(v + 2c²))/(2π)."""
    root, theta = angle(c, v)
    cross = (3 * c * root + (arb.pi() - theta) * (v + 2 * c**2)) / (2 * arb.pi())
    square, fourth = scale**2 / 2, scale**4
    return SecondMoments(fourth * 3 / 2, fourth * v**2 * 3 / 2, fourth * cross, square, square * v)


def gelu(c: arb, v: arb, scale: arb) -> SecondMoments:
    """zΦ(z), by Stein's lemma from the orthant probability E ΦΦ' and E φφ' = 1/(2π√det(1 + S))."""
    first, second, both = scale**2, scale**2 * v, scale**2 * c
    return SecondMoments(
        _gelu_kernel(first, first, first),
        _gelu_kernel(second, second, second),
        _gelu_kernel(first, second, both),
        first / (2 * arb.pi() * (1 + first)).sqrt(),
        second / (2 * arb.pi() * (1 + second)).sqrt(),
    )


def _gelu_kernel(first: arb, second: arb, both: arb) -> arb:
    a, b = 1 + first, 1 + second
    determinant = a * b - both**2
    gates = arb(fmpq(1, 4)) + (both / determinant.sqrt()).atan() / (2 * arb.pi())
    densities = 1 / (2 * arb.pi() * determinant.sqrt())
    # E[z z'ΦΦ'] = s₁₁ E[z'φΦ'] + s₁₂(E ΦΦ' + E[z'Φφ']).
    return first * (second - both**2 / a) * densities + both * (gates + both / b * densities)


def erf(c: arb, v: arb, scale: arb) -> SecondMoments:
    """(2/π)·asin(2s_12/√((1 + 2s_11)(1 + 2s_22))) for the covariance s (Williams 1997)."""
    first, second, both = scale**2, scale**2 * v, scale**2 * c
    kernel = lambda a, b, m: 2 / arb.pi() * (2 * m / ((1 + 2 * a) * (1 + 2 * b)).sqrt()).asin()  # noqa: E731
    none = arb(0)
    return SecondMoments(
        kernel(first, first, first), kernel(second, second, second), kernel(first, second, both), none, none
    )


CLOSED: dict[str, Callable[[arb, arb, arb], SecondMoments]] = {
    "relu": leaky(fmpq(0)),
    "leaky_relu": leaky(LEAKY_SLOPE),
    "relu_squared": relu_squared,
    "identity": identity,
    "gelu": gelu,
    "erf": erf,
}


def second_moments(activation: str, c: arb, v: arb, scale: fmpq | arb | None = None) -> SecondMoments:
    """E h², E h'², E hh' and the means, for pre-activations of covariance scale²·[[1, c], [c, v]].

    Raises:
      InvalidInput: for an activation without a ball.
    """
    size = arb(1 if scale is None else scale)
    if activation in CLOSED:
        return CLOSED[activation](c, v, size)
    if activation in SMOOTH:
        return smooth(SMOOTH[activation], c, v, size)
    raise invalid(f"activation in {(*CLOSED, *SMOOTH)} for an enclosure", activation, "choose one of these")
