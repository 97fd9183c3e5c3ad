"""Smooth activations: expectations over a pair of correlated Gaussians by quadrature on the plane."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from signmag_jax.evidence import invalid
from signmag_jax.evidence.precision import is_traced
from signmag_jax.perturb import Moments


class SecondMoments(NamedTuple):
    """Second moments of h = φ(z), h' = φ(z'), δ = h' − h, none of them a difference of near equals.

    energy = E δ², alignment = E hδ, transverse = E δ² − (E hδ)²/E h², signal = E h², perturbed = E h'²,
    overlap = E hh', mean = E h, mean_shift = E δ.
    """

    energy: Array
    alignment: Array
    transverse: Array
    signal: Array
    perturbed: Array
    overlap: Array
    mean: Array
    mean_shift: Array


# Beyond 9 deviations a Gaussian weighs 2e-19.
REACH = 9.0
COARSEST = 1 / 8
# e^(−36) is 2e-16: 36 is what 2π times the strip's half-width over the step has to reach.
STRIP = 36.0
LEGENDRE = 10
MOST_HALVINGS = 5
# √v of the magnitude shift that matches flips of half of all signs: the largest in a ratio.
GROWTH = math.sqrt(3 + 4 / math.sqrt(math.pi))


def derivative_of(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The elementwise derivative of an elementwise function."""
    return lambda z: jax.jvp(function, (z,), (jnp.ones_like(z),))[1]


@dataclass(frozen=True)
class Smooth:
    """An activation that is analytic in the strip |Im z| < `analytic`, with its derivative."""

    function: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    analytic: float
    halvings: int = 0

    def resolved(self, scale: Any, growth: float = GROWTH) -> "Smooth":
        """With the step halved until it fits pre-activations of deviation scale and scale·growth.

        A traced scale gets three halvings.

        Raises:
          InvalidInput: where more than five would be needed, or where φ has no finite second moment within
            the grid.
        """
        if is_traced(scale):
            return replace(self, halvings=3)
        size = float(scale) * max(1.0, growth)
        halvings = max(0, math.ceil(math.log2(size / self.largest)))
        if halvings > MOST_HALVINGS:
            most = self.largest * 2**MOST_HALVINGS
            raise invalid(f"scale·√v <= {most:.3g} for this activation", size, "there it is piecewise linear")
        _check_moments(self.function, size)
        return replace(self, halvings=halvings)

    @property
    def largest(self) -> float:
        """The largest deviation of pre-activations that the grid resolves."""
        return 0.9 * self.analytic * 2 * math.pi / STRIP / self.step

    @property
    def step(self) -> float:
        """The distance of the nodes."""
        return COARSEST / 2**self.halvings

    def grid(self, dtype: Any) -> tuple[Array, Array]:
        """Nodes and normalised weights of the trapezoidal rule along one axis."""
        count = math.ceil(REACH / self.step)
        nodes = self.step * np.arange(-count, count + 1)
        weights = np.exp(-(nodes**2) / 2)
        return jnp.asarray(nodes, dtype=dtype), jnp.asarray(weights / weights.sum(), dtype=dtype)

    def __call__(self, moments: Moments, scale: Any) -> SecondMoments:
        size = jnp.asarray(scale, dtype=moments.c.dtype)
        flat = [jnp.ravel(m) for m in (moments.drift, moments.noise)]

        def one(m: list[Array]) -> SecondMoments:
            drift, noise = m
            widest = size * jnp.sqrt(jnp.maximum((1 + drift) ** 2 + noise, 1.0))
            # A deviation that the grid does not resolve gives NaN, not a wrong number.
            return _average(self, drift, noise, jnp.where(widest <= 1.001 * self.largest, size, jnp.nan))

        # One pair of moments after another: the finest plane has 21 million nodes.
        result = jax.lax.map(one, flat)
        return SecondMoments(*(jnp.reshape(r, jnp.shape(moments.c)) for r in result))


@functools.lru_cache(maxsize=64)
def _check_moments(function: Callable[[Array], Array], size: float) -> None:
    """Refuse an activation whose second moment lies outside the grid, or nowhere.

    Raises:
      InvalidInput: if φ is not finite, or E φ² takes more than 1e-11 of its value beyond nine deviations.
    """
    nodes = COARSEST * np.arange(-16 / COARSEST, 16 / COARSEST + 1)
    with jax.ensure_compile_time_eval(), jax.enable_x64(True), np.errstate(over="ignore"):
        values = np.asarray(function(jnp.asarray(size * nodes)))
        mass = values**2 * np.exp(-(nodes**2) / 2)
    if not np.all(np.isfinite(mass)) or np.sum(mass[np.abs(nodes) > REACH]) > 1e-11 * np.sum(mass):
        raise invalid(
            "E φ(z)² is finite and comes from |z| <= 9 deviations",
            f"an activation that is not, at deviation {size:g}",
            "pass one that grows slower, or a smaller scale",
        )


