"""Causal attention as one kernel of NVIDIA's cuDNN, in half precision: where and whether it is used."""

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


ONE_KERNEL, SPANS = "one kernel of cuDNN", "spans of queries"

_taken: dict[str, str] = {}


def taken() -> dict[str, str]:
    """What attention without derivatives was made of in this process on an accelerator, by what it is of.

    "one kernel of cuDNN" or "spans of queries", with the reason where the kernel exists and is not used;
    "bfloat16, 8 x 2048 tokens, 9 heads of 64" is an example of what it is of.
    """
    return dict(_taken)


def has_kernel(
    queries: Float[jax.Array, "batch tokens heads head_dim"],
    keys: Float[jax.Array, "batch tokens kv_heads head_dim"],
    window: Int[jax.Array, ""] | None,
) -> bool:
    """Whether attention without derivatives is `one_kernel`, which `taken` says from then on."""
    plain = window is None and jax.typeof(queries).sharding.mesh.size <= 1
    return made_of(queries.shape, keys.shape[2], queries.dtype, plain) == ONE_KERNEL


def made_of(shape: tuple[int, ...], kv_heads: int, dtype: jnp.dtype, plain: bool) -> str:
    """What attention without derivatives is made of, in the words of `taken`, which has them from then on.

    One kernel on a GPU, of half precision, heads of at most `MOST_FEATURES` in multiples of `UNIT`, where it
    has no `fault` at these sizes.

    Args:
      shape: of the queries, (batch, tokens, heads, features).
      plain: whether queries see all keys before them, on one device rather than a mesh.
    """
    batch, tokens, heads, features = shape
    made, unit = SPANS, features % UNIT == 0 and features <= MOST_FEATURES
    if platform() == "gpu" and dtype in HALVES and unit and plain:
        why = fault(shape, kv_heads, dtype, platform() != jax.default_backend())
        made = f"{SPANS}: {why}" if why else ONE_KERNEL
    _taken[f"{dtype}, {batch} x {tokens} tokens, {heads} heads of {features}"] = made
    return made


def one_kernel(
    queries: Float[jax.Array, "batch tokens heads head_dim"],
    keys: Float[jax.Array, "batch tokens kv_heads head_dim"],
    values: Float[jax.Array, "batch tokens kv_heads head_dim"],
) -> Float[jax.Array, "batch tokens width"]:
    """`softmax(q kᵀ/√d + causal mask) v`: scores never leave the chip."""
    mixed = jax.nn.dot_product_attention(queries, keys, values, is_causal=True, implementation="cudnn")
    return mixed.reshape(*queries.shape[:2], -1)


@functools.cache
def fault(shape: tuple[int, int, int, int], kv_heads: int, dtype: jnp.dtype, described: bool) -> str:
    """Why the kernel is not used at these sizes here; nothing where it gives the definition's numbers.

    Other cards than NVIDIA's, old ones and incomplete installations build none. For a device that is only
    `described`: whether JAX knows how to call it.
    """
    # The same numbers in every process: sizes that pass in one may not fail in another.
    rng = np.random.default_rng(0)
    sizes = shape, *[(*shape[:2], kv_heads, shape[3])] * 2
    q, k, v = (rng.standard_normal(size, np.float32).astype(dtype) for size in sizes)
    try:
        traced = jax.jit(one_kernel).trace(q, k, v)
        if described:
            return ""
        attended = np.asarray(traced.lower().compile()(q, k, v), np.float64).reshape(shape)
    except Exception as error:  # what a library that is missing or unfit raises differs between versions
        first = str(error).partition("\n")[0][:200]
        return f"the kernel does not run here ({type(error).__name__}: {first})"
    error = largest_error(attended, q, k, v)
    return "" if error <= MOST_ERROR else f"the kernel is off by {error:.2g} of the largest number"


def largest_error(attended: np.ndarray, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> float:
    """The largest error at three tokens of the outer windows, relative to the largest number of each."""
    batch, tokens, heads, features = q.shape
    gaps = []
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
            gaps.append(np.abs(attended[window, last] - right).max() / np.abs(right).max())
    return float(np.max(gaps))
