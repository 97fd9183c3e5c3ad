"""Finite width for a given input: the exact law of the energy that a row's flips move.

For a unit input x and mask M the share q = Σ_j M_j x_j² decides everything; its law has the Laplace transform
E e^(−tq) = Π_j (1 − p + p e^(−t x_j²)). The gap G(q) = sin θ − θ cos θ, cos θ = 1 − 2q, has
G'' = 2/√(q(1−q)), which is a Laplace transform itself,
1/√(q(1−q)) = ∫_0^∞ K(t)(e^(−tq) + e^(−t(1−q))) dt with K(t) = e^(t/2)K₀(t/2)/π,
so that E G is one integral over t of products. Nothing is sampled and no convolution is needed.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float
from scipy.special import k0e

from signmag_jax.evidence import invalid
from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import Real, is_traced, law
from signmag_jax.perturb import MagnitudeShift

from .energies import RATE, relu_block, resolved_rate
from .kernel import gap
from .theorem_3 import transverse_ratio
from .width import transverse_of_gap

# The trapezoidal rule in log t: the integrand is analytic for |Im log t| < π/2 and the error e^(−π²/step).
STEP = 0.25
LOG_T = np.arange(-45.0, 85.0, STEP)
# Above this t the term that the mirrored transform leaves out, e^(−t)(1 + tp), is below 1e-32.
MIRROR = 80.0
FEW_FLIPS = 10.0
INPUT = Interval(fix="pass finite entries")


@functools.cache
def _nodes() -> tuple[np.ndarray, np.ndarray]:
    """t, and 2K(t)/t² dt: the weights of second differences."""
    t = np.exp(LOG_T)
    return t, 2 * STEP * k0e(t / 2) / (np.pi * t)


def profile_width_ratio(rate: ArrayLike, x: ArrayLike) -> Real:
    """A(p) for one given input x and infinitely many rows: exact average over the flips of a row.

    T(flip) = v/2 − 2(E κ)² with κ averaged over q = Σ M_j x_j²/‖x‖², M_j ~ Bernoulli(p); the shift is taken
    at infinite width. For equal |x_j| this is the binomial law of q = K/n; averaged over the sphere it is
    `finite_width_ratio`. The quadrature errs by 1e-12, relative.

    Args:
      rate: flip rate in (0, 1/2]; the shift has size 2√rate.
      x: the input, a vector of at least 2 entries, not all 0; only |x_j|/‖x‖ matters.

    Returns:
      Array of the shape of `rate`; NaN where a traced rate lies outside.

    Raises:
      InvalidInput: for a concrete rate outside (0, 1/2], or an input that is no such vector.
    """
    _check_input(x)
    return _ratio(rate, x)


def profile_width_gap(rate: ArrayLike, x: ArrayLike) -> Real:
    """E[sin θ − θ cos θ] over the flips of a row for one given input.

    Args and errors as in `profile_width_ratio`.
    """
    _check_input(x)
    return _gap(rate, x)


def _check_input(x: ArrayLike) -> None:
    if np.ndim(x) != 1 or np.shape(x)[0] < 2:
        raise invalid("x is a vector of at least 2 entries", np.shape(x), "pass one input of the layer")
    if not is_traced(x):
        INPUT.require("x", x)
        if not np.any(np.asarray(x)):
            raise invalid("x != 0", "zeros", "pass an input with a direction")


@law(domain={"rate": RATE})
def _ratio(rate: ArrayLike, x: Any) -> Array:
    p = resolved_rate(rate)
    shift = relu_block(MagnitudeShift(2 * jnp.sqrt(p)).moments())
    return transverse_of_gap(p, mean_gap(p, jnp.asarray(x))) / shift.transverse


@law(domain={"rate": RATE})
def _gap(rate: ArrayLike, x: Any) -> Array:
    return mean_gap(jnp.asarray(rate), jnp.asarray(x))


def mean_gap(p: Float[Array, "..."], x: Float[Array, " n"]) -> Float[Array, "..."]:
    """E G(q) at each rate, for use inside a law."""
    # Relative to the largest entry no square over- or underflows.
    size = jnp.max(jnp.abs(x))
    square = (x / size) ** 2
    share = square / jnp.sum(square)
    one = lambda rate: gap_of_shares(rate, share)  # noqa: E731
    return jax.lax.map(one, jnp.ravel(p)).reshape(p.shape)


def gap_of_shares(p: Array, share: Float[Array, " n"]) -> Float[Array, ""]:
    """E G(q), q = Σ M_j share_j, for shares that sum to 1 and one rate, or one for each column."""
    t, weight = (jnp.asarray(a, dtype=share.dtype) for a in _nodes())

    def node(t: Array) -> Array:
        below = _second_difference(-t * share, p)
        near = jnp.minimum(t, MIRROR)
        above = jnp.exp(-near) * _second_difference(near * share, p)
        # Columns that are never flipped bring the factor e^(−t·share), which underflows.
        factor = jnp.maximum(p + (1 - p) * jnp.exp(-t * share), jnp.finfo(share.dtype).tiny)
        mirrored = jnp.exp(jnp.sum(jnp.log(factor)))
        return below + jnp.where(t < MIRROR, above, mirrored)

    # Recomputed in the reverse pass: what it would have to keep takes several times as long to compile.
    return jnp.sum(weight * jax.lax.map(jax.checkpoint(node), t, batch_size=32))


def _second_difference(a: Float[Array, " n"], p: Array) -> Float[Array, ""]:
    """E e^s − 1 − E s for s = Σ M_j a_j, from terms of second order only."""
    grown = p * jnp.expm1(a)
    total = jnp.sum(jnp.log1p(grown))
    return _expm1_rest(total) + jnp.sum(_log1p_rest(grown)) + jnp.sum(p * _expm1_rest(a))


def _expm1_rest(x: Array) -> Array:
    """e^x − 1 − x to full relative accuracy."""
    small = jnp.abs(x) < 0.5
    s = jnp.where(small, x, jnp.zeros_like(x))
    total = jnp.zeros_like(s)
    for k in range(16, 1, -1):
        total = (total * s + 1) / k
    return jnp.where(small, s * s * total, jnp.expm1(x) - x)


def _log1p_rest(y: Array) -> Array:
    """log(1 + y) − y to full relative accuracy for y > −1/2 − rounding."""
    small = jnp.abs(y) < 0.2
    s = jnp.where(small, y, jnp.zeros_like(y))
    # log(1+y) = 2 artanh(u), u = y/(2+y); 2u − y = −uy.
    u = s / (2 + s)
    total = jnp.zeros_like(s)
    for k in range(23, 1, -2):
        total = total * u**2 + 1 / k
    return jnp.where(small, 2 * u**3 * total - u * s, jnp.log1p(y) - y)


@law(domain={"rate": RATE})
def _slope(rate: ArrayLike, x: Any) -> Array:
    p, x = jnp.asarray(rate), jnp.asarray(x)
    square = (x / jnp.max(jnp.abs(x))) ** 2
    fourth = jnp.sum(square**2) / jnp.sum(square) ** 2
    drift, noise = -2 * p, 4 * p * (1 - p)
    infinite = gap(1 + drift, noise)
    kappa = (1 + drift) / 2 + infinite / (2 * jnp.pi)
    return -2 * kappa * jnp.sqrt(p * (1 - p)) * fourth / (jnp.pi * transverse_of_gap(p, infinite))


def profile_width_slope(rate: ArrayLike, x: ArrayLike) -> Real:
    """A_x(p)/A(p) − 1 to first order in Σx_j⁴/‖x‖⁴: −2κ√(p(1−p))/(πT)·Σx_j⁴/‖x‖⁴.

    From Var q = p(1−p)Σx_j⁴ and G'' = 1/√(p(1−p))·2; on the sphere Σx_j⁴ = 3/(n+2), which gives
    `finite_width_slope`. Good where the input spreads over many flips: see `infinite_width_holds`.

    Args and errors as in `profile_width_ratio`.
    """
    _check_input(x)
    return _slope(rate, x)


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
    if x is None:
        effective = (n + 2) / 3  # pyright: ignore[reportOptionalOperand]
    else:
        _check_input(x)
        square = (np.asarray(x, dtype=np.float64) / np.max(np.abs(x))) ** 2
        effective = np.sum(square) ** 2 / np.sum(square**2)
    return np.asarray(rate) * effective >= FEW_FLIPS


def profile_width_expansion(rate: ArrayLike, x: ArrayLike) -> Real:
    """A(p)·(1 + slope), slope = −2κ√(p(1−p))/(πT)·Σx_j⁴/‖x‖⁴: one input to first order in Σx_j⁴/‖x‖⁴.

    Args and errors as in `profile_width_ratio`.

    Source: proofs/finite_width.py.
    """
    return transverse_ratio(rate) * (1 + profile_width_slope(rate, x))
