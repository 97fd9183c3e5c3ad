"""How large the derivative of RMSNorm is, and how far the linear response can be off."""

import functools
import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from .inputs import Gain, Rows, accept
from .normalisation import defined, normalised, wide_copies

# Enough to bring any interval of float64 numbers down to its rounding.
BISECTIONS = 100


def rmsnorm_operator_norm(y: Rows, gain: Gain = None, eps: ArrayLike = 0.0) -> Float[Array, "*batch"]:
    """‖DN(y)‖₂, the largest stretch of a perturbation by the derivative of RMSNorm.

    With û = y/‖y‖ and β = mean y²/ρ², DN(y)DN(y)ᵀ = (G² − γ(Gû)(Gû)ᵀ)/ρ² with γ = β(2 − β). Its largest
    eigenvalue lies between the two largest gain² and solves γ·Σ (gᵢûᵢ)²/(gᵢ² − λ) = 1 there. For gain = 1
    it is 1/ρ for d >= 2. Where almost all of the gain lies along y the norm is a difference, exact to
    √(rounding)·max|gain|/ρ.

    Args and errors as in `rmsnorm`.

    Returns:
      One norm a row. Where the two largest gains coincide it has no derivative in them; that of one is taken.
    """
    return _operator_norm(*accept(y, gain, eps), eps)


def rmsnorm_remainder_bound(
    y: Rows, delta: Rows, gain: Gain = None, eps: ArrayLike = 0.0
) -> Float[Array, "*batch"]:
    """An upper bound of ‖N(y+δ) − N(y) − DN(y)[δ]‖, sharp in its constant.

    ‖D²N(y)‖ <= 2·max|gain|/(√3·√d·ρ²), attained for eps = 0 at a = b with cos²(a, y) = 1/3. So the
    remainder is at most max|gain|·‖δ‖²/(√3·√d·ρ_min²), ρ_min the least ρ on the segment from y to y + δ.

    Args and errors as in `rmsnorm_jvp`.

    Returns:
      One bound a row; infinite where the segment passes through a zero of ρ.
    """
    return _remainder_bound(*accept(y, gain, eps, delta), eps)


@jax.jit
def _operator_norm(y: Array, gain: Array, eps: ArrayLike) -> Array:
    wide, g = wide_copies(y, gain)
    n, rho = normalised(wide, eps)
    beta = jnp.mean(n**2, axis=-1, keepdims=True)
    # β/‖n‖² = 1/d, also at y = 0.
    weights = (2 - beta) * (g * n) ** 2 / y.shape[-1]
    if y.shape[-1] == 1:
        return (jnp.abs(g[..., 0]) * (1 - beta[..., 0]) / rho[..., 0]).astype(y.dtype)
    return (jnp.sqrt(_largest_eigenvalue(g**2, weights)) / rho)[..., 0].astype(y.dtype)


def _largest_eigenvalue(squares: Array, weights: Array) -> Array:
    """The largest root λ of Σ weights/(squares − λ) = 1, or the largest square that has no weight."""
    order = jnp.sort(squares, axis=-1)
    second, first = order[..., -2:-1], order[..., -1:]
    low, high = jax.lax.stop_gradient((second, first))
    # Bisection: the poles at both ends throw Newton's method out of the interval. It is given no gradient.
    low, high = jax.lax.fori_loop(
        0, BISECTIONS, functools.partial(_halve, *jax.lax.stop_gradient((squares, weights))), (low, high)
    )
    root = (low + high) / 2
    value = _secular(squares, weights, root)
    # ∂λ = −∂(Σ …)/slope: the derivative of the root, which bisection itself does not have.
    slope = jax.lax.stop_gradient(_secular(squares, weights, root, power=2))
    safe = jnp.where(slope > 0, slope, jnp.ones_like(slope))
    root = root - (value - jax.lax.stop_gradient(value)) / safe
    # An end that never moved is itself the eigenvalue: its weight is 0, or it is a double square.
    return jnp.where(high == first, first, jnp.where(low == second, second, root))


def _halve(squares: Array, weights: Array, _: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
    low, high = ends
    middle = (low + high) / 2
    below = _secular(squares, weights, middle) < 1
    return jnp.where(below, middle, low), jnp.where(below, high, middle)


def _secular(squares: Array, weights: Array, value: Array, power: int = 1) -> Array:
    # A term at its own pole has weight 0, or the root would not lie there: it is left out.
    gap = squares - value
    safe = jnp.where(gap == 0, jnp.ones_like(gap), gap)
    terms = jnp.where(gap == 0, jnp.zeros_like(gap), weights / safe**power)
    return jnp.sum(terms, axis=-1, keepdims=True)


@jax.jit
def _remainder_bound(y: Array, gain: Array, delta: Array, eps: ArrayLike) -> Array:
    wide, d, g = wide_copies(y, delta, gain)
    size = jnp.sum(d**2, axis=-1, keepdims=True)
    along = -jnp.sum(wide * d, -1, keepdims=True)
    # Where the segment is nearest to 0: a minimum, which to first order does not move.
    least = jax.lax.stop_gradient(jnp.clip(along / jnp.maximum(size, jnp.finfo(d.dtype).tiny), 0, 1))
    square = jnp.mean((wide + least * d) ** 2, axis=-1) + defined(eps, d.dtype)
    # δ = 0 leaves no remainder, also where ρ is 0.
    some = size[..., 0] > 0
    size = jnp.where(some, size[..., 0], jnp.zeros_like(square))
    largest = jnp.max(jnp.abs(g), axis=-1)
    bound = largest * size / (math.sqrt(3 * y.shape[-1]) * jnp.where(some, square, jnp.ones_like(square)))
    return bound.astype(y.dtype)
