"""Errors of the magnitude that keep the sign: a coherent shift, and incoherent noise."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import law

from .base import (
    GAUSSIAN_MAGNITUDE,
    Moments,
    Perturbation,
    perturbation,
    root_mean_square,
    signs,
    within,
)

SHIFT = Interval(fix="pass a finite size in units of σ")
NOISE = Interval(0.0, fix="pass a finite size >= 0 in units of σ")


@law()
def _matching_size(moments: Moments) -> Float[Array, "..."]:
    return jnp.sqrt(moments.energy)


@perturbation
class MagnitudeShift:
    """w' = w + size·σ·sign(w): every magnitude grows by the same amount.

    With b = E|w|/σ, √(2/π) of Gaussian weights: c = 1 + size·b, v = 1 + 2·size·b + size²,
    noise = size²·(1 − b²).

    Args:
      size: in units of σ; negative sizes shrink. An array for moments, a scalar for `apply`.

    Raises:
      InvalidInput: for a concrete size that is not finite. A traced one gives NaN moments.
    """

    size: ArrayLike

    DOMAIN: ClassVar[dict[str, Interval]] = {"size": SHIFT}

    @classmethod
    def matching(cls, other: Perturbation) -> "MagnitudeShift":
        """The shift whose error has the same Frobenius norm: size = √(v + 1 − 2c) of `other`.

        For sign flips of rate p the size is 2√p.
        """
        return cls(_matching_size(other.moments()))

    @law()
    def moments(self, mean_magnitude: ArrayLike = GAUSSIAN_MAGNITUDE) -> Moments:
        """(1 + size·b, 1 + 2·size·b + size², size·b, size²·(1 − b²)), of the shape of `size`."""
        size, b = within(SHIFT, self.size), jnp.asarray(mean_magnitude)
        # v − c² in closed form: formed from c and v it would lose all digits of a small size.
        # 1 − b² as a product: of weights of almost one magnitude b is close to 1.
        drift = size * b
        return Moments(1 + drift, 1 + 2 * drift + size**2, drift, size**2 * ((1 - b) * (1 + b)))

    def apply(self, key: PRNGKeyArray, w: Float[Array, "..."]) -> Float[Array, "..."]:
        """Add size·σ·sign(w); `key` is not used."""
        del key
        return w + jnp.asarray(self.size, dtype=w.dtype) * root_mean_square(w) * signs(w)


@perturbation
class MagnitudeNoise:
    """w' = w + size·σ·sign(w)·g with g ~ N(0, 1) independent for each entry (Proposition 1's error).

    c = 1, v = 1 + size², drift = 0, noise = size².

    Args:
      size: at least 0, in units of σ. An array for moments, a scalar for `apply`.

    Raises:
      InvalidInput: for a concrete size that is negative or not finite. A traced one gives NaN moments.
    """

    size: ArrayLike

    DOMAIN: ClassVar[dict[str, Interval]] = {"size": NOISE}

    @classmethod
    def matching(cls, other: Perturbation) -> "MagnitudeNoise":
        """The noise whose error has the same expected Frobenius norm: size = √(v + 1 − 2c) of `other`."""
        return cls(_matching_size(other.moments()))

    @law()
    def moments(self) -> Moments:
        """(1, 1 + size², 0, size²), of the shape of `size`."""
        size = within(NOISE, self.size)
        # Not plain 1 and 0: each moment takes the size's shape, and its NaN outside.
        return Moments(1 + 0 * size, 1 + size**2, 0 * size, size**2)

    def apply(self, key: PRNGKeyArray, w: Float[Array, "..."]) -> Float[Array, "..."]:
        """Add size·σ·sign(w)·g."""
        # g is symmetric: sign(w) changes no law, and is kept because the error is one of the magnitude.
        gaussian = jax.random.normal(key, w.shape, dtype=w.dtype)
        return w + jnp.asarray(self.size, dtype=w.dtype) * root_mean_square(w) * signs(w) * gaussian
