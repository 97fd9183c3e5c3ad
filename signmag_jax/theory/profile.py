"""Finite width for a given input: the exact law of the energy that a row's flips move.

For a unit input x and mask M the share q = Σ_j M_j x_j² decides everything; its law has the Laplace transform
E e^(−tq) = Π_j (1 − p + p e^(−t x_j²)). The gap G(q) = sin θ − θ cos θ, cos θ = 1 − 2q, has
G'' = 2/√(q(1−q)), which is a Laplace transform itself,
1/√(q(1−q)) = ∫_0^∞ K(t)(e^(−tq) + e^(−t(1−q))) dt with K(t) = e^(t/2)K₀(t/2)/π,
so that E G is one integral over t of products. Nothing is sampled and no convolution is needed.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from signmag_jax.evidence import invalid
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import Real, is_traced, law

from .arguments import CUMULANTS, NORMAL_RATE, RATE, check_many_flips, resolved, shape_of
from .width import check_own_law, check_width, finite_ratio, first_order, ratio_change, width_expansion

# The trapezoidal rule in log t: the integrand is analytic for |Im log t| < π/2 and the error e^(−π²/step).
STEP = 0.25
LOG_T = np.arange(-45.0, 85.0, STEP)
# This part of the largest exponent: up to there e^t is a number.
MIRROR = 0.9
FEW_FLIPS = 10.0
INPUT = Interval(fix="pass finite entries")


@functools.cache
def _nodes() -> tuple[np.ndarray, np.ndarray]:
    """t, and 2K(t)/t² dt: the weights of second differences."""
    from scipy.special import k0e  # slow to import, and few ask for it

    t = np.exp(LOG_T)
    return t, 2 * STEP * k0e(t / 2) / (np.pi * t)


def profile_width_ratio(rate: ArrayLike, x: ArrayLike, weights: Any = "gaussian") -> Real:
    """A(p) for one given input x and infinitely many rows: exact average over the flips of a row.

    T(flip) = v/2 − 2(E κ)² with κ averaged over q = Σ M_j x_j²/‖x‖², M_j ~ Bernoulli(p): exact in the flips.
    T(shift) is exact to first order in Σ x_j⁴/‖x‖⁴, by its fourth cumulants. For equal |x_j| the flips'
    is the binomial law of q = K/n; averaged over the sphere they are those of `finite_width_ratio`. The
    quadrature errs by 1e-12, relative.

    Args:
      rate: flip rate in (0, 1/2]; the shift has size 2√rate.
      x: the input, a vector of at least 2 entries, not all 0; only |x_j|/‖x‖ matters.
      weights: as in `finite_width_ratio`; that of others holds where a row holds many flips.

    Returns:
      Array of the shape of `rate`; NaN where a traced rate lies outside.

    Raises:
      InvalidInput: for a concrete rate outside (0, 1/2], or an input that is no such vector; for weights that
        are not Gaussian also where a row holds too few flips, 4·rate·‖x‖⁴/Σx_j⁴ < E w⁴.
    """
    _check_input(x)
    if not is_traced(x):
        check_own_law(weights, rate, effective_inputs(x))
    return resolved("profile_width_ratio", _ratio(rate, x, weights))


def profile_width_gap(rate: ArrayLike, x: ArrayLike) -> Real:
    """E[sin θ − θ cos θ] over the flips of a row for one given input.

    Args and errors as in `profile_width_ratio`.
    """
    _check_input(x)
    return np.asarray(rate) * resolved("profile_width_gap", _gap_per_rate(rate, x))


def _check_input(x: ArrayLike) -> None:
    shape = shape_of("x", x)
    if len(shape) != 1 or shape[0] < 2:
        raise invalid("x is a vector of at least 2 entries", shape, "pass one input of the layer")
    if not is_traced(x):
        INPUT.require("x", x)
        if not np.any(np.asarray(x)):
            raise invalid("x != 0", "zeros", "pass an input with a direction")


@law(domain={"rate": RATE}, read=CUMULANTS)
def _ratio(rate: ArrayLike, x: Any, weights: Any) -> Array:
    p, share = jnp.asarray(rate), shares_of(jnp.asarray(x))
    fourth = jnp.sum(share**2)
    return finite_ratio(p, _gaps(p, share), fourth, weights) * first_order(p, 1 / fourth, weights)


@law(domain={"rate": RATE})
def _gap_per_rate(rate: ArrayLike, x: Any) -> Array:
    return _gaps(jnp.asarray(rate), shares_of(jnp.asarray(x)))


def shares_of(x: Float[Array, " n"]) -> Float[Array, " n"]:
    """x_j²/‖x‖²."""
    # Relative to the largest entry no square over- or underflows.
    square = (x / jnp.max(jnp.abs(x))) ** 2
    return square / jnp.sum(square)


def _gaps(p: Float[Array, "..."], share: Float[Array, " n"]) -> Float[Array, "..."]:
    """E G(q)/p at each rate."""
    one = lambda rate: gap_of_shares(rate, jnp.ones_like(share), share)  # noqa: E731
    return jax.lax.map(one, jnp.ravel(p)).reshape(p.shape)


def gap_of_shares(
    p: Float[Array, ""], thinned: Float[Array, " n"], share: Float[Array, " n"]
) -> Float[Array, ""]:
    """E G(q)/p, q = Σ M_j share_j, for shares that sum to 1 and columns that flip at rates p·thinned_j."""
    t, weight = (jnp.asarray(a, dtype=share.dtype) for a in _nodes())
    last = MIRROR * math.log(jnp.finfo(share.dtype).max)
    # It is analytic in p: below this rate it does not change, nor does its derivative.
    least = math.exp(-last / 2)
    p = jnp.where(p < least, least + (p - jax.lax.stop_gradient(p)), p)

    def node(t: Array) -> Array:
        below = _second_difference(-t * share, p, thinned)
        near = jnp.minimum(t, last)
        above = jnp.exp(-near) * _second_difference(near * share, p, thinned)
        # Beyond, what the mirrored transform leaves out, e^(−t)(1 + tp), is nothing.
        return below + jnp.where(t < last, above, _mirrored(t, share, p, thinned))

    # Recomputed in the reverse pass: what it would have to keep takes several times as long to compile.
    return jnp.sum(weight * jax.lax.map(jax.checkpoint(node), t, batch_size=32))


def _second_difference(
    a: Float[Array, " n"], p: Float[Array, ""], thinned: Float[Array, " n"]
) -> Float[Array, ""]:
    """(E e^s − 1 − E s)/p for s = Σ M_j a_j.

    Column by column, E e^s − 1 = Σ_j p_j(e^{a_j} − 1)·Π_{i<j}(1 + p_i(e^{a_i} − 1)), terms of one sign, as
    are those of its derivative.
    """
    grown = jnp.expm1(a)
    before = _exclusive(jnp.log1p(p * thinned * grown))
    return jnp.sum(thinned * (grown * jnp.expm1(before) + _expm1_rest(a)))


def _mirrored(
    t: Float[Array, ""], share: Float[Array, " n"], p: Float[Array, ""], thinned: Float[Array, " n"]
) -> Float[Array, ""]:
    """(E e^(−t(1−q)) − e^(−t))/p column by column, where e^t is no number."""
    a, own = t * share, p * thinned
    # A column that is never flipped brings the factor e^(−a), which underflows.
    factor = jnp.maximum(own + (1 - own) * jnp.exp(-a), jnp.finfo(a.dtype).tiny)
    after = jnp.flip(_exclusive(jnp.flip(a)))
    return jnp.sum(thinned * jnp.exp(_exclusive(jnp.log(factor)) - after) * -jnp.expm1(-a))


def _exclusive(a: Float[Array, " n"]) -> Float[Array, " n"]:
    """The sum of all entries before each."""
    return jnp.concatenate([jnp.zeros_like(a[:1]), jnp.cumsum(a)[:-1]])


def _expm1_rest(x: Array) -> Array:
    """e^x − 1 − x to full relative accuracy."""
    small = jnp.abs(x) < 0.5
    s = jnp.where(small, x, jnp.zeros_like(x))
    total = jnp.zeros_like(s)
    for k in range(16, 1, -1):
        total = (total * s + 1) / k
    return jnp.where(small, s * s * total, jnp.expm1(x) - x)


@law(domain={"rate": NORMAL_RATE}, read=CUMULANTS)
def _slope(rate: ArrayLike, x: Any, weights: Any) -> Array:
    return ratio_change(jnp.asarray(rate), weights) * jnp.sum(shares_of(jnp.asarray(x)) ** 2)


def profile_width_slope(rate: ArrayLike, x: ArrayLike, weights: Any = "gaussian") -> Real:
    """A_x(p)/A(p) − 1 to first order in Σx_j⁴/‖x‖⁴, exact at every p: flips and shift, by fourth cumulants.

    A third of `finite_width_slope` for each Σx_j⁴/‖x‖⁴, which is 3/n on the sphere. Meant where the input
    spreads over many flips: see `infinite_width_holds`.

    Args and errors as in `profile_width_ratio`.
    """
    _check_input(x)
    return resolved("profile_width_slope", _slope(rate, x, weights))


@counting
def infinite_width_holds(rate: ArrayLike, x: ArrayLike | None = None, *, n: int | None = None) -> Any:
    """Whether a row holds enough flips for the infinite-width law to be meant: p‖x‖⁴/Σx_j⁴ >= 10.

    ‖x‖⁴/Σx_j⁴ is the effective number of inputs, (n+2)/3 on the sphere and n where all |x_j| are equal;
    times p it is about 1/(relative variance of q). At 10 the law is off by √p/(20π), relative, a tenth of the
    contraction 0.17√p that the law itself describes; far below 1 most rows hold no flip, and the law to use
    is that of single flips (`finite_width_saturation`).

    Args:
      rate: flip rate in (0, 1/2], scalar or array.
      x: the input; or
      n: the width, for inputs on the sphere.

    Raises:
      InvalidInput: for a rate or input outside, or unless exactly one of x and n is given.
    """
    if (x is None) == (n is None):
        raise invalid("exactly one of x and n", (x, n), "pass the input or the width")
    RATE.require("rate", rate)
    if x is not None:
        _check_input(x)
        return np.asarray(rate) * effective_inputs(x) >= FEW_FLIPS
    return np.asarray(rate) * (check_width(n) + 2) / 3 >= FEW_FLIPS


def effective_inputs(x: ArrayLike) -> float:
    """‖x‖⁴/Σx_j⁴ of a concrete input."""
    square = (np.asarray(x, dtype=np.float64) / np.max(np.abs(x))) ** 2
    return float(np.sum(square) ** 2 / np.sum(square**2))


def profile_width_expansion(rate: ArrayLike, x: ArrayLike, weights: Any = "gaussian") -> Real:
    """A(p)·(1 + slope): one input to first order in Σx_j⁴/‖x‖⁴, the slope that of `profile_width_slope`.

    Args and errors as in `profile_width_ratio`; refused where a row holds too few flips, p‖x‖⁴/Σx_j⁴ < 1.

    Source: proofs/finite_width.py.
    """
    _check_input(x)
    if is_traced(x):
        fourth = jnp.sum(shares_of(jnp.asarray(x)) ** 2)
    else:
        fourth = 1 / effective_inputs(x)
        check_many_flips(rate, 1 / fourth)
        check_own_law(weights, rate, 1 / fourth)
    return width_expansion(rate, fourth, 1 / fourth, weights)
