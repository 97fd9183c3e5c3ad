"""Theorem 3: the transverse energy of flips over that of the shift of equal norm; also the paper's forms."""

import math
from typing import Any

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import Real, law
from signmag_jax.perturb import MagnitudeNoise, MagnitudeShift, SignFlip

from .arguments import NORMAL_RATE, RATE, WEIGHTS, weight_moments
from .energies import relu_block
from .kernel import gap
from .scaled import Scaled, WeightMoments, flips, shift

EXPANDED_RATE = Interval(0.0, 0.15, open_low=True, fix="take transverse_ratio")


@law(domain={"rate": RATE}, read=WEIGHTS)
def transverse_ratio(rate: ArrayLike, weights: Any = "gaussian") -> Float[Array, "..."]:
    """A(p) = T(flips of rate p)/T(magnitude shift of equal Frobenius norm), exact at every p.

    T = v/2 − 2κ², the energy that RMSNorm's derivative lets through; the shift has size 2√p. As p → 0,
    A = (1/k²)·[1 − (4/(3π))(1 − k)√p + O(p)] with k² = 1 − b², b = E|w|/σ: of Gaussian weights A(0) is
    π/(π−2), and always 1/(1 − cos²(w, sign w)), Theorem 4's constant.

    Args:
      rate: flip rate in (0, 1/2], scalar or array.
      weights: law of the weights, as in `perturb.find_weights`: a name, b or `perturb.Weights`.

    Returns:
      Array of the shape of `rate`; NaN where a traced rate lies outside. The value and its first derivative
      keep all but a few units of rounding at every rate, in float32 too. At subnormal rates, which XLA may
      count as 0, the value is the limit 1/(1 − b²), which is A to rounding.

    Raises:
      InvalidInput: for a concrete rate outside (0, 1/2].

    Source: arXiv:2605.18933, Theorem 3.
    """
    # Both T are per rate: T itself underflows at rates where the quotient is at its limit.
    return relu_block(flips(rate)).pair.transverse / relu_block(shift(rate, weights)).pair.transverse


def matched_shift(rate: ArrayLike) -> MagnitudeShift:
    """The magnitude shift of the same Frobenius norm as sign flips of this rate: size 2√rate."""
    return MagnitudeShift.matching(SignFlip(rate))


def matched_noise(rate: ArrayLike) -> MagnitudeNoise:
    """The magnitude noise of the same Frobenius norm as sign flips of this rate: size 2√rate."""
    return MagnitudeNoise.matching(SignFlip(rate))


@law(read=WEIGHTS)
def transverse_ratio_limit(weights: Any = "gaussian") -> Real:
    """A(0⁺) = 1/(1 − b²), of Gaussian weights π/(π − 2).

    Args:
      weights: as in `transverse_ratio`.

    Source: arXiv:2605.18933, Theorem 3.
    """
    return jnp.asarray(1 / weights.beyond)


@law(read=WEIGHTS)
def transverse_ratio_root_coefficient(weights: Any = "gaussian") -> Real:
    """The exact coefficient of √p in A(p)/A(0⁺): −(4/(3π))(1 − k), k = √(1 − b²).

    The paper's is −4/(3π), which leaves out that the magnitude error contracts too.

    Args:
      weights: as in `transverse_ratio`.

    Source: Theorem 3, corrected.
    """
    return _coefficients(weights)[0]


@law(read=WEIGHTS)
def transverse_ratio_rate_coefficient(weights: Any = "gaussian") -> Real:
    """The coefficient of p in A(p)/A(0⁺): −1 − a²k(1 − k) − 2abk, a = 4/(3π), k = √(1 − b²).

    From T_flip = 2p[1 − a√p − p + …] and T_shift = 2pk²[1 − ak√p + 2abk·p + …].

    Args:
      weights: as in `transverse_ratio`.

    Source: Theorem 3, continued.
    """
    return _coefficients(weights)[1]


def _coefficients(weights: WeightMoments) -> tuple[Array, Array]:
    """The coefficients of √p and p."""
    a, b, k = 4 / (3 * math.pi), weights.b, jnp.sqrt(weights.beyond)
    # 1 − k = b²/(1 + k): of heavy tails k is close to 1.
    short = b**2 / (1 + k)
    return -a * short, -1 - a**2 * k * short - 2 * a * b * k


@law(domain={"rate": EXPANDED_RATE}, read=WEIGHTS)
def transverse_ratio_expansion(rate: ArrayLike, weights: Any = "gaussian") -> Float[Array, "..."]:
    """(1/k²)·[1 + a√p + b·p], the expansion of A(p) that leaves O(p^{3/2}).

    Args:
      rate: flip rate in (0, 0.15]: up to there it is off by less than a tenth, whatever the weights.
      weights: as in `transverse_ratio`.

    Source: Theorem 3, corrected and continued.
    """
    p = jnp.asarray(rate)
    first, second = _coefficients(weights)
    return (1 + first * jnp.sqrt(p) + second * p) / weights.beyond


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
    gaussian = weight_moments("gaussian")
    flip, shifted = flips(p), shift(p, gaussian)
    contraction = 4 * flip.unit / (3 * jnp.pi)
    # With T = noise/2 − lost, the leading terms of both forms, 2(1 − p)/(1 − 2/π)/2, are equal.
    kept = _lost(flip) - 2 * (1 - p) * contraction
    own = (1 - p) * (1 - contraction) / gaussian.beyond * _lost(shifted)
    return (kept - own) / (shifted.noise / 2 - _lost(shifted))


def _lost(moments: Scaled) -> Array:
    """c·g/π + g²/(2π²), in units of unit²."""
    opened = gap(moments.c, moments.unit, moments.noise) / jnp.pi
    return moments.c * opened + (moments.unit * opened) ** 2 / 2
