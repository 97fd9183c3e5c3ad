"""Finite width: a row of n weights holds few flips, and what they move depends on where they fall.

Given the mask M and a unit input x, (z, z') is exactly Gaussian with correlation 1 − 2q, q = Σ_j M_j x_j²;
for x uniform on the sphere q | K flips ~ Beta(K/2, (n−K)/2) with K ~ Bin(n, p). A Gaussian input has the
same q, because q does not depend on its length. The mean of κ over q is all that the finite law needs, and
κ = c/2 + g/(2π) with E c = 1 − 2p exactly, so only the gap g = sin θ − θ cos θ is averaged.

The magnitude shift needs no correction at this order: it acts on every weight alike, and E z'² and E zz'
over the sphere are those of the infinite width.

Where n·p is far below 1 most rows hold no flip at all and contribute exactly nothing; the law is then that
of single flips, and the infinite-width law is not meant.
"""

import functools
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from signmag_jax.evidence import invalid
from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import Real, law
from signmag_jax.perturb import MagnitudeShift, SignFlip

from .energies import RATE, relu_block, resolved_rate
from .kernel import gap
from .theorem_3 import transverse_ratio

ANGLE_NODES = 96
# exp(−40) of the peak: what is cut away is below 1e-17 of the mean.
CUT = 40.0
LARGEST = 1_000_000
WIDTH = Interval(2.0, float(LARGEST), fix="pass the number of inputs of the layer, an integer")
# Bounds the memory of a table: a million inputs have as many rows of nodes.
ROWS_AT_ONCE = 8192


@functools.lru_cache(maxsize=16)
def mean_gaps(n: int) -> Float[np.ndarray, " flips"]:
    """E[sin θ − θ cos θ | K flips] for K = 0..n and an input on the sphere in n dimensions.

    With q = sin²(t), t = θ/2, the Beta law has the density sin^(K−1)t·cos^(n−K−1)t on (0, π/2), whose
    logarithm is concave with second derivative <= −(n−2). Gauss–Legendre on the interval where it is above
    exp(−40) of its peak is exact to rounding.
    """
    nodes, weights = np.polynomial.legendre.leggauss(ANGLE_NODES)
    result = np.empty(n + 1)
    result[0], result[n] = 0.0, math.pi
    for start in range(1, n, ROWS_AT_ONCE):
        k = np.arange(start, min(start + ROWS_AT_ONCE, n), dtype=np.float64)[:, None]
        result[start : start + k.size] = _beta_means(k, n, nodes, weights)
    result.setflags(write=False)
    return result


