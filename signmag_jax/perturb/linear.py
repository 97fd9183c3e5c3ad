"""Pruning and scaling."""

from typing import ClassVar

import jax.numpy as jnp
from jax.scipy.special import gammainc, gammaincc
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import law

from .base import Moments, perturbation, root_mean_square, visible, within

THRESHOLD = Interval(0.0, normal=True, fix="pass a finite threshold >= 0 in units of σ")
FACTOR = Interval(normal=True, fix="pass a finite factor of 0 or at least 2.3e-308")


@perturbation
class Prune:
    """w' = w where |w| > t·σ, else 0.

    c = v = 1 − D with D = E[w²; |w| <= tσ]/σ² = erf(t/√2) − 2tφ(t); drift = −D, noise = D(1 − D).

    Args:
      threshold: t >= 0 in units of σ. An array for moments, a scalar for `apply`.

    Raises:
      InvalidInput: for a concrete threshold that is negative, subnormal or not finite. A traced one gives NaN
        moments.
    """

    threshold: ArrayLike

    DOMAIN: ClassVar[dict[str, Interval]] = {"threshold": THRESHOLD}

    @law()
    def moments(self) -> Moments:
        """(1 − D, 1 − D, −D, D(1 − D)), of the shape of `threshold`."""
        t = within(THRESHOLD, self.threshold)
        # The incomplete gamma function keeps the digits that erf(t/√2) − 2tφ(t) loses at small t.
        shape = jnp.full_like(t, 1.5)
        lost, kept = gammainc(shape, t**2 / 2), gammaincc(shape, t**2 / 2)
        # What underflows is not 0: a law that divides by it has to see that there is something.
        least = jnp.finfo(lost.dtype).tiny
        lost = jnp.where((t > 0) & (lost < least), least, lost)
        return Moments(kept, kept, -lost, lost * kept)

    def apply(self, key: PRNGKeyArray, w: Float[Array, "..."]) -> Float[Array, "..."]:
        """Zero what lies within t·σ; `key` is not used."""
        del key
        sigma = root_mean_square(w)
        cut = jnp.asarray(self.threshold, dtype=w.dtype) * sigma
        return visible(jnp.where(jnp.abs(w) > cut, w, jnp.zeros_like(w)), sigma)


@perturbation
class Scale:
    """w' = a·w: c = a, v = a², drift = a − 1, noise = 0.

    Args:
      factor: a. An array for moments, a scalar for `apply`.

    Raises:
      InvalidInput: for a concrete factor that is not finite, or subnormal. A traced one gives NaN moments.
    """

    factor: ArrayLike

    DOMAIN: ClassVar[dict[str, Interval]] = {"factor": FACTOR}

    @law()
    def moments(self) -> Moments:
        """(a, a², a − 1, 0), of the shape of `factor`."""
        a = within(FACTOR, self.factor)
        return Moments(a, a**2, a - 1, 0 * a)

    def apply(self, key: PRNGKeyArray, w: Float[Array, "..."]) -> Float[Array, "..."]:
        """Multiply by the factor; `key` is not used."""
        del key
        return jnp.asarray(self.factor, dtype=w.dtype) * w
