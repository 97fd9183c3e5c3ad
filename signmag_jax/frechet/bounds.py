"""How large the derivative of RMSNorm is, and how far the linear response can be off."""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from .normalisation import Gain, Rows, check, normalised, ones_or, wide_copies

BISECTIONS = 100


def rmsnorm_operator_norm(y: Rows, gain: Gain = None, eps: ArrayLike = 0.0) -> Float[Array, "*batch"]:
    """‖DN(y)‖₂, the largest stretch of a perturbation by the derivative of RMSNorm.

    With û = y/‖y‖ and β = mean y²/ρ², DN(y)DN(y)ᵀ = (G² − γ(Gû)(Gû)ᵀ)/ρ² with γ = β(2 − β). Its largest
    eigenvalue lies between the two largest gain² and solves γ·Σ (gᵢûᵢ)²/(gᵢ² − λ) = 1 there. For gain = 1
    it is 1/ρ for d >= 2. Where almost all of the gain lies along y the norm is a difference, exact to
    √(rounding)·max|gain|/ρ.

    Args and errors as in `rmsnorm`.

    Returns:
      One norm a row.
    """
    check(y, eps)
    return _operator_norm(y, ones_or(gain, y), eps)


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
    check(y, eps, delta)
    return _remainder_bound(y, delta, ones_or(gain, y), eps)


@jax.jit
def _operator_norm(y: Array, gain: Array, eps: ArrayLike) -> Array:
    wide, g = wide_copies(y, gain)
    n, rho = normalised(wide, eps)
    beta = jnp.mean(n**2, axis=-1, keepdims=True)
    weights = (
        beta
        * (2 - beta)
        * (g * n) ** 2
        / jnp.maximum(jnp.sum(n**2, -1, keepdims=True), jnp.finfo(n.dtype).tiny)
    )
    squares = g**2
    if y.shape[-1] == 1:
        return (jnp.abs(g[..., 0]) * (1 - beta[..., 0]) / rho[..., 0]).astype(y.dtype)
    order = jnp.sort(squares, axis=-1)
    low, high = order[..., -2:-1], order[..., -1:]

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        gap = squares - middle
        safe = jnp.where(gap == 0, jnp.ones_like(gap), gap)
        secular = jnp.sum(jnp.where(gap == 0, jnp.zeros_like(gap), weights / safe), axis=-1, keepdims=True)
        below = secular < 1
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    low, high = jax.lax.fori_loop(0, BISECTIONS, halve, (low, high))
    return (jnp.sqrt((low + high) / 2) / rho)[..., 0].astype(y.dtype)


@jax.jit
def _remainder_bound(y: Array, delta: Array, gain: Array, eps: ArrayLike) -> Array:
    wide, d, g = wide_copies(y, delta, gain)
    size = jnp.sqrt(jnp.sum(d**2, axis=-1, keepdims=True))
    least = jnp.clip(
        -jnp.sum(wide * d, -1, keepdims=True) / jnp.maximum(size**2, jnp.finfo(d.dtype).tiny), 0, 1
    )
    nearest = wide + least * d
    square = jnp.mean(nearest**2, axis=-1) + jnp.asarray(eps, dtype=d.dtype)
    largest = jnp.max(jnp.abs(g), axis=-1)
    bound = largest * size[..., 0] ** 2 / (math.sqrt(3 * y.shape[-1]) * square)
    return jnp.where(size[..., 0] > 0, bound, jnp.zeros_like(bound)).astype(y.dtype)
