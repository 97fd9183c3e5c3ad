"""Smooth activations: expectations over a pair of correlated Gaussians by quadrature on the plane.

Gauss–Legendre panels along z, and for each z along what z' has besides. They narrow towards z = 0 and z' = 0,
where an activation that is steep against the spread of its input changes.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .homogeneous import kept
from .kernel import safe_sqrt
from .scaled import Scaled
from .second_moments import SecondMoments

# Beyond 9 deviations a Gaussian weighs 2e-19.
REACH = 9.0
PANELS = 6
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
# Each panel towards 0 is half as wide as the one before: as wide as it is far from 0.
RATIO = 2.0
# Below these shares of the panels' half-width 3/2 in distance, a singularity costs digits.
CLEAR, NEAR = 2.2, 1.5
# Deviations of 6e12 times the distance of the singularity.
MOST_NARROWED = 44
LEGENDRE, LEGENDRE_WEIGHTS = np.polynomial.legendre.leggauss(10)
# Many roundings of a difference add up to this share of its terms, over what `kept` allows.
ROUNDED = 0.01
# Where less than this of an error is transverse, its residual has lost more than 1e-12.
RESOLVED = 1e-7


@dataclass(frozen=True)
class Grid:
    """The panels of either axis.

    Args:
      halvings: of the panels' width everywhere.
      narrowed: panels on either side of 0, each half as wide as the next.
      reach: moves z' − z up to this are taken by Taylor's formula.
    """

    halvings: int = 0
    narrowed: int = 0
    reach: float = 0.5

    def largest(self, analytic: float) -> float:
        """The largest deviation at which an activation is resolved whose singularities are that far away."""
        return analytic / CLEAR if self.narrowed == 0 else analytic * RATIO ** (self.narrowed - 1) / NEAR

    def axis(self, centre: Array, width: Array) -> tuple[Array, Array]:
        """Nodes and Gaussian weights in a last axis, narrowing to `width` at `centre`."""
        shape, dtype = jnp.shape(centre), centre.dtype
        along = lambda row: jnp.broadcast_to(jnp.asarray(row, dtype=dtype), (*shape, len(row)))  # noqa: E731
        edges = along(np.linspace(-REACH, REACH, PANELS * 2**self.halvings + 1))
        if self.narrowed:
            steps = RATIO ** np.arange(self.narrowed)
            inner = centre[..., None] + width[..., None] * along(np.concatenate([[0.0], steps, -steps]))
            edges = jnp.sort(jnp.concatenate([edges, jnp.clip(inner, -REACH, REACH)], axis=-1))
        return panels(edges)


def panels(edges: Array) -> tuple[Array, Array]:
    """Nodes and Gaussian weights between edges in a last axis."""
    half = jnp.diff(edges)[..., None] / 2
    rule = lambda row: jnp.broadcast_to(jnp.asarray(row, dtype=edges.dtype), (*half.shape[:-1], len(row)))  # noqa: E731
    x = edges[..., :-1, None] + half * rule(1 + NODES)
    weight = half * rule(WEIGHTS) * jnp.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    shape = (*edges.shape[:-1], -1)
    return x.reshape(shape), weight.reshape(shape)


def narrowed(analytic: float, size: float) -> int:
    """Panels on either side of 0 that resolve an activation at pre-activations of this deviation."""
    if size <= analytic / CLEAR:
        return 0
    return 1 + max(0, math.ceil(math.log(NEAR * size / analytic, RATIO)))


def derivative_of(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The elementwise derivative of an elementwise function."""
    return lambda z: jax.jvp(function, (z,), (jnp.ones_like(z),))[1]


class Rule(NamedTuple):
    """What is integrated, and how: see `smooth.Smooth`."""

    bounded: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    curvature: Callable[[Array], Array]
    analytic: float
    asymptotes: tuple[float, float]
    grid: Grid

    def asymptote(self, z: Array) -> Array:
        """The slope of the asymptote on the side of z."""
        left, right = self.asymptotes
        return jnp.where(z > 0, right + 0 * z, left + 0 * z)

    def function(self, z: Array) -> Array:
        """φ."""
        return self.asymptote(z) * z + self.bounded(z)


class _Plane(NamedTuple):
    """Nodes, functions on them in units of the scale, and the mean over the plane.

    z: clean pre-activation, a column; x = z/scale; move: (z' − z)/(scale·unit); far: z' itself.
    """

    x: Array
    z: Array
    move: Array
    far: Array
    near: Array
    mean: Callable[[Array], Array]


