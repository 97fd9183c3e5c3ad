"""Theorem 3: the transverse energy of flips over that of the shift of equal norm; also the paper's forms."""

import math

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import law
from signmag_jax.perturb import MagnitudeNoise, MagnitudeShift, SignFlip

from .arguments import NORMAL_RATE, RATE
from .energies import relu_block
from .kernel import gap
from .scaled import BEYOND, Scaled, flips, shift

EXPANDED_RATE = Interval(0.0, 0.15, open_low=True, fix="take transverse_ratio")


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
    return relu_block(flips(rate)).pair.transverse / relu_block(shift(rate)).pair.transverse


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


@law(domain={"rate": EXPANDED_RATE})
def transverse_ratio_expansion(rate: ArrayLike) -> Float[Array, "..."]:
    """π/(π−2)·[1 + a√p + b·p], the expansion of A(p) that leaves O(p^{3/2}).

    Args:
      rate: flip rate in (0, 0.15]: beyond, it is off by more than a tenth.

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


@law(domain={"rate": NORMAL_RATE})
def paper_transverse_ratio_error(rate: ArrayLike) -> Float[Array, "..."]:
    """The paper's closed form minus the exact transverse ratio, at each rate: −(8k/(3π))√p/(2k²) for p → 0.

    Args:
      rate: flip rate in (0, 1/2], at least 2.3e-308.

    Returns:
      Array of the shape of `rate`; no difference of the two, which agree to rounding at small rates.
    """
    p = jnp.asarray(rate)
    flip, shifted = flips(p), shift(p)
    contraction = 4 * flip.unit / (3 * jnp.pi)
    # With T = noise/2 − lost, the leading terms of both forms, 2(1 − p)/(1 − 2/π)/2, are equal.
    kept = _lost(flip) - 2 * (1 - p) * contraction
    own = (1 - p) * (1 - contraction) / BEYOND * _lost(shifted)
    return (kept - own) / (shifted.noise / 2 - _lost(shifted))


def _lost(moments: Scaled) -> Array:
    """c·g/π + g²/(2π²), in units of unit²."""
    opened = gap(moments.c, moments.unit, moments.noise) / jnp.pi
    return moments.c * opened + (moments.unit * opened) ** 2 / 2
