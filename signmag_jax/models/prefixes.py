"""Losses of models that differ from the loaded one from some layer on: what comes before is run once."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from signmag_jax.evidence.compiling import jit

from .config import ModelConfig
from .decoder_layer import Transform
from .forward import next_token_nll
from .llama import Llama
from .load import LanguageModel
from .nll import as_data, batches, check_windows
from .sharding import fetch

MOST = 2**28
"""Bytes of the residual streams that are kept, but for those that enter the first layer."""


class Prefixes:
    """The loaded model's residual streams on some windows, which other models go on from.

    Each stream is made when it is first needed. Where all would fill more than `MOST`, those of every so
    manieth layer are kept.

    Args:
      model: from `load`.
      windows: token ids, in rows.
      batch: as in `window_nll`.

    Raises:
      InvalidInput: as `window_nll`.
    """

    def __init__(
        self, model: LanguageModel, windows: Int[np.ndarray, "count window"], batch: int = 1
    ) -> None:
        check_windows(model.config, windows)
        self._model, self._batches = model, list(batches(model, windows, batch))
        numbers = model.config.layers * model.config.hidden * sum(full.size for full, _ in self._batches)
        # Fewer streams cost time alone: a loss then runs at most `apart` − 1 layers more than it needs.
        self._apart = -(-numbers * model.params["embed"].dtype.itemsize // MOST)
        self._streams: list[list[jax.Array]] = [[] for _ in self._batches]

    def nll(self, transform: Transform, layer: int) -> Float[np.ndarray, "count predicted"]:
        """`window_nll` with a transform that leaves the weights of all layers before this one alone."""
        config, params, data = self._model.config, self._model.params, as_data(transform)
        rows = []
        for index, (full, count) in enumerate(self._batches):
            stream = self._stream(index, layer // self._apart)
            # As data: one program goes on from any layer.
            first = np.int32(layer // self._apart * self._apart)
            rows.append(fetch(_nll_from(config, params, full, stream, first, data))[:count])
        return np.concatenate(rows).astype(np.float64)

    def _stream(self, index: int, number: int) -> jax.Array:
        """What enters layer `number · apart`, on one batch."""
        config, params, kept = self._model.config, self._model.params, self._streams[index]
        if not kept:
            kept.append(_entering(config, params, self._batches[index][0]))
        while len(kept) <= number:
            first = (len(kept) - 1) * self._apart
            kept.append(_through(config, params, kept[-1], np.int32(first), np.int32(first + self._apart)))
        return kept[number]


@functools.partial(jit, static_argnums=0)
def _entering(config: ModelConfig, params: dict[str, Any], tokens: Int[jax.Array, "batch tokens"]) -> Any:
    return Llama.of_parameters(config, params).entering(jnp.asarray(tokens))


@functools.partial(jit, static_argnums=0)
def _through(
    config: ModelConfig,
    params: dict[str, Any],
    stream: Float[jax.Array, "batch tokens hidden"],
    first: Int[jax.Array, ""],
    end: Int[jax.Array, ""],
) -> Float[jax.Array, "batch tokens hidden"]:
    return Llama.of_parameters(config, params).through(stream, first, end)


@functools.partial(jit, static_argnums=0)
def _nll_from(
    config: ModelConfig,
    params: dict[str, Any],
    tokens: Int[jax.Array, "batch tokens"],
    stream: Float[jax.Array, "batch tokens hidden"],
    first: Int[jax.Array, ""],
    transform: Any,
) -> Float[jax.Array, "batch predicted"]:
    model = Llama.of_parameters(config, params)
    after = model.through(stream, first, jnp.int32(config.layers), transform)
    return next_token_nll(model.leaving(after), tokens, model.head_weight())
