"""Theorem 3: the transverse energy of flips over that of the shift of equal norm; also the paper's forms."""

import math

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from signmag_jax.evidence.precision import law
from signmag_jax.perturb import MagnitudeNoise, MagnitudeShift, SignFlip

from .energies import RATE
from .kernel import cubic_factor


@law(domain={"rate": RATE})
def transverse_ratio(rate: ArrayLike) -> Float[Array, "..."]:
    """A(p) = T(flips of rate p)/T(magnitude shift of equal Frobenius norm), exact at every p.

    T = v/2 − 2κ², the energy that RMSNorm's derivative lets through; the shift has size 2√p. As p → 0,
    A = π/(π−2)·[1 − (4/(3π))(1 − √(1−2/π))√p + O(p)].

    Args:
      rate: flip rate in (0, 1/2], scalar or array.

    Returns:
      Array of the shape of `rate`; NaN where a traced rate lies outside. The value and its first derivative
      keep all but a few units of rounding at every rate, in float32 too. At subnormal rates, which XLA may
      count as 0, the value is the limit π/(π−2), which is A to rounding.

    Raises:
      InvalidInput: for a concrete rate outside (0, 1/2].

    Source: arXiv:2605.18933, Theorem 3.
    """
    # In s both energies are analytic; their common factor p is divided out before it can underflow.
    s = jnp.sqrt(jnp.asarray(rate))
    b, k = math.sqrt(2 / math.pi), math.sqrt(1 - 2 / math.pi)
    along = 1 + 2 * b * s
    # XLA may count a subnormal rate as 0: there the angles over √p are their limits, 2 and 2k.
    some = s > 0
    root = jnp.where(some, s, 0.5 + 0 * s)
    flip_angle = jnp.where(some, 2 * jnp.arcsin(root) / root, 2 + 0 * s)
    shift_angle = jnp.where(some, jnp.arctan2(2 * k * root, along) / root, 2 * k + 0 * s)
    flip = _transverse_per_rate(s, 1 - 2 * s**2, 4 * (1 - s**2), flip_angle)
    return flip / _transverse_per_rate(s, along, 4 * k**2 + 0 * s, shift_angle)


def _transverse_per_rate(s: Array, c: Array, noise: Array, angle: Array) -> Array:
    """T/p at p = s², from c, and noise/p and θ/√p, which do not vanish with p.

    With γ = g/p = √v (θ/√p)³ √p·(sin θ − θ cos θ)/θ³ it is noise/2 − cγ/π − pγ²/(2π²). No part of it, nor
    of its derivative, is a difference of near equals at small rates.
    """
    v = c**2 + s**2 * noise
    ratio = jnp.sqrt(v) * angle**3 * s * cubic_factor(s * angle) / jnp.pi
    return noise / 2 - c * ratio - (s * ratio) ** 2 / 2


def matched_shift(rate: ArrayLike) -> MagnitudeShift:
    """The magnitude shift of the same Frobenius norm as sign flips of this rate: size 2√rate."""
    return MagnitudeShift.matching(SignFlip(rate))


def matched_noise(rate: ArrayLike) -> MagnitudeNoise:
    """The magnitude noise of the same Frobenius norm as sign flips of this rate: size 2√rate."""
    return MagnitudeNoise.matching(SignFlip(rate))


def transverse_ratio_limit() -> np.float64:
    """A(0⁺) = π/(π − 2).

    Source: arXiv:2605.18933, Theorem 3.
    """
    return np.float64(math.pi / (math.pi - 2))


def transverse_ratio_root_coefficient() -> np.float64:
    """The exact coefficient of √p in A(p)/A(0⁺): −(4/(3π))(1 − √(1 − 2/π)).

    The paper's is −4/(3π), which leaves out that the magnitude error contracts too.

    Source: Theorem 3, corrected.
    """
    return np.float64(-4 / (3 * math.pi) * (1 - math.sqrt(1 - 2 / math.pi)))


def transverse_ratio_rate_coefficient() -> np.float64:
    """The coefficient of p in A(p)/A(0⁺): −1 − k²s(1 − s) − 2kbs, k = 4/(3π), b = √(2/π), s = √(1 − b²).

    From T_flip = 2p[1 − k√p − p + …] and T_shift = 2ps²[1 − ks√p + 2kbs·p + …].

    Source: Theorem 3, continued.
    """
    k, b = 4 / (3 * math.pi), math.sqrt(2 / math.pi)
    s = math.sqrt(1 - b**2)
    return np.float64(-1 - k**2 * s * (1 - s) - 2 * k * b * s)


@law(domain={"rate": RATE})
def transverse_ratio_expansion(rate: ArrayLike) -> Float[Array, "..."]:
    """π/(π−2)·[1 + a√p + b·p], the expansion of A(p) that leaves O(p^{3/2}).

    Args:
      rate: flip rate in (0, 1/2].

    Source: Theorem 3, corrected and continued.
    """
    p = jnp.asarray(rate)
    first, second = transverse_ratio_root_coefficient(), transverse_ratio_rate_coefficient()
    return jnp.pi / (jnp.pi - 2) * (1 + float(first) * jnp.sqrt(p) + float(second) * p)


@law(domain={"rate": RATE})
def paper_transverse_ratio(rate: ArrayLike) -> Float[Array, "..."]:
    """π/(π−2)·(1−p)·(1 − 4√p/(3π)): the paper's closed form.

    It contracts the energy of the flips but not that of the magnitude error, which contracts too.

    Args:
      rate: flip rate in (0, 1/2].

    Source: arXiv:2605.18933, Theorem 3.
    """
    p = jnp.asarray(rate)
    return jnp.pi / (jnp.pi - 2) * (1 - p) * (1 - 4 * jnp.sqrt(p) / (3 * jnp.pi))


@law(domain={"rate": RATE})
def paper_transverse_ratio_as_printed(rate: ArrayLike) -> Float[Array, "..."]:
    """(1 − p + 4p^{3/2}/(3π))/(1 − 2/π)·(1 − 4√p/(3π)): the expression behind the paper's printed column.

    Args:
      rate: flip rate in (0, 1/2].

    Source: arXiv:2605.18933, table of Theorem 3.
    """
    p = jnp.asarray(rate)
    contraction = 4 * jnp.sqrt(p) / (3 * jnp.pi)
    return (1 - p + p * contraction) / (1 - 2 / jnp.pi) * (1 - contraction)


@law(domain={"rate": RATE})
def paper_transverse_ratio_error(rate: ArrayLike) -> Float[Array, "..."]:
    """The paper's closed form minus the exact transverse ratio, at each rate.

    Args:
      rate: flip rate in (0, 1/2].
    """
    return paper_transverse_ratio(rate) - transverse_ratio(rate)
