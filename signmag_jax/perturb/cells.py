"""Errors of scalar quantisers on Gaussian weights, cell by cell and without cancellation."""

import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from jaxtyping import Array, Float

from .base import Moments

# In units of σ. Closed forms are differences of nearly equal numbers in narrow cells; quadrature is not.
NODES = 12
NARROW = 1.0


def cell_errors(
    low: Float[Array, " cells"], high: Float[Array, " cells"], level: Float[Array, " cells"]
) -> tuple[Float[Array, " cells"], Float[Array, " cells"]]:
    """(∫ e·x φ dx, ∫ e² φ dx) over each cell [low, high] of the half-line, e = level − x.

    Narrow cells by Gauss–Legendre, whose error is below 1e-18 of the integrand there; wide ones, and the
    last, which may end at infinity, in closed form.
    """
    narrow = high - low < NARROW
    width = jnp.where(narrow, high - low, jnp.zeros_like(low))
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    along, square = jnp.zeros_like(low), jnp.zeros_like(low)
    # Node by node: an array of cells × nodes would be twelve times as large.
    for node, weight in zip(nodes, weights, strict=True):
        x = low + width * float((1 + node) / 2)
        mass = width * float(weight / 2) * norm.pdf(x)
        error = level - x
        along, square = along + mass * error * x, square + mass * error**2
    wide = _closed(low, high, level)
    return jnp.where(narrow, along, wide[0]), jnp.where(narrow, square, wide[1])


def _closed(low: Array, high: Array, level: Array) -> tuple[Array, Array]:
    # x·φ(x) is 0 at infinity, where the product would be NaN.
    end = jnp.where(jnp.isfinite(high), high, jnp.zeros_like(high))
    mass = norm.sf(low) - norm.sf(high)
    first = norm.pdf(low) - norm.pdf(high)
    second = mass + low * norm.pdf(low) - end * norm.pdf(high)
    return level * first - second, level**2 * mass - 2 * level * first + second


def cell_levels(
    low: Float[Array, " cells"], high: Float[Array, " cells"], level: Float[Array, " cells"]
) -> tuple[Float[Array, " cells"], Float[Array, " cells"]]:
    """(∫ level·x φ dx, ∫ level² φ dx) over each cell [low, high] of the half-line."""
    return level * (norm.pdf(low) - norm.pdf(high)), level**2 * (norm.sf(low) - norm.sf(high))


def unbounded_drift(step: Float[Array, ""]) -> Float[Array, ""]:
    """E e·w of rounding to multiples of a step <= 2 without an end: 2Σ(−1)^k e^(−2π²k²/step²).

    By Poisson's summation formula; summed over cells, all of it would be lost in rounding.
    """
    terms = [(-1) ** k * jnp.exp(-2 * jnp.square(jnp.pi * k / step)) for k in range(4, 0, -1)]
    return 2 * sum(terms, jnp.zeros_like(step))


def moments_of_errors(along: Array, square: Array) -> Moments:
    """Moments from E e·w and E e², in units of σ²: drift is the first, noise what it leaves of the second."""
    noise = square - along**2
    return Moments(1 + along, noise + (1 + along) ** 2, along, noise)
