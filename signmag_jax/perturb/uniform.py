"""Uniform quantisers of k bits."""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jax.scipy.stats import norm
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence import invalid
from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import law

from .base import Moments, mean_absolute, perturbation, root_mean_square, within
from .cells import cell_errors, cell_levels, moments_of_errors, unbounded_drift

MOST_BITS = 16
MOST_ENTRIES = 10**18
SCALES = ("absmax", "mean_abs")
STEP = Interval(0.0, open_low=True, fix="pass a step > 0 in units of σ, or a name")
# A step whose half is beyond every normal number in units of σ rounds all weights to 0.
ALL_TO_ZERO = 80.0
# A quantiser that reaches so many σ in steps this small has an error whose part along w is summed apart.
REACHED, FINE = 3.0, 2.0
# The maximum in Gumbel's coordinate: the density beyond is below 1e-16, the trapezoidal rule errs by 1e-12.
GUMBEL = np.arange(-4.0, 38.0, 0.35)


@perturbation
class UniformQuantize:
    """w' = Δ·clip(round(w/Δ), −m, m) with m = 2^(bits−1) − 1: symmetric, 2m + 1 levels, 0 among them.

    Args:
      bits: 2 to 16.
      scale: "absmax", Δ = max|w|/m; "mean_abs", Δ = E|w|, BitNet b1.58's quantiser at 2 bits; or Δ itself in
        units of σ.
      entries: number of weights of the tensor, on which the moments with "absmax" depend: the largest of
        more Gaussians is larger. They are averaged over its law. Not used otherwise.

    Raises:
      InvalidInput: for other bits, an unknown name, a concrete step <= 0, or fewer than 2 entries.
    """

    bits: int
    scale: ArrayLike | str = "absmax"
    entries: int = 1 << 20

    STATIC: ClassVar[tuple[str, ...]] = ("bits", "entries")
    DOMAIN: ClassVar[dict[str, Interval]] = {"scale": STEP}
    NAMES: ClassVar[dict[str, tuple[str, ...]]] = {"scale": SCALES}

    def __post_init__(self) -> None:
        check_bits(self.bits, 2, MOST_BITS)
        whole = isinstance(self.entries, int) and not isinstance(self.entries, bool)
        if not whole or not 2 <= self.entries <= MOST_ENTRIES:
            raise invalid(
                f"entries is an integer from 2 to {MOST_ENTRIES}", self.entries, "pass the number of weights"
            )

    @property
    def steps(self) -> int:
        """m, the number of positive levels."""
        return 2 ** (self.bits - 1) - 1

    @law()
    def moments(self) -> Moments:
        """E e·w and E e² cell by cell, of the shape of `scale` (scalar for a name)."""
        if isinstance(self.scale, str) and self.scale == "absmax":
            return self._absmax_moments()
        step = within(STEP, math.sqrt(2 / math.pi) if isinstance(self.scale, str) else self.scale)
        step = jnp.minimum(step, ALL_TO_ZERO)
        every = jax.lax.map(self._given_step, jnp.ravel(step))
        return jax.tree.map(lambda moment: moment.reshape(step.shape), every)

    def _given_step(self, step: Array) -> Moments:
        cells = self._cells(step, jnp.inf)
        along, square = _both_signs(cell_errors(*cells))
        is_fine, safe = self._is_fine(step)
        # Beyond the last level each further step would have been gained at a weight of φ.
        clipped = 2 * safe * jnp.sum(norm.pdf((self._beyond(safe) - 0.5) * safe))
        fine = moments_of_errors(jnp.where(is_fine, unbounded_drift(safe) - clipped, along), square)
        # Where most of w is lost, its error is close to −w, and what is left of c and v is summed itself.
        coarse = Moments.of(*_both_signs(cell_levels(*cells)))
        return jax.tree.map(lambda f, c: jnp.where(fine.drift > -0.5, f, c), fine, coarse)

    def _cells(self, step: Array, end: Array | float) -> tuple[Array, Array, Array]:
        level = jnp.arange(self.steps + 1, dtype=step.dtype) * step
        return jnp.maximum(level - step / 2, 0 * step), (level + step / 2).at[-1].set(end), level

    def _is_fine(self, step: Array) -> tuple[Array, Array]:
        """Whether errors cancel from cell to cell, and the step, or 1 where they do not."""
        fine = (step * self.steps >= REACHED) & (step <= FINE)
        return fine, jnp.where(fine, step, jnp.ones_like(step))

    def _beyond(self, step: Array) -> Array:
        """m + 1, m + 2, … up to four times the last level, where the density is nothing."""
        return self.steps + 1 + jnp.arange(3 * self.steps, dtype=step.dtype)

    def _absmax_moments(self) -> Moments:
        s = jnp.asarray(GUMBEL)
        weight = jnp.exp(-s - jnp.exp(-s))
        # P(all below a) = exp(−e^(−s)) fixes the tail mass beyond a.
        tail = -jnp.expm1(-jnp.exp(-s) / self.entries) / 2
        largest = -ndtri(tail)

        def given_largest(a: Array) -> tuple[Array, Array]:
            along, square = _both_signs(cell_errors(*self._cells(a / self.steps, a)))
            fine, step = self._is_fine(a / self.steps)
            level = (self._beyond(step) - 1) * step
            low = jnp.maximum(level - step / 2, self.steps * step)
            beyond, _ = _both_signs(cell_errors(low, level + step / 2, level))
            along = jnp.where(fine, unbounded_drift(step) - beyond, along)
            # The largest weight is itself a level and has no error; the others follow the law within ±a.
            others = (1 - 1 / self.entries) / (1 - 2 * norm.sf(a))
            return others * along, others * square

        along, square = jax.lax.map(given_largest, largest)
        total = jnp.sum(weight)
        return moments_of_errors(jnp.sum(weight * along) / total, jnp.sum(weight * square) / total)

    def apply(self, key: PRNGKeyArray, w: Float[Array, "..."]) -> Float[Array, "..."]:
        """Quantise with the tensor's own maximum, mean or σ; `key` is not used."""
        del key
        if not isinstance(self.scale, str):
            step = jnp.asarray(self.scale, dtype=w.dtype) * root_mean_square(w)
        else:
            step = (
                mean_absolute(w) if self.scale == "mean_abs" else jnp.max(jnp.abs(w), initial=0) / self.steps
            )
        safe = jnp.where(step > 0, step, jnp.ones_like(step))
        return step * jnp.clip(jnp.round(w / safe), -self.steps, self.steps)


def _both_signs(sums: tuple[Array, Array]) -> tuple[Array, Array]:
    return 2 * jnp.sum(sums[0]), 2 * jnp.sum(sums[1])


def check_bits(bits: int, least: int, most: int) -> None:
    """Refuse anything but an integer of that range.

    Raises:
      InvalidInput: naming the range.
    """
    if isinstance(bits, bool) or not isinstance(bits, int) or not least <= bits <= most:
        raise invalid(f"bits is an integer from {least} to {most}", bits, "choose a number of bits")