class _Plane(NamedTuple):
    """z, the move z' − z, h, δ, and the mean over the plane."""

    x: Array
    z: Array
    move: Array
    h: Array
    delta: Array
    mean: Callable[[Array], Array]


def _plane(smooth: Smooth, drift: Array, noise: Array, scale: Array) -> _Plane:
    nodes, weight = smooth.grid(drift.dtype)
    x = jnp.broadcast_to(nodes[:, None], (nodes.size, nodes.size))
    z = scale * x
    move = scale * (drift * x + jnp.sqrt(noise) * nodes[None, :])
    h = smooth.function(z)
    mean = lambda f: jnp.einsum("i,j,ij->", weight, weight, f, precision="highest")  # noqa: E731
    return _Plane(x, z, move, h, _difference(smooth, z, move, h), mean)


def _difference(smooth: Smooth, z: Array, move: Array, h: Array) -> Array:
    """φ(z + move) − φ(z), as an integral of φ' where the move is small."""
    points, weights = np.polynomial.legendre.leggauss(LEGENDRE)
    near = jnp.abs(move) < 0.5
    # Both branches are computed everywhere: the integral's nodes must stay where φ' is harmless.
    short = jnp.where(near, move, jnp.zeros_like(move))
    slope = jnp.zeros_like(z)
    for point, weight in zip(points, weights, strict=True):
        slope = slope + float(weight / 2) * smooth.derivative(z + float((1 + point) / 2) * short)
    return jnp.where(near, short * slope, smooth.function(z + move) - h)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _average(smooth: Smooth, drift: Array, noise: Array, scale: Array) -> SecondMoments:
    plane = _plane(smooth, drift, noise, scale)
    h, delta, mean = plane.h, plane.delta, plane.mean
    signal, alignment = mean(h * h), mean(h * delta)
    # The transverse energy is that of the residual, which no difference of energies has to produce.
    residual = delta - alignment / signal * h
    return SecondMoments(
        energy=mean(delta**2),
        alignment=alignment,
        transverse=mean(residual**2),
        signal=signal,
        perturbed=mean((h + delta) ** 2),
        overlap=mean(h * (h + delta)),
        mean=mean(h),
        mean_shift=mean(delta),
    )


@_average.defjvp
def _average_jvp(smooth: Smooth, primals: Any, tangents: Any) -> tuple[SecondMoments, SecondMoments]:
    """Price's theorem: ∂E F/∂noise = ½ scale² E ∂²F/∂z'², also at noise = 0, where √noise has no slope."""
    drift, noise, scale = primals
    value = _average(smooth, drift, noise, scale)
    plane = _plane(smooth, drift, noise, scale)
    x, z, move, h, delta, mean = plane
    residual = delta - value.alignment / value.signal * h
    zero = jnp.zeros_like(drift)
    first, second = smooth.derivative(z + move), derivative_of(smooth.derivative)(z + move)
    own = smooth.derivative(z)

    def of_moving(d: Array, dd: Array) -> SecondMoments:
        """d = φ'·z'-velocity and dd its companion that multiplies the factor besides φ'²."""
        along = mean(h * d)
        return SecondMoments(
            mean(2 * delta * d + dd), along, mean(2 * residual * d + dd), zero,
            mean(2 * (h + delta) * d + dd), along, zero, mean(d),
        )  # fmt: skip

    along_drift = of_moving(scale * x * first, jnp.zeros_like(x))
    along_noise = of_moving(scale**2 / 2 * second, scale**2 * first**2)
    # z and z' both grow with the scale: d = dδ/dscale, at fixed drift and noise.
    dh = x * own
    dd = (x + move / scale) * first - dh
    k = value.alignment / value.signal
    along_scale = SecondMoments(
        energy=mean(2 * delta * dd),
        alignment=mean(h * dd + dh * delta),
        transverse=mean(2 * residual * (dd - k * dh)),
        signal=mean(2 * h * dh),
        perturbed=mean(2 * (h + delta) * (dh + dd)),
        overlap=mean(h * (dh + dd) + dh * (h + delta)),
        mean=mean(dh),
        mean_shift=mean(dd),
    )
    parts = zip(along_drift, along_noise, along_scale, strict=True)
    return value, SecondMoments(*(a * tangents[0] + b * tangents[1] + c * tangents[2] for a, b, c in parts))
