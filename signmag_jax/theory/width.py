"""Finite width: a row of n weights holds few flips, and what they move depends on where they fall.

Given the mask M and a unit input x, (z, z') is exactly Gaussian with correlation 1 − 2q, q = Σ_j M_j x_j²;
for x uniform on the sphere q | K flips ~ Beta(K/2, (n−K)/2) with K ~ Bin(n, p). A Gaussian input has the
same q, because q does not depend on its length. The mean of κ over q is all that the finite law needs, and
κ = c/2 + g/(2π) with E c = 1 − 2p exactly, so only the gap g = sin θ − θ cos θ is averaged.

The magnitude shift acts on every weight alike; what its width does is taken to first order in 1/n, by fourth
cumulants (see `cumulants`). A ratio is then exact to first order in 1/n, and its flips at every n.

Where n·p is far below 1 most rows hold no flip at all and contribute exactly nothing; the law is then that
of single flips, and the infinite-width law is not meant.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from signmag_jax.evidence import invalid
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import Real, is_traced, law
from signmag_jax.perturb import find_weights
from signmag_jax.perturb.weights import GAUSSIAN

from .arguments import (
    CUMULANTS,
    NORMAL_RATE,
    RATE,
    check_first_order,
    check_many_flips,
    weight_cumulants,
)
from .cumulants import flip_change, shift_change
from .energies import relu_block
from .kernel import gap
from .scaled import WeightMoments, flips, shift

# Of 1,024 inputs 24 nodes leave 8e-4 of a mean, 48 leave 3e-12, and from 64 on there is rounding alone.
ANGLE_NODES = 96
# exp(−40) of the peak: what is cut away is below 1e-17 of the mean.
CUT = 40.0
LARGEST = 1_000_000
WIDTH = Interval(2.0, float(LARGEST), fix="pass the number of inputs of the layer, an integer")
EXPANDED_WIDTH = Interval(4.0, float(LARGEST), fix="take finite_width_saturation")
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
    # Atoms: θ is 0 without a flip, and π if all entries are flipped, where the gap is π.
    result[0], result[n] = 0.0, math.pi
    for start in range(1, n, ROWS_AT_ONCE):
        k = np.arange(start, min(start + ROWS_AT_ONCE, n), dtype=np.float64)[:, None]
        result[start : start + k.size] = _beta_means(k, n, nodes, weights)
    # Kept for later calls, none of which may change it.
    result.setflags(write=False)
    return result


def _beta_means(k: np.ndarray, n: int, nodes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    # Where the density peaks; with 2 inputs it is flat.
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


def check_width(n: Any) -> int:
    """The width as an int.

    Raises:
      InvalidInput: unless n is an integer from 2 to 1,000,000.
    """
    if isinstance(n, bool) or not isinstance(n, int) or not WIDTH.contains(n):
        raise invalid(f"{WIDTH.describe('n')}, an integer", n, WIDTH.fix)
    return n


@counting
def finite_width_ratio(rate: ArrayLike, n: int, weights: Any = "gaussian") -> Real:
    """A(p) at n inputs on the sphere and infinitely many rows: flips exact, the shift to first order in 1/n.

    T(flip) = v/2 − 2(E κ)² with κ averaged over K ~ Bin(n, p) and q | K ~ Beta(K/2, (n−K)/2); T(shift) is
    corrected by its fourth cumulants, with Σ x_j⁴ = 3/n. To first order that is its mean over the sphere,
    3/(n + 2); to second order 3/n is nearer, since sixth cumulants and squares of the fourth nearly make up
    for the difference. What is left out is of the order of 1/n² and vanishes with p: at p = 1/2 it is 0.2% of
    the value with 2 inputs, 0.02% with 8. (E κ)² over all inputs differs from the mean of κ² over them by
    1/n³. For one input, or inputs whose entries are all of one size (Σ x_j⁴ = 1/n), take
    `profile_width_ratio`.

    Weights that are not Gaussian change both by their own fourth cumulants, to first order: what the flips of
    a row scatter by counts E w⁴/3 times. The heavier the tails, the more flips a row has to hold for it.
    Where E w⁶ is infinite, as of student_t:5, the 1/n term stands, but what is left out falls more slowly
    than 1/n²: sampled at p = 0.1, that ratio is 1.3% above this law at n = 128, 0.5% at 256. At p = 0.01 and
    n = 512, where a row holds five flips, rows give 2.0781(6), the first order 2.054, of 2.116 in the limit:
    there it is refused.

    Args:
      rate: flip rate in (0, 1/2]; the shift has size 2√rate.
      n: number of inputs, 2 to 1,000,000 (a table of n + 1 means is built once).
      weights: a law with third and fourth moments, as in `perturb.find_weights`: a name or `perturb.Weights`.

    Returns:
      Array of the shape of `rate`; NaN where a traced rate lies outside, or is too small for other weights.

    Raises:
      InvalidInput: for a concrete rate or a width outside; for weights that are not Gaussian also where a row
        holds too few flips, 4·rate·(n + 2)/3 < E w⁴.
    """
    check_own_law(weights, rate, (check_width(n) + 2) / 3)
    return _finite_width_ratio(rate, int(n), means_per_flip(n), weights)


def finite_width_gap(rate: ArrayLike, n: int) -> Real:
    """E[sin θ − θ cos θ] over the flips of a row: what the finite law has in place of the gap at rate p.

    Args and errors as in `finite_width_ratio`.
    """
    return np.asarray(rate) * _gap_per_rate(rate, check_width(n), means_per_flip(n))


@functools.lru_cache(maxsize=16)
def means_per_flip(n: int) -> Float[np.ndarray, " padded"]:
    """`mean_gaps(n)`[K]/K for K = 1..n, with zeros up to 512 or a power of two: few widths compile anew.

    K·Bin(K; n, p) is np·Bin(K − 1; n − 1, p): n times its mean over Bin(n − 1, p) is the mean gap per p.
    """
    means = mean_gaps(n)[1:] / np.arange(1, n + 1)
    size = max(512, 1 << (n - 1).bit_length())
    return np.concatenate([means, np.zeros(size - n)])


def check_own_law(weights: Any, rate: ArrayLike, effective: float) -> None:
    """`check_first_order`, of what is not traced, for weights that are not Gaussian.

    Raises:
      InvalidInput: as it does; for weights whose moments are not known.
    """
    fourth = weight_cumulants(weights).fourth
    if is_traced(rate, fourth) or find_weights(weights) == GAUSSIAN:
        return
    RATE.require("rate", rate)
    check_first_order(rate, effective, fourth)


@law(domain={"rate": RATE}, read=CUMULANTS)
def _finite_width_ratio(rate: ArrayLike, n: ArrayLike, means: Any, weights: Any) -> Array:
    p, inputs = jnp.asarray(rate), jnp.asarray(n)
    ratio = finite_ratio(p, _mean_gap(p, inputs, jnp.asarray(means)), 3 / inputs, weights)
    return ratio * first_order(p, (inputs + 2) / 3, weights)


def first_order(p: Array, effective: Array, weights: WeightMoments) -> Array:
    """1, or NaN where `check_first_order` would refuse numbers that are not traced."""
    inside = (4 * p * effective >= weights.fourth) | (jnp.asarray(weights.fourth) == 3)
    return jnp.where(inside, 1, jnp.nan)


@law(domain={"rate": RATE})
def _gap_per_rate(rate: ArrayLike, n: ArrayLike, means: Any) -> Array:
    return _mean_gap(jnp.asarray(rate), jnp.asarray(n), jnp.asarray(means))


def _mean_gap(p: Array, inputs: Array, means: Array) -> Array:
    """The mean gap per p, see `means_per_flip`."""
    return inputs * binomial_mean(p, inputs - 1, means)


def finite_ratio(p: Array, mean_gap: Array, fourth: Array, weights: WeightMoments) -> Array:
    """A of flips whose gap per p has this mean, and of the shift at this Σ x_j⁴, for use inside a law."""
    # To first order in the scatter of what a row's flips move, which is that of Gaussian weights times this.
    wider = weights.fourth / 3
    opened = (wider * mean_gap + (1 - wider) * gap(*flips(p)[:2], flips(p).noise)) / jnp.pi
    # T/p with the gap's mean in place of the gap: (E κ)², for infinitely many rows average before the square.
    flip = 2 * (1 - p) - (1 - 2 * p) * opened - p * opened**2 / 2
    shifted = shift(p, weights)
    return flip / (relu_block(shifted).pair.transverse * (1 + fourth * shift_change(shifted, weights)))


@jax.custom_jvp
def binomial_mean(p: Array, n: Array, table: Array) -> Array:
    """Σ_K Bin(K; n, p)·table[K], K = 0..n, for a table that may go on beyond n.

    The binomial weights are Loader's saddle-point form, which keeps 1e-14 where log-gammas lose 1e-10. The
    derivative is n·Σ_K Bin(K; n−1, p)(table[K+1] − table[K]), in which nothing cancels.
    """
    flips = jnp.arange(table.shape[0], dtype=p.dtype)
    inside = (flips > 0) & (flips < n)
    k = jnp.where(inside, flips, jnp.ones_like(flips))
    left = jnp.where(inside, n - k, jnp.ones_like(k))
    prefactor = _stirling_error(jnp.maximum(n, 1)) - _stirling_error(k) - _stirling_error(left)
    prefactor = prefactor + jnp.log(jnp.maximum(n, 1) / (2 * jnp.pi * k * left)) / 2
    wide = (k.shape[0],) + (1,) * p.ndim
    log_weight = prefactor.reshape(wide) - _deviance(k.reshape(wide), n * p[None])
    log_weight = log_weight - _deviance(left.reshape(wide), n * (1 - p[None]))
    values = jnp.where(inside, table, jnp.zeros_like(k)).reshape(wide)
    # The saddle-point form divides by K and n − K.
    last = jnp.sum(jnp.where(flips == n, table, jnp.zeros_like(table)))
    # (1 − p)^n by log1p: 1 − p is rounded, and the power would multiply that by n.
    ends = jnp.exp(n * jnp.log1p(-p)) * table[0] + jnp.where(n > 0, p**n * last, 0 * p)
    return jnp.sum(jnp.exp(log_weight) * values, axis=0) + ends


@binomial_mean.defjvp
def _binomial_mean_jvp(primals: tuple[Array, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    p, n, table = primals
    rises = jnp.concatenate([jnp.diff(table), jnp.zeros_like(table[:1])])
    return binomial_mean(p, n, table), n * binomial_mean(p, n - 1, rises) * tangents[0]


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


@law(domain={"rate": NORMAL_RATE}, read=CUMULANTS)
def finite_width_slope(rate: ArrayLike, weights: Any = "gaussian") -> Float[Array, "..."]:
    """Coefficient of 1/n in A_n(p)/A(p) − 1, exact at every p: 3(ΔT/T of flips − ΔT/T of the shift).

    Meant for n·p ≫ 1. Each is per Σ x_j⁴, whose mean on the sphere, 3/(n + 2), is 3/n to this order:
    −κ√D/(πT)·E w⁴/3 of flips, from Δκ = √D E w⁴/(12π), and aε³κ(a + 2bε + ε²)/(6πkv²T) of the shift of
    Gaussian weights by ε = 2√p, a = 2b² − 1, both from the fourth cumulants of (w, w'). The first,
    −3/(2π√p) for p → 0, leads; the second is 24% of the slope at p = 1/2. For n·p ≪ 1 the change saturates
    instead, at `finite_width_saturation`.

    Args:
      rate: flip rate in (0, 1/2], at least 2.3e-308.
      weights: as in `finite_width_ratio`.

    Source: proofs/finite_width.py.
    """
    return 3 * ratio_change(jnp.asarray(rate), weights)


def ratio_change(p: Array, weights: WeightMoments) -> Array:
    """ΔA/A per Σ x_j⁴, for use inside a law."""
    return flip_change(flips(p), weights) - shift_change(shift(p, weights), weights)


@counting
def finite_width_saturation(n: int) -> Real:
    """lim_{p→0} A_n(p)/A(p) − 1 = −n·E[g | one flip]/(2π), which → −(4/(3π))√(8/π)/√n for large n.

    A row then holds at most one flip, q ~ Beta(½, (n−1)/2): the limits p → 0 and n → ∞ of the ratio are both
    π/(π−2), but not uniformly. Of Gaussian weights: where one weight flips, more than moments of its law
    counts.

    Args:
      n: number of inputs, 2 to 1,000,000.

    Raises:
      InvalidInput: for a width outside.
    """
    return np.float64(-check_width(n) * mean_gaps(n)[1] / (2 * math.pi))


@counting
def finite_width_expansion(rate: ArrayLike, n: int, weights: Any = "gaussian") -> Real:
    """A(p)·(1 + slope/n): the law of width n to first order in 1/n, for rows that hold many flips.

    The slope is `finite_width_slope`. It leaves a share 1/(n·p) of its own size, and is refused where a row
    holds too few flips: p(n + 2)/3 < 1.

    Args and errors as in `finite_width_ratio`.

    Source: proofs/finite_width.py.
    """
    effective = (check_width(n) + 2) / 3
    check_many_flips(rate, effective)
    check_own_law(weights, rate, effective)
    return width_expansion(rate, 3 / n, effective, weights)


@law(domain={"rate": RATE}, read=CUMULANTS)
def width_expansion(rate: ArrayLike, fourth: ArrayLike, effective: ArrayLike, weights: Any) -> Array:
    """A(p) to first order in this Σ x_j⁴; NaN with too few flips on that many effective inputs."""
    p = jnp.asarray(rate)
    ratio = relu_block(flips(p)).pair.transverse / relu_block(shift(p, weights)).pair.transverse
    value = ratio * (1 + jnp.asarray(fourth) * ratio_change(p, weights))
    return value * jnp.where(p * effective >= 1, 1, jnp.nan) * first_order(p, jnp.asarray(effective), weights)


@counting
def finite_width_saturation_expansion(n: int, weights: Any = "gaussian") -> Real:
    """−(4/(3π)) (E|w|³/σ³)/√n: the change of the ratio where rows hold one flip at most, to leading order.

    Of Gaussian weights E|w|³/σ³ is √(8/π); the heavier the tails, the more width changes.

    Args:
      n: number of inputs, 4 to 1,000,000: below, it is off by more than a tenth.
      weights: as in `finite_width_ratio`.

    Raises:
      InvalidInput: for a width outside, or weights whose third moment is not known.

    Source: proofs/finite_width.py.
    """
    width = check_width(n)
    EXPANDED_WIDTH.require("n", width)
    return _saturation(width, weights)


@law(read=CUMULANTS)
def _saturation(n: ArrayLike, weights: Any) -> Array:
    return -4 / (3 * jnp.pi) * jnp.asarray(weights.third) / jnp.sqrt(jnp.asarray(n))
