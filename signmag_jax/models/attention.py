"""Causal attention in query chunks, so that no score matrix of tokens × tokens ever exists."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from signmag_jax.evidence.compiling import platform
from signmag_jax.evidence.precision import at_least_float32

from .attention_kernel import has_kernel, one_kernel
from .chunks import rows_at_once

# Measured on a CPU at 2,048 tokens: scores of 128 queries stay in cache, and 16 spans of queries, each
# with the keys before its end, do 17/32 of the full square's work where ever more spans would do 1/2.
QUERY_CHUNK = 128
SPANS = 16
# A GPU wants more queries in a span, and each span is compiled: four do 5/8 of the work, eight would do 9/16.
SPAN_OF_ACCELERATOR = 512
SPANS_OF_ACCELERATOR = 4

Soften = Callable[[jax.Array], tuple[jax.Array, jax.Array]]
"""Makes of scores the weights of the keys, and the divisor of the mixture of values."""


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
    and `spans` are what the platform is best with.
    """
    if platform() == "cpu" or chunk or spans:
        return _in_spans(queries, keys, values, window, chunk or QUERY_CHUNK, spans or SPANS, _late)
    return _on_accelerator(queries, keys, values, window)


@jax.custom_jvp
def _on_accelerator(queries: Any, keys: Any, values: Any, window: Any) -> jax.Array:
    if has_kernel(queries, keys, window):
        return one_kernel(queries, keys, values)
    spans = min(max(queries.shape[1] // SPAN_OF_ACCELERATOR, 1), SPANS_OF_ACCELERATOR)
    return _in_spans(queries, keys, values, window, _even_chunk(queries, spans), spans, _whole)


@_on_accelerator.defjvp
def _derivative(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    # In one span: with four and kernels of a whole softmax, a Hessian product takes a compiler 39 s, not 6.
    def plain(queries: Any, keys: Any, values: Any, window: Any) -> jax.Array:
        return _in_spans(queries, keys, values, window, _even_chunk(queries, 1), 1, _late)

    return jax.jvp(plain, primals, tangents)


def _even_chunk(queries: jax.Array, spans: int) -> int:
    """Queries of a chunk whose scores fit; a multiple of `spans` of them hold all, with few places over."""
    batch, tokens, heads, _ = queries.shape
    most = rows_at_once(QUERY_CHUNK, batch * heads * tokens)
    return -(-tokens // (spans * -(-tokens // (spans * most))))


def _whole(scores: jax.Array) -> tuple[jax.Array, jax.Array]:
    # One kernel, which reads scores once and writes weights once.
    return jax.nn.softmax(scores, axis=-1), jnp.ones((), scores.dtype)


def _late(scores: jax.Array) -> tuple[jax.Array, jax.Array]:
    # Dividing after the product touches head_dim numbers a query instead of one for each key.
    weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True)))
    return weights, weights.sum(axis=-1, keepdims=True)


def _in_spans(
    queries: Float[jax.Array, "batch tokens heads head_dim"],
    keys: Float[jax.Array, "batch tokens kv_heads head_dim"],
    values: Float[jax.Array, "batch tokens kv_heads head_dim"],
    window: Int[jax.Array, ""] | None,
    chunk: int,
    spans: int,
    soften: Soften,
) -> Float[jax.Array, "batch tokens width"]:
    batch, tokens, heads, head_dim = queries.shape
    kv_heads = keys.shape[2]
    chunk = min(chunk, tokens)
    padded = jnp.pad(queries * head_dim**-0.5, ((0, 0), (0, -tokens % chunk), (0, 0), (0, 0)))
    grouped = padded.reshape(batch, -1, chunk, kv_heads, heads // kv_heads, head_dim)
    grouped = grouped.transpose(1, 0, 3, 4, 2, 5)
    keys, values = keys.swapaxes(1, 2), values.swapaxes(1, 2)
    chunks = grouped.shape[0]
    span = -(-chunks // spans)
    pieces = []
    for first in range(0, chunks, span):
        # One span after another: a CPU would run them at once, and their scores leave the cache.
        if pieces and platform() == "cpu":
            grouped, pieces[-1] = jax.lax.optimization_barrier((grouped, pieces[-1]))
        last = min(first + span, chunks)
        seen = min(last * chunk, tokens)
        starts = chunk * jnp.arange(first, last, dtype=jnp.int32)
        piece = grouped[first:last], starts, keys[:, :, :seen], values[:, :, :seen]
        pieces.append(_attend(*piece, window, soften))
    mixed = jnp.concatenate(pieces).transpose(1, 0, 4, 2, 3, 5)
    return mixed.reshape(batch, chunks * chunk, heads * head_dim)[:, :tokens]


def _attend(
    queries: Float[jax.Array, "chunks batch kv_heads group chunk head_dim"],
    starts: Int[jax.Array, " chunks"],
    keys: Float[jax.Array, "batch kv_heads seen head_dim"],
    values: Float[jax.Array, "batch kv_heads seen head_dim"],
    window: Int[jax.Array, ""] | None,
    soften: Soften,
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
        weights, total = soften(scores)
        mixed = jnp.einsum(
            "bkgqs,bksd->bkgqd",
            weights.astype(values.dtype),
            values,
            precision=exact,
            preferred_element_type=wide,
        )
        return (mixed / total).astype(values.dtype)

    return jax.lax.map(one, (queries, starts))
