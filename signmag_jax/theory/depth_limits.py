"""What the residual chain's ratio tends to with depth, and where it starts."""

from typing import Any

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from signmag_jax.evidence.precision import Real, law

from .arguments import RATE, WEIGHTS
from .kernel import gap
from .scaled import Scaled, flips, shift


@law(domain={"rate": RATE}, read=WEIGHTS)
def residual_limit(rate: ArrayLike, weights: Any = "gaussian") -> Float[Array, "..."]:
    """(1 − J(c_flip))/(v(1 − J(c_shift/√v))): the residual chain's ratio as L → ∞, at every rate.

    The stream grows like L and a layer's share of it vanishes, so that every layer sees parallel inputs and
    adds its own error. As p → 0 the chain rises to it strictly, from `residual_first_ratio`; at finite rates
    it may fall at first (at p = 1/20 from the first layer to the second). As p → 0 the limit is
    1/(1 − b²), π/(π−2) of Gaussian weights.

    Args:
      rate: flip rate in (0, 1/2].
      weights: law of the weights, as in `perturb.find_weights`: a name, b = E|w|/σ or `perturb.Weights`.

    Raises:
      InvalidInput: for concrete rates outside.

    Source: proofs/residual_limit.py and proofs/residual_rise.py.
    """
    return _lost(flips(rate)) / _lost(shift(rate, weights))


def _lost(moments: Scaled) -> Array:
    """v(1 − J(c/√v))/unit²."""
    # √v − c as noise/(√v + c): at small rates J is 1 to rounding.
    root_v = jnp.sqrt(moments.v)
    return root_v * (moments.noise / (root_v + moments.c) - gap(*moments[:2], moments.noise) / jnp.pi)


@law(read=WEIGHTS)
def residual_first_ratio(weights: Any = "gaussian") -> Real:
    """1/(1 − b²/3), of Gaussian weights 3π/(3π − 2): the residual chain's ratio after one layer, as p → 0.

    Args:
      weights: as in `residual_limit`.
    """
    # One layer leaves a stream of power 3/2. Of the shift's energy 2p its part along it, (½·2b√p)²/(3/2), is
    # b²/3; of the flips' it is of the order of p².
    return 1 / (1 - jnp.asarray(weights.b) ** 2 / 3)


@law(read=WEIGHTS)
def depth_floor(weights: Any = "gaussian") -> Real:
    """(1 − b²)^(−2/3), of Gaussian weights (π/(π − 2))^(2/3): where plain chains tend, L → ∞ and then p → 0.

    A limit, not a bound: at finite rates the ratio goes below it (1.963492 at p = 1e-8, below 1.963778).

    Args:
      weights: as in `residual_limit`.
    """
    # With d = 1 − q and a layer's own defect s, d ← d + s − (2√2/(3π))(d + s)^{3/2}: at the fixed point d
    # goes like s^{2/3}, and s is 2p for flips, 2p(1 − b²) for the shift.
    return jnp.asarray(weights.beyond) ** (-2 / 3)
