"""RMSNorm and its first and second Fréchet derivatives, exact for every eps >= 0 and gain.

Along the last axis of length d, with ρ = √(mean y² + eps) and n = y/ρ,

  N(y)         = gain ∘ n
  DN(y)[δ]     = gain ∘ (δ − n·mean(nδ))/ρ
  D²N(y)[a, b] = −gain ∘ (a·mean(nb) + b·mean(na) + n·(mean(ab) − 3·mean(na)·mean(nb)))/ρ².

DN(y)[y] = gain ∘ y·eps/ρ³, so the kernel of DN(y) is the line of y exactly when eps = 0, and DN(y) is the
transverse projection (√d/‖y‖)·P⊥(y) exactly when, besides, gain = 1.

Half precisions are computed in float32 and returned in their own dtype, with one rounding at the end.
ρ is formed relative to the largest |y|, so no square over- or underflows.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from signmag_jax.evidence import invalid
from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import at_least_float32, is_traced

EPS = Interval(0.0, fix="pass the finite eps >= 0 of the normalisation")

Rows = Float[Array, "*batch features"] | Float[np.ndarray, "*batch features"]
Gain = Float[Array, " features"] | Float[np.ndarray, " features"] | None


def rmsnorm(y: Rows, gain: Gain = None, eps: ArrayLike = 0.0) -> Float[Array, "*batch features"]:
    """N(y) = gain ∘ y/√(mean y² + eps), along the last axis.

    Args:
      y: at least one row of features.
      gain: one factor a feature; None is 1.
      eps: at least 0.

    Returns:
      Array of the shape and dtype of `y`.

    Raises:
      InvalidInput: for concrete eps < 0, or a row of zeros with eps = 0, where N is undefined.
        Traced input gives NaN there.

    Source: arXiv:2605.18933, section 3.
    """
    check(y, eps)
    return _rmsnorm(y, ones_or(gain, y), eps)


def rmsnorm_jvp(
    y: Rows, delta: Rows, gain: Gain = None, eps: ArrayLike = 0.0
) -> Float[Array, "*batch features"]:
    """DN(y)[δ] = gain ∘ (δ/ρ − y⟨y,δ⟩/(dρ³)): the derivative of `rmsnorm` at y along δ.

    Args, dtype and errors as in `rmsnorm`; `delta` has the shape of `y`.

    Source: arXiv:2605.18933, Theorem 2.
    """
    check(y, eps, delta)
    return _jvp(y, delta, ones_or(gain, y), eps)


def rmsnorm_adjoint(
    y: Rows, cotangent: Rows, gain: Gain = None, eps: ArrayLike = 0.0
) -> Float[Array, "*batch features"]:
    """DN(y)*[u] = (gain∘u − n·mean(n∘gain∘u))/ρ: ⟨u, DN(y)[δ]⟩ = ⟨DN(y)*[u], δ⟩ for all δ.

    Args, dtype and errors as in `rmsnorm`. With gain = 1 the derivative is its own adjoint.
    """
    check(y, eps, cotangent)
    return _adjoint(y, cotangent, ones_or(gain, y), eps)


def rmsnorm_hessian(
    y: Rows, a: Rows, b: Rows, gain: Gain = None, eps: ArrayLike = 0.0
) -> Float[Array, "*batch features"]:
    """D²N(y)[a, b]: the second derivative of `rmsnorm` at y, bilinear and symmetric in a and b.

    Args, dtype and errors as in `rmsnorm`; `a` and `b` have the shape of `y`.
    """
    check(y, eps, a, b)
    return _hessian(y, a, b, ones_or(gain, y), eps)


def check(y: Rows, eps: ArrayLike, *directions: Rows) -> None:
    """Refuse concrete input at which RMSNorm or its derivatives are undefined.

    Raises:
      InvalidInput: for eps < 0, a direction of another shape, or a row of zeros with eps = 0.
    """
    for direction in directions:
        if direction.shape != y.shape:
            raise invalid("direction.shape == y.shape", (direction.shape, y.shape), "give one for each row")
    if is_traced(eps):
        return
    EPS.require("eps", eps)
    if np.any(np.asarray(eps) > 0) or is_traced(y):
        return
    # XLA flushes subnormal numbers to zero, so a row of them counts as one of zeros.
    tiny = float(jnp.finfo(y.dtype).tiny)
    if np.any(np.max(np.abs(np.asarray(y)), axis=-1) < tiny):
        raise invalid("y != 0 where eps == 0", "a row of zeros", "drop the row, or pass the model's eps > 0")


def mean(x: Array) -> Array:
    """Mean along the last axis, kept."""
    return jnp.mean(x, axis=-1, keepdims=True)


def normalised(y: Array, eps: ArrayLike) -> tuple[Array, Array]:
    """(n, ρ) with n = y/ρ, computed relative to the scale max(max|y|, √eps)."""
    eps = jnp.asarray(eps, dtype=y.dtype)
    eps = jnp.where(EPS.contains(eps), eps, jnp.nan)
    largest = jnp.max(jnp.abs(y), axis=-1, keepdims=True)
    scale = jax.lax.stop_gradient(jnp.maximum(largest, jnp.sqrt(eps)))
    # Squared after dividing: XLA would turn eps/scale/scale into eps/(scale·scale), which underflows.
    floor = jax.lax.stop_gradient((jnp.sqrt(eps) / scale) ** 2)
    relative = y / scale
    root = jnp.sqrt(mean(relative**2) + floor)
    return relative / root, scale * root


def ones_or(gain: Gain, y: Rows) -> Array:
    """The gain as an array, 1 where there is none."""
    if gain is None:
        return jnp.ones(y.shape[-1], dtype=y.dtype)
    return jnp.asarray(gain)


def wide_copies(y: Array, *others: Array) -> tuple[Array, ...]:
    """The arguments in the precision of the computation, in the shape of the first."""
    dtype = at_least_float32(y.dtype)
    return tuple(jnp.broadcast_to(x.astype(dtype), y.shape) for x in (y, *others))


@jax.jit
def _rmsnorm(y: Array, gain: Array, eps: ArrayLike) -> Array:
    wide, g = wide_copies(y, gain)
    return (g * normalised(wide, eps)[0]).astype(y.dtype)


@jax.jit
def _jvp(y: Array, delta: Array, gain: Array, eps: ArrayLike) -> Array:
    wide, d, g = wide_copies(y, delta, gain)
    n, rho = normalised(wide, eps)
    return (g * (d - n * mean(n * d)) / rho).astype(y.dtype)


@jax.jit
def _adjoint(y: Array, u: Array, gain: Array, eps: ArrayLike) -> Array:
    wide, u, g = wide_copies(y, u, gain)
    n, rho = normalised(wide, eps)
    return ((g * u - n * mean(n * g * u)) / rho).astype(y.dtype)


@jax.jit
def _hessian(y: Array, a: Array, b: Array, gain: Array, eps: ArrayLike) -> Array:
    wide, a, b, g = wide_copies(y, a, b, gain)
    n, rho = normalised(wide, eps)
    # Scaling the directions first keeps 1/ρ² from overflowing where the result does not.
    a, b = a / rho, b / rho
    along_a, along_b = mean(n * a), mean(n * b)
    return -(g * (a * along_b + b * along_a + n * (mean(a * b) - 3 * along_a * along_b))).astype(y.dtype)