def _plane(rule: Rule, moments: Scaled, scale: Array) -> _Plane:
    c, unit, drift, noise = moments
    zero = jnp.zeros_like(c)
    spread = unit * safe_sqrt(noise)
    # z' turns with z, c times as fast.
    x, along = rule.grid.axis(zero, rule.analytic / (scale * jnp.maximum(jnp.abs(c), 1)))
    x = x[:, None]
    # Where z' = c·x + spread·y vanishes; far outside, where it hardly depends on y.
    safe = jnp.where(spread > 0, spread, jnp.ones_like(spread))
    centre = jnp.where(spread > 0, jnp.clip(-c * x[:, 0] / safe, -REACH, REACH), REACH + 0 * x[:, 0])
    y, across = rule.grid.axis(centre, rule.analytic / (scale * safe) + 0 * centre)
    move = drift * x + safe_sqrt(noise) * y
    # Hardly anything of w may be left in w': then z' is not z and a move, but small by itself.
    far = scale * jnp.where(jnp.abs(c) < 0.5, c * x + spread * y, x + unit * move)
    near = (jnp.abs(scale * unit * move) < rule.grid.reach) & (c >= 0.5)
    mean = lambda f: jnp.sum(along * jnp.sum(across * f, axis=1))  # noqa: E731
    return _Plane(x, scale * x, move, far, near, mean)


def _taylor(plane: _Plane, step: Array, weight: Callable[[float], float], of: Callable) -> Array:
    """∫_0^1 weight(t)·of(z + t·step) dt for the steps within reach."""
    # Both branches are computed everywhere: the integral's nodes must stay where `of` is harmless.
    short = jnp.where(plane.near, step, jnp.zeros_like(step))
    total = jnp.zeros_like(step)
    for node, share in zip(LEGENDRE, LEGENDRE_WEIGHTS, strict=True):
        t = float((1 + node) / 2)
        total = total + float(share / 2) * weight(t) * of(plane.z + t * short)
    return total


def _from_zero(rule: Rule, plane: _Plane, weight: Callable[[float], float]) -> tuple[Array, Array]:
    """Whether z itself is within reach, and ∫_0^1 weight(t)·φ''(tz) dt there."""
    near = jnp.abs(plane.z) < rule.grid.reach
    start = plane._replace(z=jnp.zeros_like(plane.z), near=near)
    return near, _taylor(start, plane.z, weight, rule.curvature)


def _mean(rule: Rule, plane: _Plane, scale: Array) -> Array:
    """E φ(z)/scale without the odd part, which summed would have to cancel."""
    z, zero = plane.z, jnp.zeros_like(plane.z)
    at, slope = rule.function(zero), rule.derivative(zero)
    near, bend = _from_zero(rule, plane, lambda t: 1 - t)
    rest = jnp.where(near, z**2 * bend, rule.function(z) - at - z * slope)
    return plane.mean((at + rest) / scale + 0 * plane.move)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def average(rule: Rule, moments: Scaled, scale: Array) -> SecondMoments:
    """The second moments in units of scale, by Taylor's formula φ(z') = φ(z) + mφ'(z) + m²∫(1−t)φ''."""
    return _average(rule, moments, scale)[0]


class _Parts(NamedTuple):
    """h, h', δ/unit, and what is left of δ/unit across h, in units of scale."""

    h: Array
    moved: Array
    delta: Array
    across: Array


def _average(rule: Rule, moments: Scaled, scale: Array) -> tuple[SecondMoments, _Plane, _Parts]:
    plane = _plane(rule, moments, scale)
    mean, unit = plane.mean, moments.unit
    # z has no move: its functions are columns.
    h, slope = rule.function(plane.z) / scale, rule.derivative(plane.z)
    moved = rule.function(plane.far) / scale
    step = scale * unit * plane.move
    bend = _taylor(plane, step, lambda t: 1 - t, rule.curvature)
    # Further apart than reach, but where neither leaves its asymptote the difference is exactly straight.
    own, bounded = rule.asymptote(plane.z), rule.bounded(plane.z)
    turned = (rule.asymptote(plane.far) - own) * plane.far + rule.bounded(plane.far) - bounded
    straight = plane.move * slope
    rest = jnp.where(
        plane.near, step * plane.move * bend, turned / (scale * unit) - plane.move * (slope - own)
    )
    delta = jnp.where(plane.near, straight + rest, (moved - h) / unit)
    signal = mean(h**2 + 0 * delta)
    # E hφ'(z)·move is E hφ'(z)x·drift exactly: summed, its other part would have to cancel.
    linear, bent = moments.drift * mean(h * slope * plane.x + 0 * delta), h * rest
    # Differences of numbers that large have lost this much of what they are.
    exact = plane.near | (turned == 0)
    rounded = jnp.where(exact, 0, ROUNDED / unit * jnp.abs(h * bounded) / scale)
    alignment = kept(linear + mean(bent), linear, mean(jnp.abs(bent) + rounded))
    # h' is what is small where hardly anything is left of it, δ elsewhere.
    lost = jnp.abs(moments.c) < 0.5
    error = jnp.where(lost, moved / unit, delta)
    across = error - mean(h * error) / signal * h
    transverse = mean(across**2)
    # Exactly 0 is what an odd activation leaves of w' = −w.
    unresolved = (transverse > 0) & (transverse < RESOLVED * mean(error**2))
    result = SecondMoments(
        energy=mean(delta**2),
        alignment=alignment,
        transverse=transverse + jnp.where(unresolved, jnp.nan, 0),
        signal=signal,
        perturbed=mean(moved**2),
        overlap=mean(h * moved),
        mean=_mean(rule, plane, scale),
        mean_shift=moments.drift * mean(slope * plane.x + 0 * delta) + mean(rest),
    )
    return result, plane, _Parts(h, moved, delta, across)


