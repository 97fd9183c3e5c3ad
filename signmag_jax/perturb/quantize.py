"""One-bit and ternary quantisers."""

import functools
import math
from typing import ClassVar

import jax.numpy as jnp
from jax.scipy.stats import norm
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import at_least_float32, law

from .base import (
    GAUSSIAN_MAGNITUDE,
    Moments,
    mean_absolute,
    perturbation,
    root_mean_square,
    signs,
    visible,
    within,
)

THRESHOLD = Interval(0.0, fix="pass a finite threshold >= 0 in units of σ, or a name")
SCALE = Interval(0.0, open_low=True, fix="pass a finite scale > 0 in units of σ, or a name")
SCALES = ("least_squares", "mean_abs")
MULTIPLES = {"half_mean_abs": 0.5, "twn": 0.7}
THRESHOLDS = (*MULTIPLES, "optimal")


@functools.cache
def optimal_threshold() -> float:
    """The t that maximises cos² = 2φ(t)²/Q(t) of a ternary Gaussian, where φ(t) = 2t·Q(t)."""
    from scipy.optimize import brentq  # slow to import, and few ask for it

    density = lambda t: math.exp(-(t**2) / 2) / math.sqrt(2 * math.pi)  # noqa: E731
    tail = lambda t: math.erfc(t / math.sqrt(2)) / 2  # noqa: E731
    return float(brentq(lambda t: density(t) - 2 * t * tail(t), 0.1, 2.0, xtol=1e-15))  # pyright: ignore[reportArgumentType]


def _mean_beyond(t: Array, density: Array, tail: Array) -> Array:
    """E[w | w > t] = φ/Q; where Q underflows, above t = 37, from its continued fraction."""
    some = tail > 0
    # Either branch gets an argument at which its derivative is finite, taken or not.
    far = jnp.where(some, jnp.full_like(t, 40.0), t)
    return jnp.where(
        some, density / jnp.where(some, tail, jnp.ones_like(tail)), far + 1 / (far + 2 / (far + 3 / far))
    )


@perturbation
class SignQuantize:
    """w' = E|w|·sign(w): one bit a weight at the least-squares scale (the error is orthogonal to w').

    With b = E|w|/σ, √(2/π) of Gaussian weights: c = v = b², drift = b² − 1, noise = b²·(1 − b²).
    """

    @law()
    def moments(self, mean_magnitude: ArrayLike = GAUSSIAN_MAGNITUDE) -> Moments:
        """The four constants, as scalars."""
        b = jnp.asarray(mean_magnitude)
        # Not 1 − b², which cancels for weights nearly all of one size.
        lost = (1 - b) * (1 + b)
        return Moments(b**2, b**2, -lost, b**2 * lost)

    def apply(self, key: PRNGKeyArray, w: Float[Array, "..."]) -> Float[Array, "..."]:
        """mean|w|·sign(w) with the tensor's own mean; `key` is not used."""
        del key
        return mean_absolute(w) * signs(w)


@perturbation
class Ternarize:
    """w' = s·sign(w) where |w| > t·σ, else 0.

    With φ, Q the normal density and upper tail at t: c = 2sφ, v = 2s²Q, noise = 2s²·(Q − 2φ²). At thresholds
    above 38 these underflow and the moments are those of pruning everything: c = v = 0.

    Args:
      threshold: t in units of σ, or "half_mean_abs", BitNet b1.58's ½E|w| (t = 1/√(2π) for Gaussians),
        "twn", the ternary-weight networks' 0.7E|w|, or "optimal", the best t for Gaussians.
      scale: s in units of σ, or "least_squares", E[|w| | |w| > tσ], or "mean_abs", BitNet's E|w|.

    Raises:
      InvalidInput: for an unknown name, or a concrete number out of range. Traced ones give NaN.
    """

    threshold: ArrayLike | str = "half_mean_abs"
    scale: ArrayLike | str = "least_squares"

    DOMAIN: ClassVar[dict[str, Interval]] = {"threshold": THRESHOLD, "scale": SCALE}
    NAMES: ClassVar[dict[str, tuple[str, ...]]] = {"threshold": THRESHOLDS, "scale": SCALES}

    @classmethod
    def bitnet(cls) -> "Ternarize":
        """BitNet b1.58's own quantiser: threshold ½E|w|, scale E|w|."""
        return cls("half_mean_abs", "mean_abs")

    @classmethod
    def twn(cls) -> "Ternarize":
        """The ternary-weight networks' rule of thumb: threshold 0.7E|w|, least-squares scale."""
        return cls("twn", "least_squares")

    @classmethod
    def optimal(cls) -> "Ternarize":
        """The best threshold for Gaussian weights, at its least-squares scale."""
        return cls("optimal", "least_squares")

    @law()
    def moments(self) -> Moments:
        """(2sφ, 2s²Q, 2sφ − 1, 2s²(Q − 2φ²)), of the broadcast shape of threshold and scale."""
        t = within(THRESHOLD, self._gaussian_threshold())
        density, tail = norm.pdf(t), norm.sf(t)
        if isinstance(self.scale, str) and self.scale == "least_squares":
            c = 2 * density * _mean_beyond(t, density, tail)
            return Moments(c, c, c - 1, c * (1 - c))
        s = within(SCALE, math.sqrt(2 / math.pi) if isinstance(self.scale, str) else self.scale)
        c = 2 * s * density
        # The scale is not squared alone: a large one would overflow where hardly anything is kept.
        return Moments(c, 2 * s * (s * tail), c - 1, 2 * s * (s * (tail - 2 * density**2)))

    def _gaussian_threshold(self) -> ArrayLike:
        if not isinstance(self.threshold, str):
            return self.threshold
        if self.threshold == "optimal":
            return optimal_threshold()
        return MULTIPLES[self.threshold] * math.sqrt(2 / math.pi)

    def apply(self, key: PRNGKeyArray, w: Float[Array, "..."]) -> Float[Array, "..."]:
        """Quantise with the tensor's own σ and means; `key` is not used."""
        del key
        if isinstance(self.threshold, str) and self.threshold in MULTIPLES:
            unit, multiple = mean_absolute(w), MULTIPLES[self.threshold]
        else:
            unit, multiple = root_mean_square(w), jnp.asarray(self._gaussian_threshold(), dtype=w.dtype)
        kept = jnp.abs(w) > multiple * unit
        return visible(jnp.where(kept, self._own_scale(w, kept) * signs(w), jnp.zeros_like(w)), unit)

    def _own_scale(self, w: Float[Array, "..."], kept: Array) -> Float[Array, ""]:
        if not isinstance(self.scale, str):
            return jnp.asarray(self.scale, dtype=w.dtype) * root_mean_square(w)
        if self.scale == "mean_abs":
            return mean_absolute(w)
        wide = jnp.abs(w.astype(at_least_float32(w.dtype)))
        # Where nothing is kept no scale matters, but 0/0 would be NaN.
        count = jnp.maximum(jnp.sum(kept), 1).astype(wide.dtype)
        return (jnp.sum(jnp.where(kept, wide, jnp.zeros_like(wide))) / count).astype(w.dtype)
