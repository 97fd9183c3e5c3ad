"""What the residual chain's ratio tends to with depth, and where it starts."""

import math

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from signmag_jax.evidence.precision import law
from signmag_jax.perturb import MagnitudeShift

from .energies import RATE, resolved_rate
from .kernel import angle, sine_minus_angle_cosine


@law(domain={"rate": RATE})
def residual_limit(rate: ArrayLike) -> Float[Array, "..."]:
    """(1 − J(c_flip))/(v(1 − J(c_shift/√v))): the residual chain's ratio as L → ∞, at every rate.

    The stream grows like L and a layer's share of it vanishes, so that every layer sees parallel inputs and
    adds its own error. As p → 0 the chain rises to it strictly, from `residual_first_ratio`; at finite rates
    it may fall at first (at p = 1/20 from the first layer to the second). As p → 0 the limit is π/(π−2).

    Args:
      rate: flip rate in (0, 1/2].

    Raises:
      InvalidInput: for concrete rates outside.

    Source: proofs/residual_limit.py and proofs/residual_rise.py.
    """
    p = resolved_rate(rate)
    shift = MagnitudeShift(2 * jnp.sqrt(p)).moments()
    turned = 2 * jnp.arcsin(jnp.sqrt(p))
    return _lost(turned) / (shift.v * _lost(angle(shift.c, shift.noise)))


def _lost(theta: Array) -> Array:
    """1 − J(cos θ)."""
    # Not 1 − J as it reads: at small rates J is 1 to rounding.
    return 2 * jnp.sin(theta / 2) ** 2 - sine_minus_angle_cosine(theta) / jnp.pi


def residual_first_ratio() -> np.float64:
    """3π/(3π − 2): the residual chain's ratio after one layer, as p → 0."""
    return np.float64(3 * math.pi / (3 * math.pi - 2))


def depth_floor() -> np.float64:
    """Limit of the plain chain's ratio for p → 0 after L → ∞: (π/(π − 2))^(2/3)."""
    return np.float64((math.pi / (math.pi - 2)) ** (2 / 3))
