"""LayerNorm and its first and second Fréchet derivatives: RMSNorm's, of what y has beyond its mean.

With P = 1 − 11ᵀ/d, which takes the mean of d features away, M(y) = gain ∘ n(Py) + bias, so that
DM(y)[δ] = DN(Py)[Pδ] and D²M(y)[a, b] = D²N(Py)[Pa, Pb]. The kernel of DM(y) holds the constants besides, and
the line of y exactly when eps = 0.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from signmag_jax.evidence import invalid
from signmag_jax.evidence.precision import at_least_float32, floating

from . import normalisation
from .inputs import Gain, Rows, accept
from .normalisation import mean


def layernorm(
    y: Rows, gain: Gain = None, bias: Gain = None, eps: ArrayLike = 0.0
) -> Float[Array, "*batch features"]:
    """M(y) = gain ∘ (y − mean y)/√(mean (y − mean y)² + eps) + bias, along the last axis.

    Args:
      y: at least one row of features, whose differences are finite.
      gain: one factor a feature; None is 1.
      bias: one number a feature; None is 0.
      eps: one number, at least 0.

    Returns:
      Array of the shape and dtype of `y`.

    Raises:
      InvalidInput: as `rmsnorm` does, and for a row of equal entries with eps = 0, where M is undefined.

    Source: Ba, Kiros and Hinton 2016 (arXiv:1607.06450).
    """
    rows, factor = accept(y, gain, eps, centred=True)
    found = normalisation._rmsnorm(_centred(rows), factor, eps)
    if bias is not None:
        added = floating("bias", bias)
        if added.shape != rows.shape[-1:]:
            raise invalid("bias.shape == (features,)", (added.shape, rows.shape), "pass one number a feature")
        found = found + jnp.broadcast_to(added.astype(found.dtype), found.shape)
    return found.astype(rows.dtype)


def layernorm_jvp(
    y: Rows, delta: Rows, gain: Gain = None, eps: ArrayLike = 0.0
) -> Float[Array, "*batch features"]:
    """DM(y)[δ]: the derivative of `layernorm` at y along δ. Args, dtype and errors as there."""
    rows, factor, along = accept(y, gain, eps, delta, centred=True)
    return normalisation._jvp(_centred(rows), factor, _centred(along), eps).astype(rows.dtype)


def layernorm_adjoint(
    y: Rows, cotangent: Rows, gain: Gain = None, eps: ArrayLike = 0.0
) -> Float[Array, "*batch features"]:
    """DM(y)*[u]: ⟨u, DM(y)[δ]⟩ = ⟨DM(y)*[u], δ⟩ for all δ. Args, dtype and errors as in `layernorm`."""
    rows, factor, u = accept(y, gain, eps, cotangent, centred=True)
    wide = u.astype(at_least_float32(u.dtype))
    # (N∘P)* = P∘N*: the cotangent is centred behind N's adjoint, not before it.
    return _centred(normalisation._adjoint(_centred(rows), factor, wide, eps)).astype(rows.dtype)


def layernorm_hessian(
    y: Rows, a: Rows, b: Rows, gain: Gain = None, eps: ArrayLike = 0.0
) -> Float[Array, "*batch features"]:
    """D²M(y)[a, b], bilinear and symmetric in a and b. Args, dtype and errors as in `layernorm`."""
    rows, factor, a, b = accept(y, gain, eps, a, b, centred=True)
    found = normalisation._hessian(_centred(rows), factor, _centred(a), _centred(b), eps)
    return found.astype(rows.dtype)


@jax.jit
def _centred(x: Array) -> Array:
    wide = x.astype(at_least_float32(x.dtype))
    # A common part, however large, is gone before anything is rounded: equal entries are exactly 0.
    wide = wide - wide[..., :1]
    return wide - mean(wide)
