"""The quantiser of 2^k levels with the least mean squared error on Gaussian weights."""

import functools
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence import Incomplete
from signmag_jax.evidence.precision import law

from .base import Moments, perturbation, root_mean_square, signs
from .cells import cell_errors
from .uniform import check_bits

MOST_BITS = 8
# Newton's method takes 5 at 8 bits: so many end what does not converge.
MOST_STEPS = 100
NODES = 16


@functools.lru_cache(maxsize=MOST_BITS)
def codebook(bits: int) -> tuple[Float[np.ndarray, " inner"], Float[np.ndarray, " levels"]]:
    """The thresholds between the positive levels and those levels, in units of σ.

    Each level is the mean of its cell, each threshold the middle of its levels (Lloyd 1957, Max 1960);
    solved by Newton's method on the thresholds, from the high-resolution density φ^(1/3).

    Raises:
      InvalidInput: unless bits is an integer from 1 to 8.
      Incomplete: if the equations are not solved to 1e-14.
    """
    from scipy.special import ndtri  # slow to import, and few ask for it

    check_bits(bits, 1, MOST_BITS)
    count = 2 ** (bits - 1)
    # φ^(1/3) is the density of a Gaussian of variance 3, but for a factor.
    thresholds = np.sqrt(3.0) * ndtri(0.5 + 0.5 * np.arange(1, count) / count)
    residual = np.full(1, np.inf)
    for _ in range(MOST_STEPS):
        levels, by_low, by_high = _centroids(thresholds)
        residual = thresholds - (levels[:-1] + levels[1:]) / 2
        if np.max(np.abs(residual), initial=0.0) < 1e-14:
            return thresholds, levels
        slope = np.diag(1 - (by_high[:-1] + by_low[1:]) / 2)
        slope -= np.diag(by_high[1:-1], 1) / 2 + np.diag(by_low[1:-1], -1) / 2
        thresholds = _ordered(thresholds, np.linalg.solve(slope, residual))
    raise Incomplete(f"the {bits}-bit codebook is not solved to 1e-14: {np.max(np.abs(residual)):g} is left")


def _ordered(thresholds: np.ndarray, step: np.ndarray) -> np.ndarray:
    """A Newton step, halved until the thresholds stay positive and increasing."""
    while np.any(np.diff(thresholds - step, prepend=0.0) <= 0):
        step = step / 2
    return thresholds - step


def _centroids(thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean of |w| in each cell, and its derivatives with respect to the cell's ends."""
    # Beyond 12σ a Gaussian weighs below 1e-32.
    low, high = np.append(0.0, thresholds), np.append(thresholds, 12.0)
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    # Panels: the first and the last cell are wide.
    panels = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, 33)
    half = np.diff(panels)[..., None] / 2
    x = panels[:, :-1, None] + half * (1 + nodes)
    mass = half * weights * np.exp(-(x**2) / 2)
    total = mass.sum(axis=(1, 2))
    mean = (mass * x).sum(axis=(1, 2)) / total
    by_low = np.exp(-(low**2) / 2) * (mean - low) / total
    by_high = np.exp(-(high**2) / 2) * (high - mean) / total
    return mean, by_low, by_high


@perturbation
class LloydMax:
    """w' = the nearest of the 2^bits levels that are best for N(0, σ²); at 1 bit the sign quantiser.

    With D the mean squared error, c = v = 1 − D, drift = −D, noise = D(1 − D): each level is the mean of its
    cell, so that the error is orthogonal to w'.

    Args:
      bits: 1 to 8.

    Raises:
      InvalidInput: for other bits.
    """

    bits: int

    STATIC: ClassVar[tuple[str, ...]] = ("bits",)

    def __post_init__(self) -> None:
        check_bits(self.bits, 1, MOST_BITS)

    @law()
    def moments(self) -> Moments:
        """(1 − D, 1 − D, −D, D(1 − D)), as scalars."""
        thresholds, levels = codebook(self.bits)
        edges = np.concatenate([[0.0], thresholds, [np.inf]])
        ends = jnp.asarray(edges[:-1]), jnp.asarray(edges[1:])
        lost = 2 * jnp.sum(cell_errors(*ends, jnp.asarray(levels))[1])
        return Moments(1 - lost, 1 - lost, -lost, lost * (1 - lost))

    def apply(self, key: PRNGKeyArray, w: Float[Array, "..."]) -> Float[Array, "..."]:
        """Quantise with the tensor's own σ; `key` is not used."""
        del key
        thresholds, levels = (jnp.asarray(x, dtype=w.dtype) for x in codebook(self.bits))
        sigma = root_mean_square(w)
        cell = jnp.searchsorted(thresholds * sigma, jnp.abs(w))
        return sigma * levels[cell] * signs(w)
