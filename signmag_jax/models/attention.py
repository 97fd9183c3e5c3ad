"""Causal attention in query chunks, so that no score matrix of tokens × tokens ever exists."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

QUERY_CHUNK = 128


def causal_attention(
    queries: Float[jax.Array, "batch tokens heads head_dim"],
    keys: Float[jax.Array, "batch tokens kv_heads head_dim"],
    values: Float[jax.Array, "batch tokens kv_heads head_dim"],
    window: Int[jax.Array, ""] | None = None,
    chunk: int = QUERY_CHUNK,
) -> Float[jax.Array, "batch tokens width"]:
    """`softmax(q kᵀ/√d + mask) v`, grouped-query, one chunk of queries after another.

    A chunk sees only the keys before its end, which halves the work; scores are softmaxed in at least
    float32. `window` limits a query to that many keys, itself included (traced, so it may differ by layer).
    """
    batch, tokens, heads, head_dim = queries.shape
    kv_heads = keys.shape[2]
    grouped = queries.reshape(batch, tokens, kv_heads, heads // kv_heads, head_dim) * head_dim**-0.5
    pieces = []
    for start in range(0, tokens, chunk):
        end = min(start + chunk, tokens)
        pieces.append(_attend(grouped[:, start:end], keys[:, :end], values[:, :end], start, window))
    return jnp.concatenate(pieces, axis=1).reshape(batch, tokens, heads * head_dim)


def _attend(
    queries: Float[jax.Array, "batch chunk kv_heads group head_dim"],
    keys: Float[jax.Array, "batch seen kv_heads head_dim"],
    values: Float[jax.Array, "batch seen kv_heads head_dim"],
    start: int,
    window: Int[jax.Array, ""] | None,
) -> Float[jax.Array, "batch chunk kv_heads group head_dim"]:
    exact = jax.lax.Precision.HIGHEST
    accumulate = jnp.promote_types(queries.dtype, jnp.float32)
    scores = jnp.einsum(
        "bqkgd,bskd->bkgqs", queries, keys, precision=exact, preferred_element_type=accumulate
    )
    position = start + jnp.arange(queries.shape[1], dtype=jnp.int32)[:, None]
    behind = position - jnp.arange(keys.shape[1], dtype=jnp.int32)[None, :]
    visible = behind >= 0 if window is None else (behind >= 0) & (behind < window)
    scores = jnp.where(visible[None, None, None], scores, -jnp.inf)
    weights = jax.nn.softmax(scores, axis=-1).astype(values.dtype)
    return jnp.einsum("bkgqs,bskd->bqkgd", weights, values, precision=exact)
