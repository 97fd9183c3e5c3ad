"""The constants of Theorems 3 and 4, and Proposition 1's laws for one matrix without an activation."""

import math

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import Real, law
from signmag_jax.perturb import MagnitudeNoise, MagnitudeShift, SignFlip, SignQuantize

from .energies import RATE, cosine_squared

ANY_RATE = Interval(0.0, 1.0, fix="pass a flip rate in [0, 1]")
BELOW_ONE = Interval(0.0, 1.0, open_high=True, fix="pass a flip rate in [0, 1)")
WIDTH = Interval(2.0, fix="pass the number of rows, at least 2")


def matched_shift(rate: ArrayLike) -> MagnitudeShift:
    """The magnitude shift of the same Frobenius norm as sign flips of this rate: size 2√rate."""
    return MagnitudeShift.matching(SignFlip(rate))


def matched_noise(rate: ArrayLike) -> MagnitudeNoise:
    """The magnitude noise of the same Frobenius norm as sign flips of this rate: size 2√rate."""
    return MagnitudeNoise.matching(SignFlip(rate))


def sign_cosine_squared() -> Real:
    """cos²(w, sign w) → 2/π, for rows of weights and for pre-activations.

    Source: arXiv:2605.18933, Theorem 4.
    """
    return cosine_squared(SignQuantize())


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


def depth_floor() -> np.float64:
    """Limit of the plain chain's ratio for p → 0 after L → ∞: (π/(π − 2))^(2/3)."""
    return np.float64((math.pi / (math.pi - 2)) ** (2 / 3))


@law(domain={"rate": ANY_RATE, "rows": WIDTH})
def flip_matrix_radial_fraction(rate: ArrayLike, rows: ArrayLike) -> Float[Array, "..."]:
    """Radial fraction of δW x for flips in one matrix of m rows, as a ratio of means: p + (1−p)/m.

    Args:
      rate: flip rate in [0, 1].
      rows: number m of rows, at least 2.

    Source: arXiv:2605.18933, Proposition 1.
    """
    p = jnp.asarray(rate)
    return p + (1 - p) / jnp.asarray(rows)


@law(domain={"rows": WIDTH})
def noise_matrix_radial_fraction(rows: ArrayLike) -> Float[Array, "..."]:
    """Radial fraction of δW x for magnitude noise in one matrix of m rows, as a ratio of means: 1/m.

    Args:
      rows: number m of rows, at least 2.

    Source: arXiv:2605.18933, Proposition 1.
    """
    return 1 / jnp.asarray(rows)


@law(domain={"rate": BELOW_ONE})
def noise_to_flip_ratio(rate: ArrayLike) -> Float[Array, "..."]:
    """Transverse energy of magnitude noise over that of flips of equal norm, one matrix: 1/(1 − p).

    The noise is the more transverse of the two.

    Args:
      rate: flip rate in [0, 1).

    Source: arXiv:2605.18933, Proposition 1.
    """
    return 1 / (1 - jnp.asarray(rate))


@law(domain={"rate": RATE})
def flip_to_shift_ratio(rate: ArrayLike) -> Float[Array, "..."]:
    """Transverse energy of flips over that of the coherent shift of equal norm, one matrix: (1−p)π/(π−2).

    No ReLU is needed for the asymmetry: it is the alignment of the shift with the signal.

    Args:
      rate: flip rate in (0, 1/2].
    """
    return (1 - jnp.asarray(rate)) * jnp.pi / (jnp.pi - 2)
