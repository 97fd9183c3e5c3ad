"""Causal attention as one kernel of NVIDIA's cuDNN, in half precision: where it is used, how it is proven."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from signmag_jax.evidence.compiling import platform

HALVES = (jnp.bfloat16, jnp.float16)
MOST_FEATURES = 128
"""Features of a head that every card with the kernel knows, in multiples of `UNIT`."""
UNIT = 8
MOST_ERROR = 2**-6
"""Largest error relative to the largest number: weights, sums and results are rounded by 2⁻⁹ each."""


def has_kernel(
    queries: Float[jax.Array, "batch tokens heads head_dim"],
    keys: Float[jax.Array, "batch tokens kv_heads head_dim"],
    window: Int[jax.Array, ""] | None,
) -> bool:
    """Whether attention without derivatives is `one_kernel`: the rule, all of it.

    On a GPU, of half precision, heads of at most `MOST_FEATURES` in multiples of `UNIT`, queries that see all
    keys before them, on one device rather than a mesh, and where the kernel is `proven` at these sizes.
    """
    features = queries.shape[3]
    return (
        platform() == "gpu"
        and queries.dtype in HALVES
        and features % UNIT == 0
        and features <= MOST_FEATURES
        and window is None
        and jax.typeof(queries).sharding.mesh.size <= 1
        and proven(queries.shape, keys.shape[2], queries.dtype, platform() != jax.default_backend())
    )


def one_kernel(
    queries: Float[jax.Array, "batch tokens heads head_dim"],
    keys: Float[jax.Array, "batch tokens kv_heads head_dim"],
    values: Float[jax.Array, "batch tokens kv_heads head_dim"],
) -> Float[jax.Array, "batch tokens width"]:
    """`softmax(q kᵀ/√d + causal mask) v`: scores never leave the chip."""
    mixed = jax.nn.dot_product_attention(queries, keys, values, is_causal=True, implementation="cudnn")
    return mixed.reshape(*queries.shape[:2], -1)


@functools.cache
def proven(shape: tuple[int, int, int, int], kv_heads: int, dtype: jnp.dtype, described: bool) -> bool:
    """Whether this machine's cuDNN builds the kernel at these sizes, and it gives the definition's numbers.

    Other cards than NVIDIA's, old ones and incomplete installations build none. For a device that is only
    `described`: whether JAX knows how to call it.
    """
    rng = np.random.default_rng(0)
    sizes = shape, *[(*shape[:2], kv_heads, shape[3])] * 2
    q, k, v = (rng.standard_normal(size, np.float32).astype(dtype) for size in sizes)
    try:
        traced = jax.jit(one_kernel).trace(q, k, v)
        if described:
            return True
        found = np.asarray(traced.lower().compile()(q, k, v), np.float64).reshape(shape)
    except Exception:  # what a library that is missing or unfit raises differs between versions
        return False
    return agree(found, q, k, v)


def agree(found: np.ndarray, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> bool:
    """Whether the first, middle and last queries of the first and last windows are as defined."""
    batch, tokens, heads, features = q.shape
    errors = []
    for window in {0, batch - 1}:
        for last in {0, tokens // 2, tokens - 1}:
            query = q[window, last].astype(np.float64)
            seen, mixed = (
                np.repeat(x[window, : last + 1].astype(np.float64), heads // k.shape[2], axis=1)
                for x in (k, v)
            )
            scores = np.einsum("hd,shd->sh", query, seen) / np.sqrt(features)
            weights = np.exp(scores - scores.max(axis=0))
            right = np.einsum("sh,shd->hd", weights / weights.sum(axis=0), mixed)
            errors.append(np.abs(found[window, last] - right).max() / np.abs(right).max())
    return bool(np.max(errors) <= MOST_ERROR)
