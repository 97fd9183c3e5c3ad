"""Causal attention in query chunks, so that no score matrix of tokens × tokens ever exists."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from signmag_jax.evidence.compiling import platform
from signmag_jax.evidence.precision import at_least_float32

from .chunks import rows_at_once

# Measured on a CPU at 2,048 tokens: scores of 128 queries stay in cache, and 16 spans of queries, each
# with the keys before its end, do 17/32 of the full square's work where ever more spans would do 1/2.
QUERY_CHUNK = 128
SPANS = 16


def causal_attention(
    queries: Float[jax.Array, "batch tokens heads head_dim"],
    keys: Float[jax.Array, "batch tokens kv_heads head_dim"],
    values: Float[jax.Array, "batch tokens kv_heads head_dim"],
    window: Int[jax.Array, ""] | None = None,
    chunk: int | None = None,
    spans: int | None = None,
) -> Float[jax.Array, "batch tokens width"]:
    """`softmax(q kᵀ/√d + mask) v`, grouped-query, a span of queries after another, in chunks within each.

    A span sees only the keys before its end. Scores are softmaxed in at least float32. `window` limits a
    query to that many keys, itself included (traced, so it may differ by layer). By default `chunk` queries
    and `spans` are what the platform is best with; away from a CPU that is one span, since a program grows
    with their number, and compiling it with the window.
    """
    batch, tokens, heads, head_dim = queries.shape
    kv_heads = keys.shape[2]
    chunk = min(chunk or rows_at_once(QUERY_CHUNK, batch * heads * tokens), tokens)
    spans = spans or (SPANS if platform() == "cpu" else 1)
    padded = jnp.pad(queries * head_dim**-0.5, ((0, 0), (0, -tokens % chunk), (0, 0), (0, 0)))
    grouped = padded.reshape(batch, -1, chunk, kv_heads, heads // kv_heads, head_dim)
    grouped = grouped.transpose(1, 0, 3, 4, 2, 5)
    keys, values = keys.swapaxes(1, 2), values.swapaxes(1, 2)
    chunks = grouped.shape[0]
    span = -(-chunks // spans)
    pieces = []
    for first in range(0, chunks, span):
        if pieces:  # One span after another: XLA would run them at once, and their scores leave the cache.
            grouped, pieces[-1] = jax.lax.optimization_barrier((grouped, pieces[-1]))
        last = min(first + span, chunks)
        seen = min(last * chunk, tokens)
        starts = chunk * jnp.arange(first, last, dtype=jnp.int32)
        pieces.append(_attend(grouped[first:last], starts, keys[:, :, :seen], values[:, :, :seen], window))
    mixed = jnp.concatenate(pieces).transpose(1, 0, 4, 2, 3, 5)
    return mixed.reshape(batch, chunks * chunk, heads * head_dim)[:, :tokens]


def _attend(
    queries: Float[jax.Array, "chunks batch kv_heads group chunk head_dim"],
    starts: Int[jax.Array, " chunks"],
    keys: Float[jax.Array, "batch kv_heads seen head_dim"],
    values: Float[jax.Array, "batch kv_heads seen head_dim"],
    window: Int[jax.Array, ""] | None,
) -> Float[jax.Array, "chunks batch kv_heads group chunk head_dim"]:
    exact = jax.lax.Precision.HIGHEST
    wide = at_least_float32(queries.dtype)
    key_position = jnp.arange(keys.shape[2], dtype=jnp.int32)[None, :]

    # Within a loop nothing needs to keep XLA from merging what is computed again: of a single chunk, whose
    # loop XLA removes, a layer's backward pass then computes the scores once.
    @functools.partial(jax.checkpoint, prevent_cse=False)
    def one(piece: tuple[jax.Array, jax.Array]) -> jax.Array:
        some, start = piece
        scores = jnp.einsum("bkgqd,bksd->bkgqs", some, keys, precision=exact, preferred_element_type=wide)
        # A softmax of what is visible: −∞ gives exactly 0, and every query sees at least itself.
        behind = start + jnp.arange(some.shape[3], dtype=jnp.int32)[:, None] - key_position
        visible = behind >= 0 if window is None else (behind >= 0) & (behind < window)
        scores = jnp.where(visible[None, None, None], scores, -jnp.inf)
        weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True)))
        # Dividing after the product touches head_dim numbers a query instead of one for each key.
        total = weights.sum(axis=-1, keepdims=True)
        mixed = jnp.einsum(
            "bkgqs,bksd->bkgqd",
            weights.astype(values.dtype),
            values,
            precision=exact,
            preferred_element_type=wide,
        )
        return (mixed / total).astype(values.dtype)

    return jax.lax.map(one, (queries, starts))
