"""Sign flips."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import law

from .base import Moments, perturbation, within

RATE = Interval(0.0, 1.0, fix="pass a probability")


@perturbation
class SignFlip:
    """w' = −w with probability `rate`, independently for each entry, else w.

    c = 1 − 2·rate, v = 1, drift = −2·rate, noise = 4·rate·(1 − rate).

    Args:
      rate: probability in [0, 1]; an array for the moments of many rates, a scalar for `apply`.

    Raises:
      InvalidInput: for a concrete rate outside [0, 1]. A traced one gives NaN moments.
    """

    rate: ArrayLike

    DOMAIN: ClassVar[dict[str, Interval]] = {"rate": RATE}

    @law()
    def moments(self) -> Moments:
        """(1 − 2·rate, 1, −2·rate, 4·rate·(1 − rate)), of the shape of `rate`."""
        rate = within(RATE, self.rate)
        # 1 + 0·rate: v is 1 in the shape of the rates, and NaN where they are.
        return Moments(1 - 2 * rate, 1 + 0 * rate, -2 * rate, 4 * rate * (1 - rate))

    def apply(self, key: PRNGKeyArray, w: Float[Array, "..."]) -> Float[Array, "..."]:
        """Flip each sign with probability `rate`."""
        rate = jnp.asarray(self.rate, dtype=jnp.float32)
        # The default mode draws 23 bits: at rates below 1e-5 its probability is off by a percent and more.
        flipped = jax.random.bernoulli(key, rate, w.shape, mode="high")
        return jnp.where(flipped, -w, w)
