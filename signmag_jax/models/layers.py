"""RMSNorm, activations, rounding and linear layer, with their precision stated."""

from __future__ import annotations

from collections.abc import Callable

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


ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "silu": jax.nn.silu,
    "relu": jax.nn.relu,
    "relu2": lambda x: jnp.square(jax.nn.relu(x)),
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu_tanh": lambda x: jax.nn.gelu(x, approximate=True),
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    "mish": jax.nn.mish,
    "hardswish": jax.nn.hard_swish,
    "leaky_relu": jax.nn.leaky_relu,
    "relu6": jax.nn.relu6,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "linear": lambda x: x,
}
"""What `ModelConfig.activation` names."""


def round_inputs(x: Float[jax.Array, "*batch features"], bits: int) -> Float[jax.Array, "*batch features"]:
    """Each token's features rounded to multiples of its largest over 2^(bits−1) − 1, as BitNet was trained.

    Derivatives take it for the identity, as its training did: the true one is zero almost everywhere.
    Source: Ma et al., arXiv:2504.12285, and `ActQuant` of transformers.
    """
    wide = x.astype(at_least_float32(x.dtype))
    most = 2 ** (bits - 1) - 1
    # The floor with which it was trained; a token of zeros has no largest feature.
    scale = most / jnp.maximum(jnp.abs(wide).max(axis=-1, keepdims=True), 1e-5)
    codes = jnp.clip(jnp.round(wide * scale), -most - 1, most)
    # The value of the first term, the derivative of the second.
    return jax.lax.stop_gradient((codes / scale).astype(x.dtype)) + (x - jax.lax.stop_gradient(x))


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
