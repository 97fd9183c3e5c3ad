"""Rotary position embedding."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from .config import ModelConfig, Rope


def frequencies(rope: Rope, head_dim: int) -> Float[np.ndarray, " pairs"]:
    """Angular frequencies in float32, radians a token, fastest first.

    `θ^(−2i/d)`; "linear" divides all by the factor; "llama3" divides those whose wavelength exceeds
    original/low, keeps those below original/high, and interpolates between; "divided" has a divisor for each.
    """
    # Powers in float64, rounded once.
    size = head_dim if rope.features is None else rope.features
    exponent = np.arange(0, size, 2, dtype=np.float64) / size
    fast = (1.0 / np.float64(rope.theta) ** exponent).astype(np.float32)
    if rope.kind == "default":
        return fast
    if rope.kind == "divided":
        return fast / np.asarray(rope.divisors, np.float32)
    slow = fast / np.float32(rope.factor)
    if rope.kind == "linear":
        return slow
    # Each step in float32 and in this order, as `transformers` has it.
    wavelength = np.float32(2 * math.pi) / fast
    low, high = rope.low_frequency_factor, rope.high_frequency_factor
    if low >= high:  # no step between: what is not slow is fast
        return np.where(wavelength > rope.original_positions / low, slow, fast)
    step = (np.float32(rope.original_positions) / wavelength - np.float32(low)) / np.float32(high - low)
    smooth = (1 - step) * slow + step * fast
    stretched = np.where(wavelength > rope.original_positions / low, slow, smooth)
    return np.where(wavelength < rope.original_positions / high, fast, stretched).astype(np.float32)


def rotation(
    config: ModelConfig, length: int, dtype: jnp.dtype
) -> tuple[Float[jax.Array, "length turned"], Float[jax.Array, "length turned"]]:
    """Cosines and sines of position × frequency, each repeated for both halves of what is rotated.

    The angles are float32 products, as in the implementation that the checkpoints were trained with:
    a more exact angle would be another model, by 1e-4 radians at position 2,000.
    """
    angles = np.arange(length, dtype=np.float32)[:, None] * frequencies(config.rope, config.head_dim)[None, :]
    # For the pairs (i, i + d/2) of the hub's order of rows, into which a GGUF file's are brought when read.
    angles = np.concatenate([angles, angles], axis=1)
    scale = np.float32(config.rope.scale)
    return jnp.asarray(np.cos(angles) * scale, dtype), jnp.asarray(np.sin(angles) * scale, dtype)


def turn_of_layer(
    config: ModelConfig, turn: tuple[jax.Array, jax.Array], layer: Int[jax.Array, ""]
) -> tuple[jax.Array, jax.Array]:
    """The rotation in one layer (traced): by an angle of zero where the architecture has none."""
    if config.rotated is None:
        return turn
    here = jnp.asarray(config.rotated)[layer]
    return jnp.where(here, turn[0], 1), jnp.where(here, turn[1], 0)


def rotate(
    x: Float[jax.Array, "batch tokens heads head_dim"],
    cosine: Float[jax.Array, "tokens turned"],
    sine: Float[jax.Array, "tokens turned"],
) -> Float[jax.Array, "batch tokens heads head_dim"]:
    """Rotate each pair (x_i, x_{i+d/2}) of the first d features by its position's angle; leave the rest."""
    turned = cosine.shape[-1]
    if turned < x.shape[-1]:
        return jnp.concatenate([rotate(x[..., :turned], cosine, sine), x[..., turned:]], axis=-1)
    first, second = jnp.split(x, 2, axis=-1)
    crossed = jnp.concatenate([-second, first], axis=-1)
    return x * cosine[None, :, None, :] + crossed * sine[None, :, None, :]
