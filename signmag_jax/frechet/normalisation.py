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

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from signmag_jax.evidence.precision import at_least_float32

from .inputs import EPS, Gain, Rows, accept


def rmsnorm(y: Rows, gain: Gain = None, eps: ArrayLike = 0.0) -> Float[Array, "*batch features"]:
    """N(y) = gain ∘ y/√(mean y² + eps), along the last axis.

    Args:
      y: at least one row of features. Lists and integers take JAX's default precision.
      gain: one factor a feature; None is 1.
      eps: one number, at least 0.

    Returns:
      Array of the shape and dtype of `y`.

    Raises:
      InvalidInput: for anything but real numbers, a gain of another shape, and concrete eps < 0 or a row of
        zeros with eps = 0, where N is undefined. Traced input gives NaN there. With eps > 0 the value and
        all derivatives exist at y = 0 too.

    Source: arXiv:2605.18933, section 3.
    """
    return _rmsnorm(*accept(y, gain, eps), eps)


def rmsnorm_jvp(
    y: Rows, delta: Rows, gain: Gain = None, eps: ArrayLike = 0.0
) -> Float[Array, "*batch features"]:
    """DN(y)[δ] = gain ∘ (δ/ρ − y⟨y,δ⟩/(dρ³)): the derivative of `rmsnorm` at y along δ.

    Args, dtype and errors as in `rmsnorm`; `delta` has the shape of `y`.

    Source: arXiv:2605.18933, Theorem 2.
    """
    return _jvp(*accept(y, gain, eps, delta), eps)


def rmsnorm_adjoint(
    y: Rows, cotangent: Rows, gain: Gain = None, eps: ArrayLike = 0.0
) -> Float[Array, "*batch features"]:
    """DN(y)*[u] = (gain∘u − n·mean(n∘gain∘u))/ρ: ⟨u, DN(y)[δ]⟩ = ⟨DN(y)*[u], δ⟩ for all δ.

    Args, dtype and errors as in `rmsnorm`. With gain = 1 the derivative is its own adjoint.
    """
    return _adjoint(*accept(y, gain, eps, cotangent), eps)


def rmsnorm_hessian(
    y: Rows, a: Rows, b: Rows, gain: Gain = None, eps: ArrayLike = 0.0
) -> Float[Array, "*batch features"]:
    """D²N(y)[a, b]: the second derivative of `rmsnorm` at y, bilinear and symmetric in a and b.

    Args, dtype and errors as in `rmsnorm`; `a` and `b` have the shape of `y`.
    """
    return _hessian(*accept(y, gain, eps, a, b), eps)


def mean(x: Array) -> Array:
    """Mean along the last axis, kept."""
    return jnp.mean(x, axis=-1, keepdims=True)


def defined(eps: ArrayLike, dtype: Any) -> Array:
    """eps in that precision, NaN where it is negative or not finite."""
    eps = jnp.asarray(eps, dtype=dtype)
    return jnp.where(EPS.contains(eps), eps, jnp.nan)


def normalised(y: Array, eps: ArrayLike) -> tuple[Array, Array]:
    """(n, ρ) with n = y/ρ, computed relative to the scale max(max|y|, √eps)."""
    eps = defined(eps, y.dtype)
    # Of √eps and max|y| the larger: a row of zeros has a scale too, and eps/scale² is at most 1.
    largest = jnp.max(jnp.abs(y), axis=-1, keepdims=True)
    # n and ρ do not depend on the scale, which is therefore a constant to their derivatives.
    scale = jax.lax.stop_gradient(jnp.maximum(largest, jnp.sqrt(eps)))
    relative = y / scale
    root = jnp.sqrt(mean(relative**2) + _over_square(eps, scale))
    return relative / root, scale * root


@jax.custom_jvp
def _over_square(eps: Array, scale: Array) -> Array:
    """eps/scale², squared after dividing: XLA would turn eps/scale/scale into eps/(scale·scale)."""
    return (jnp.sqrt(eps) / scale) ** 2


@_over_square.defjvp
def _over_square_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    # By rule, as √eps has no derivative at eps = 0; the scale is a constant.
    eps, scale = primals
    inverse = 1 / scale
    return _over_square(eps, scale), tangents[0] * inverse * inverse


def wide_copies(y: Array, *others: Array) -> tuple[Array, ...]:
    """The arguments in the precision of the computation, in the shape of the first."""
    # Means of half-precision squares would lose most of their digits to the accumulation alone.
    dtype = at_least_float32(y.dtype)
    return tuple(jnp.broadcast_to(x.astype(dtype), y.shape) for x in (y, *others))


@jax.jit
def _rmsnorm(y: Array, gain: Array, eps: ArrayLike) -> Array:
    wide, g = wide_copies(y, gain)
    return (g * normalised(wide, eps)[0]).astype(y.dtype)


@jax.jit
def _jvp(y: Array, gain: Array, delta: Array, eps: ArrayLike) -> Array:
    wide, d, g = wide_copies(y, delta, gain)
    n, rho = normalised(wide, eps)
    # ρ last: 1/ρ may overflow where the quotient does not.
    return (g * (d - n * mean(n * d)) / rho).astype(y.dtype)


@jax.jit
def _adjoint(y: Array, gain: Array, u: Array, eps: ArrayLike) -> Array:
    wide, u, g = wide_copies(y, u, gain)
    n, rho = normalised(wide, eps)
    return ((g * u - n * mean(n * g * u)) / rho).astype(y.dtype)


@jax.jit
def _hessian(y: Array, gain: Array, a: Array, b: Array, eps: ArrayLike) -> Array:
    wide, a, b, g = wide_copies(y, a, b, gain)
    n, rho = normalised(wide, eps)
    # Scaling the directions first keeps 1/ρ² from overflowing where the result does not.
    a, b = a / rho, b / rho
    along_a, along_b = mean(n * a), mean(n * b)
    return -(g * (a * along_b + b * along_a + n * (mean(a * b) - 3 * along_a * along_b))).astype(y.dtype)
