"""RMSNorm and linear layer, with their precision stated."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Float

from signmag_jax.evidence.precision import at_least_float32


def normalise(
    x: Float[jax.Array, "*batch features"], gain: Float[jax.Array, " features"], eps: float
) -> Float[jax.Array, "*batch features"]:
    """RMSNorm in at least float32, cast back before the gain is applied, as the checkpoints expect.

    Where the mean square overflows the result is NaN: zeros would pass for a finite, wrong loss.
    """
    wide = x.astype(at_least_float32(x.dtype))
    square = jnp.mean(wide * wide, axis=-1, keepdims=True)
    scale = jax.lax.rsqrt(jnp.where(square < jnp.inf, square, jnp.nan) + eps)
    return (wide * scale).astype(x.dtype) * gain.reshape((1,) * (x.ndim - 1) + gain.shape)


def apply_linear(
    x: Float[jax.Array, "*batch inputs"],
    weight: Float[jax.Array, "outputs inputs"],
    bias: Float[jax.Array, " outputs"] | None = None,
) -> Float[jax.Array, "*batch outputs"]:
    """`x Wᵀ + b` in full precision on every platform."""
    dimensions = (((x.ndim - 1,), (1,)), ((), ()))
    # HIGHEST: accelerators otherwise round float32 inputs to TF32 or bfloat16, which no difference survives.
    y = jax.lax.dot_general(x, weight, dimensions, precision=jax.lax.Precision.HIGHEST)
    return y if bias is None else y + bias.reshape((1,) * (x.ndim - 1) + bias.shape)
