"""Moments in units of the error's own size: no law then loses digits, or its slope, at small errors.

A ratio of energies that vanish together, and each of its derivatives, would otherwise be a quotient of
numbers that underflow or a difference of near equals.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array

from signmag_jax.evidence.precision import law
from signmag_jax.perturb import Moments

from .kernel import safe_sqrt

# What some dozens of operations may add up to. A larger excess is no rounding: it is left to be seen.
ROUNDINGS = 64


class WeightMoments(NamedTuple):
    """What the laws see of the weights' own distribution.

    Args:
      b: E|w|/σ.
      third: E|w|³/σ³, or None where it is not known.
      fourth: E w⁴/σ⁴, or None.
    """

    b: Any
    third: Any = None
    fourth: Any = None

    @property
    def beyond(self) -> Any:
        """1 − b²: what of sign(w) is not along w."""
        return (1 - self.b) * (1 + self.b)


class Scaled(NamedTuple):
    """Moments (c, c² + unit²·noise) with c = 1 + unit·drift.

    Args:
      c: E[w w']/σ², by itself, because 1 + unit·drift loses it near 0.
      unit: the size of the error, above 0.
      drift: (c − 1)/unit.
      noise: (v − c²)/unit².
    """

    c: Array
    unit: Array
    drift: Array
    noise: Array

    @property
    def v(self) -> Array:
        """E[w'²]/σ²."""
        return self.c**2 + (self.unit * safe_sqrt(self.noise)) ** 2

    @property
    def growth(self) -> Array:
        """(v − 1)/unit."""
        return self.drift * (1 + self.c) + self.unit * self.noise


def scaled(moments: "Moments | Scaled") -> Scaled:
    """Moments in units of their own error, for use inside a law; without an error the unit is 1."""
    if isinstance(moments, Scaled):
        return moments
    c, drift, noise = jnp.broadcast_arrays(moments.c, moments.drift, not_negative(moments.noise))
    # No result depends on the unit, so that it may be held constant under differentiation.
    held = jax.lax.stop_gradient((drift, noise))
    size = jnp.maximum(jnp.abs(held[0]), safe_sqrt(held[1]))
    unit = jnp.where(size > 0, size, jnp.ones_like(size))
    return Scaled(c, unit, drift / unit, noise / unit / unit)


def bounded(value: Array, low: float, high: float) -> Array:
    """A value that has bounds, without the few units of rounding by which it left them."""
    # Its slope is kept: a cosine that rounds to 1 still has one.
    excess = jax.lax.stop_gradient(value - jnp.clip(value, low, high))
    return value - jnp.where(jnp.abs(excess) <= ROUNDINGS * jnp.finfo(value.dtype).eps, excess, 0)


def not_negative(noise: Array) -> Array:
    """`noise` without the −1e-17 that rounding leaves; unlike a maximum, with its full derivative at 0."""
    return jnp.where(noise < 0, 0 * jnp.abs(noise), noise)


@law()
def of_flips(moments: Moments) -> Scaled:
    """Sign flips of any rate: in units of √rate, whose slope carries what moments would have to cancel."""
    # Not the rate itself: the moments of a traced one outside [0, 1] are NaN.
    p = moments.drift / -2
    some = p >= jnp.finfo(p.dtype).tiny
    return _either(some, flips(jnp.where(some, p, jnp.ones_like(p))), moments)


@law()
def of_shift(size: ArrayLike, moments: Moments, weights: WeightMoments) -> Scaled:
    """The magnitude shift of any size, in units of it: nothing of it underflows."""
    e = jnp.asarray(size)
    sign = jnp.sign(e)
    own = Scaled(moments.c, _magnitude(e), weights.b * sign, weights.beyond * sign**2)
    return _either(e != 0, own, moments)


@law()
def of_noise(size: ArrayLike, moments: Moments) -> Scaled:
    """Magnitude noise of any size, in units of it."""
    e = jnp.asarray(size)
    own = Scaled(moments.c, _magnitude(e), 0 * moments.c, moments.c)
    return _either(e != 0, own, moments)


def _magnitude(size: Array) -> Array:
    return jnp.where(size != 0, jnp.abs(size), jnp.ones_like(size))


def _either(some: Array, own: Scaled, moments: Moments) -> Scaled:
    """Moments in the error's own units; plain ones where there is no error, whose size has no slope there."""
    none = Scaled(moments.c, jnp.ones_like(own.unit), moments.drift, moments.noise)
    return jax.tree.map(lambda a, b: jnp.where(some, a, b), own, none)


@jax.custom_jvp
def root(rate: Array) -> Array:
    """√rate; of a rate that processors count as 0 that of the smallest normal number, without a slope.

    A ratio of energies is at its limit there, to rounding; its slope, of the order of 1/√rate, is NaN.
    """
    return jnp.sqrt(jnp.maximum(rate, jnp.finfo(rate.dtype).tiny))


@root.defjvp
def _root_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (rate,) = primals
    value = root(rate)
    normal = rate >= jnp.finfo(rate.dtype).tiny
    return value, jnp.where(normal, 1 / (2 * value), jnp.nan) * tangents[0]


def flips(rate: ArrayLike) -> Scaled:
    """Sign flips, in units of √rate."""
    p = jnp.asarray(rate)
    s = root(p)
    # 1 − (1 − 2p)² = 4p(1 − p), divided by p by hand.
    return Scaled(1 - 2 * p, s, -2 * s, 4 * (1 - p))


def shift(rate: ArrayLike, weights: WeightMoments) -> Scaled:
    """The magnitude shift of the same norm as flips of this rate, of size 2√rate, in units of √rate."""
    s = root(jnp.asarray(rate))
    # Size 2√p, because flips have the energy p·E(2w)² = 4p and the shift ε². v − c² is ε²(1 − b²).
    drift = 2 * weights.b + 0 * s
    return Scaled(1 + drift * s, s, drift, 4 * weights.beyond + 0 * s)
