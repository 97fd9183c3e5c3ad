"""Pure functions of parameters and tokens: hidden states, logits, per-token NLL in bounded memory."""

from __future__ import annotations

import functools
from typing import Any

import jax
import optax
from jaxtyping import Float, Int

from signmag_jax.evidence import invalid
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.precision import at_least_float32

from .chunks import in_chunks, rows_at_once
from .config import ModelConfig
from .decoder_layer import Observe, Transform
from .layers import apply_linear
from .llama import Llama
from .sharding import over_data

LOGIT_CHUNK = 256
"""Tokens whose logits exist at one time."""


def hidden(
    config: ModelConfig,
    params: dict[str, Any],
    tokens: Int[jax.Array, "batch tokens"],
    every_layer: bool = False,
) -> Any:
    """Final normalised states; with `every_layer` also the residual stream after each layer, stacked."""
    state, _, streams = Llama.of_parameters(config, params).run(tokens, every_layer=every_layer)
    return (state, streams) if every_layer else state


def logits(
    config: ModelConfig, params: dict[str, Any], tokens: Int[jax.Array, "batch tokens"]
) -> Float[jax.Array, "batch tokens vocabulary"]:
    """All logits at once, in at least float32: batch × tokens × vocabulary numbers."""
    return Llama.of_parameters(config, params)(tokens)


@counting
def token_nll(
    config: ModelConfig,
    params: dict[str, Any],
    tokens: Int[jax.Array, "batch tokens"],
    transform: Transform | None = None,
    observe: Observe | None = None,
    logit_chunk: int | None = None,
) -> Any:
    """`−ln p(token_{t+1} | token_0..t)` for t = 0..T−2, in nats, shape (batch, tokens − 1).

    Args:
      config, params: of `LanguageModel`. jit with `config`, `transform` and `observe` static.
      tokens: windows of at least two tokens.
      transform: `transform(weight[out, in], layer, name) -> weight` for the seven `MATRICES` of each layer.
      observe: `observe(x[batch, tokens, features], layer, site) -> pytree` at the four `SITES`.
      logit_chunk: tokens whose logits exist at one time; by default what suits the platform.

    Returns:
      The NLL; with `observe`, the pair (NLL, {site: pytree with a leading axis of layers}).

    Raises:
      InvalidInput: for windows of fewer than two tokens.
    """
    if tokens.shape[1] < 2:
        raise invalid(
            "window >= 2 tokens", tokens.shape, "a single token predicts nothing; use longer windows"
        )
    model = Llama.of_parameters(config, params)
    states, seen, _ = model.run(tokens, transform, observe)
    nll = next_token_nll(states, tokens, model.head_weight(), logit_chunk)
    return nll if observe is None else (nll, seen)


@counting
def next_token_nll(
    states: Float[jax.Array, "batch tokens hidden"],
    tokens: Int[jax.Array, "batch tokens"],
    head: Float[jax.Array, "vocabulary hidden"],
    chunk: int | None = None,
) -> Float[jax.Array, "batch predicted"]:
    """Cross-entropy of each next token, from final states, a chunk of logits at a time."""
    batch, length = tokens.shape
    count = batch * (length - 1)
    chunk = min(chunk or rows_at_once(LOGIT_CHUNK, head.shape[0]), count)
    inputs = over_data(in_chunks(states[:, :-1].reshape(count, -1), chunk), head, axis=1)
    targets = in_chunks(tokens[:, 1:].reshape(count), chunk)

    # A backward pass makes a chunk's logits again: kept, those of all chunks would fill as much as the model.
    # Those of a single chunk XLA may keep, as it comes next.
    @functools.partial(jax.checkpoint, prevent_cse=False)
    def one(piece: tuple[jax.Array, jax.Array]) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(_logits(piece[0], head), piece[1])

    return jax.lax.map(one, (inputs, targets)).reshape(-1)[:count].reshape(batch, length - 1)


def _logits(states: jax.Array, head: jax.Array) -> jax.Array:
    # In half precision a sum over the vocabulary would lose what most of its terms add.
    raw = apply_linear(states, head)
    return raw.astype(at_least_float32(raw.dtype))