def _beta_means(k: np.ndarray, n: int, nodes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    mode = np.arctan2(np.sqrt(k - 1), np.sqrt(n - k - 1)) if n > 2 else np.full_like(k, math.pi / 4)
    reach = math.sqrt(2 * CUT / (n - 2)) if n > 2 else math.pi
    low, high = np.maximum(mode - reach, 0.0), np.minimum(mode + reach, math.pi / 2)
    t = (low + high) / 2 + (high - low) / 2 * nodes
    with np.errstate(divide="ignore"):
        log_density = (k - 1) * np.log(np.sin(t)) + (n - k - 1) * np.log(np.cos(t))
    # Relative to its peak: the normalising Beta function under- and overflows at large n.
    density = weights * np.exp(log_density - log_density.max(axis=1, keepdims=True))
    return (density * _gap_of_angle(2 * t)).sum(axis=1) / density.sum(axis=1)


def _gap_of_angle(theta: np.ndarray) -> np.ndarray:
    """sin θ − θ cos θ in NumPy: the series below 1, where the difference would cancel."""
    total, term = np.zeros_like(theta), theta**3 / 6
    for k in range(1, 12):
        total += 2 * k * term
        term = -term * theta**2 / ((2 * k + 2) * (2 * k + 3))
    return np.where(theta < 1, total, np.sin(theta) - theta * np.cos(theta))


def check_width(n: int) -> int:
    """The width as an int.

    Raises:
      InvalidInput: unless n is an integer from 2 to 1,000,000.
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or not WIDTH.contains(n):
        raise invalid(f"{WIDTH.describe('n')}, an integer", n, WIDTH.fix)
    return int(n)


def finite_width_ratio(rate: ArrayLike, n: int) -> Real:
    """A(p) at n inputs on the sphere and infinitely many rows: exact average over the flips of a row.

    T(flip) = v/2 − 2(E κ)² with κ averaged over K ~ Bin(n, p) and q | K ~ Beta(K/2, (n−K)/2).

    Args:
      rate: flip rate in (0, 1/2]; the shift has size 2√rate.
      n: number of inputs, 2 to 1,000,000 (a table of n + 1 means is built once).

    Returns:
      Array of the shape of `rate`; NaN where a traced rate lies outside.

    Raises:
      InvalidInput: for a concrete rate or a width outside.
    """
    return _finite_width_ratio(rate, check_width(n), padded_table(n))


def finite_width_gap(rate: ArrayLike, n: int) -> Real:
    """E[sin θ − θ cos θ] over the flips of a row: what the finite law has in place of the gap at rate p.

    Args and errors as in `finite_width_ratio`.
    """
    return _finite_width_gap(rate, check_width(n), padded_table(n))


def padded_table(n: int) -> Float[np.ndarray, " padded"]:
    """`mean_gaps(n)` followed by zeros up to a power of two, so that few widths compile anew."""
    table = mean_gaps(n)
    size = max(64, 1 << (table.size - 1).bit_length())
    return np.concatenate([table, np.zeros(size - table.size)])


@law(domain={"rate": RATE})
def _finite_width_ratio(rate: ArrayLike, n: ArrayLike, table: Any) -> Array:
    p = resolved_rate(rate)
    shift = relu_block(MagnitudeShift(2 * jnp.sqrt(p)).moments())
    return transverse_of_gap(p, mixture(p, jnp.asarray(n), table)) / shift.transverse


@law(domain={"rate": RATE})
def _finite_width_gap(rate: ArrayLike, n: ArrayLike, table: Any) -> Array:
    return mixture(jnp.asarray(rate), jnp.asarray(n), table)


def transverse_of_gap(p: Array, mean_gap: Array) -> Array:
    """T of flips at rate p whose gap has this mean: noise/2 − c·g/π − g²/(2π²)."""
    return 2 * p * (1 - p) - (1 - 2 * p) * mean_gap / jnp.pi - (mean_gap / jnp.pi) ** 2 / 2


def mixture(
    p: Float[Array, "..."], n: Float[Array, ""], table: Float[Array, " padded"]
) -> Float[Array, "..."]:
    """Σ_K Bin(K; n, p)·table[K], for a table that is 0 at K = 0 and beyond n.

    The binomial weights are Loader's saddle-point form, which keeps 1e-14 where log-gammas lose 1e-10.
    """
    flips = jnp.arange(1, table.shape[0], dtype=p.dtype)
    inside = flips < n
    k = jnp.where(inside, flips, jnp.ones_like(flips))
    prefactor = _stirling_error(n) - _stirling_error(k) - _stirling_error(n - k)
    prefactor = prefactor + jnp.log(n / (2 * jnp.pi * k * (n - k))) / 2
    wide = k.reshape(k.shape + (1,) * p.ndim)
    log_weight = prefactor.reshape(wide.shape) - _deviance(wide, n * p[None])
    log_weight = log_weight - _deviance(n - wide, n * (1 - p[None]))
    values = jnp.where(inside, table[1:], jnp.zeros_like(k)).reshape(wide.shape)
    # The saddle-point form divides by n − K; K = n has weight p^n and gap π.
    return jnp.sum(jnp.exp(log_weight) * values, axis=0) + p**n * jnp.pi


def _stirling_error(k: Array) -> Array:
    """log k! − log(√(2πk)(k/e)^k): the series above 15, where log-gamma would cancel."""
    large = jnp.where(k > 15, k, jnp.full_like(k, 16.0))
    x = 1 / large**2
    series = (1 / 12 - x * (1 / 360 - x * (1 / 1260 - x * (1 / 1680 - x / 1188)))) / large
    small = jnp.where(k > 15, jnp.ones_like(k), k)
    direct = gammaln(small + 1) - jnp.log(2 * jnp.pi * small) / 2 - small * jnp.log(small) + small
    return jnp.where(k > 15, series, direct)


def _deviance(x: Array, mean: Array) -> Array:
    """x·log(x/mean) + mean − x, without cancellation near x = mean (Loader 2000)."""
    difference, total = x - mean, x + mean
    ratio = difference / total
    near = jnp.abs(ratio) < 0.1
    s = jnp.where(near, ratio, jnp.zeros_like(ratio))
    # x log(x/M) = 2x artanh(s) = 2x(s + s³/3 + …); the terms beyond s¹⁹ are below 1e-19.
    tail = jnp.zeros_like(s)
    for order in range(19, 1, -2):
        tail = (tail + 1 / order) * s**2
    close = difference * s + 2 * x * s * tail
    far = x * jnp.log(x / mean) - difference
    return jnp.where(near, close, far)


@law(domain={"rate": RATE})
def finite_width_slope(rate: ArrayLike) -> Float[Array, "..."]:
    """Coefficient of 1/n in A_n(p)/A(p) − 1 for n·p ≫ 1: −6κ√(p(1−p))/(πT), → −3/(2π√p) as p → 0.

    From Var q = 3p(1−p)/(n+2) and g'' = 2/√(p(1−p)). For n·p ≪ 1 the change saturates instead, at
    `finite_width_saturation`.

    Args:
      rate: flip rate in (0, 1/2].
    """
    p = jnp.asarray(rate)
    flip = SignFlip(p).moments()
    kappa = flip.c / 2 + gap(flip.c, flip.noise) / (2 * jnp.pi)
    return -6 * kappa * jnp.sqrt(p * (1 - p)) / (jnp.pi * relu_block(flip).transverse)


def finite_width_saturation(n: int) -> Real:
    """lim_{p→0} A_n(p)/A(p) − 1 = −n·E[g | one flip]/(2π), which → −(4/(3π))√(8/π)/√n for large n.

    A row then holds at most one flip, q ~ Beta(½, (n−1)/2): the limits p → 0 and n → ∞ of the ratio are both
    π/(π−2), but not uniformly.

    Args:
      n: number of inputs, 2 to 1,000,000.

    Raises:
      InvalidInput: for a width outside.
    """
    return np.float64(-check_width(n) * mean_gaps(n)[1] / (2 * math.pi))


def finite_width_expansion(rate: ArrayLike, n: int) -> Real:
    """A(p)·(1 + slope/n), slope = −6κ√(p(1−p))/(πT): the law of width n to first order in 1/n, for n·p ≫ 1.

    Args and errors as in `finite_width_ratio`.

    Source: proofs/finite_width.py.
    """
    return transverse_ratio(rate) * (1 + finite_width_slope(rate) / check_width(n))


def finite_width_saturation_expansion(n: int) -> Real:
    """−(4/(3π))√(8/π)/√n: the change of the ratio where rows hold one flip at most, to leading order.

    Args and errors as in `finite_width_saturation`.

    Source: proofs/finite_width.py.
    """
    return np.float64(-4 / (3 * math.pi) * math.sqrt(8 / math.pi) / math.sqrt(check_width(n)))