@average.defjvp
def _average_jvp(rule: Rule, primals: Any, tangents: Any) -> tuple[SecondMoments, SecondMoments]:
    """Each derivative as an expectation of its own; that along noise by Price's theorem, also at noise = 0.

    ∂E F/∂noise = ½(unit·scale)² E ∂²F/∂z'², where √noise has no slope.
    """
    moments, scale = primals
    value, plane, (h, moved, delta, across) = _average(rule, moments, scale)
    unit, mean, x, move = moments.unit, plane.mean, plane.x, plane.move
    first, second = rule.derivative(plane.far), rule.curvature(plane.far)
    step, size = scale * unit * move, unit * scale
    zero = jnp.zeros_like(unit)

    def along(grown: Array, turned: Array) -> SecondMoments:
        """Derivatives of the moments from grown = ∂δ/unit and turned = ∂h'; h itself stays."""
        lined = mean(h * turned)
        return SecondMoments(
            mean(2 * delta * grown), mean(h * grown), mean(2 * across * grown), zero,
            mean(2 * moved * turned), lined, zero, mean(grown),
        )  # fmt: skip

    along_drift = along(first * x, unit * first * x)
    square, curved = first**2, size * second
    along_noise = SecondMoments(
        mean(square + delta * curved), mean(h * curved) / 2, mean(square + across * curved), zero,
        unit**2 * mean(square + moved * scale * second), unit * mean(h * curved) / 2, zero, mean(curved) / 2,
    )  # fmt: skip
    bent = scale * move**2 * _taylor(plane, step, lambda t: t, rule.curvature)
    along_unit = along(jnp.where(plane.near, bent, (first * move - delta) / unit), first * move)
    along_scale = _along_scale(rule, value, plane, scale, unit, (h, moved, delta, across), first)
    drift, noise = tangents[0].drift, tangents[0].noise
    parts = zip(along_drift, along_noise, along_unit, along_scale, strict=True)
    return value, SecondMoments(
        *(a * drift + b * noise + c * tangents[0].unit + d * tangents[1] for a, b, c, d in parts)
    )


def _along_scale(
    rule: Rule, value: SecondMoments, plane: _Plane, scale: Array, unit: Array, parts: Any, first: Array
) -> SecondMoments:
    """Derivatives of h = φ(z)/scale and what follows, at fixed x, y, drift, noise and unit."""
    h, moved, delta, across = parts
    mean, z, square = plane.mean, plane.z, scale**2
    slope = rule.derivative(z)
    # scale²·∂h/∂scale = zφ'(z) − φ(z), whose own derivative is zφ''(z).
    close, weighted = _from_zero(rule, plane, lambda t: t)
    lifted = jnp.where(
        close, z**2 * weighted - rule.function(jnp.zeros_like(z)), z * slope - rule.function(z)
    )
    step = scale * unit * plane.move
    near = scale * plane.move * _taylor(plane, step, lambda t: 1.0, lambda u: u * rule.curvature(u))
    direct = (plane.far * first - scale * moved - lifted) / unit
    grown = jnp.where(plane.near, near, direct) / square
    own = lifted / square
    turned = own + unit * grown
    k = value.alignment / value.signal
    return SecondMoments(
        energy=mean(2 * delta * grown),
        alignment=mean(h * grown + own * delta),
        transverse=mean(2 * across * (grown - k * own)),
        signal=mean(2 * h * own + 0 * delta),
        perturbed=mean(2 * moved * turned),
        overlap=mean(h * turned + own * moved),
        mean=mean(own + 0 * delta),
        mean_shift=mean(grown),
    )
