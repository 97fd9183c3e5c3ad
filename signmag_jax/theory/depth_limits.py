"""What the residual chain's ratio tends to with depth, and where it starts."""

import math

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from signmag_jax.evidence.precision import law

from .arguments import RATE
from .kernel import gap
from .scaled import Scaled, flips, shift


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
    return _lost(flips(rate)) / _lost(shift(rate))


def _lost(moments: Scaled) -> Array:
    """v(1 − J(c/√v))/unit²."""
    # √v − c as noise/(√v + c): at small rates J is 1 to rounding.
    root_v = jnp.sqrt(moments.v)
    return root_v * (moments.noise / (root_v + moments.c) - gap(*moments[:2], moments.noise) / jnp.pi)


def residual_first_ratio() -> np.float64:
    """3π/(3π − 2): the residual chain's ratio after one layer, as p → 0."""
    return np.float64(3 * math.pi / (3 * math.pi - 2))


def depth_floor() -> np.float64:
    """(π/(π − 2))^(2/3): what the plain chain's ratio at L → ∞ tends to as p → 0.

    A limit, not a bound: at finite rates the ratio goes below it (1.963492 at p = 1e-8, below 1.963778).
    """
    return np.float64((math.pi / (math.pi - 2)) ** (2 / 3))
