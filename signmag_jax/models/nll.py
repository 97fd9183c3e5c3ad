"""Per-token NLL of many windows on a loaded model, in batches of bounded memory."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from signmag_jax.evidence import invalid
from signmag_jax.evidence.compiling import jit
from signmag_jax.evidence.counts import counting

from .chunks import windows_at_once
from .config import ModelConfig
from .decoder_layer import Transform
from .forward import token_nll
from .load import LanguageModel
from .sharding import data_devices, fetch


@counting
def window_nll(
    model: LanguageModel,
    windows: Int[np.ndarray, "count window"],
    transform: Transform | None = None,
    batch: int | None = None,
    advance: Callable[[int], object] = lambda windows: None,
) -> Float[np.ndarray, "count predicted"]:
    """`−ln p` of each predicted token, in nats, windows in rows and window − 1 tokens in each.

    Args:
      model: from `load`.
      windows: token ids, for instance from `text.windows`.
      transform: see `token_nll`. One that is a pytree as well, such as a named tuple with `__call__`, brings
        its arrays as data: another of the same structure runs the same program. A plain function is a
        program of its own; give the same object again to avoid compiling again.
      batch: windows that pass through a layer together, on each device of the mesh's axis "data"; by default
        one on a CPU, and on an accelerator as many as its memory holds.
      advance: called with the number of windows whenever some are done.

    Raises:
      InvalidInput: for ids outside the vocabulary or windows longer than the model's context.
    """
    check_windows(model.config, windows)
    transform, rows = as_data(transform), []
    for full, count in batches(model, windows, batch):
        rows.append(fetch(_nll(model.config, model.params, full, transform))[:count])
        advance(count)
    # Means and differences of losses are formed on the host, in float64.
    return np.concatenate(rows).astype(np.float64)


def as_data(transform: Transform | None) -> Any:
    """A transform as an argument of a program: a plain function becomes a pytree without arrays."""
    plain = transform is not None and jax.tree.leaves(transform) == [transform]
    return jax.tree_util.Partial(transform) if plain else transform


def batches(
    model: LanguageModel, windows: Int[np.ndarray, "count window"], batch: int | None
) -> Iterator[tuple[Int[np.ndarray, "batch window"], int]]:
    """Windows that pass through a layer together, and how many of them are not there to fill the devices."""
    devices = data_devices(model.params)
    if batch is None:
        batch = windows_at_once(model.config, windows.shape[1], on_cpu=1)
    step = batch * devices
    for start in range(0, windows.shape[0], step):
        piece = np.asarray(windows[start : start + step], np.int32)
        # Each device takes equally many windows: the last is repeated, and what it gives cut off.
        yield np.concatenate([piece, np.repeat(piece[-1:], -len(piece) % devices, axis=0)]), len(piece)


def check_windows(config: ModelConfig, windows: Int[np.ndarray, "count window"]) -> None:
    """Refuse ids outside the vocabulary (a gather would clamp them) and windows beyond the context."""
    if windows.size == 0 or windows.min() < 0 or windows.max() >= config.vocabulary:
        raise invalid(
            f"token ids in 0..{config.vocabulary - 1}",
            (int(windows.min()), int(windows.max())) if windows.size else "none",
            "the tokenizer is another model's, or the text has tokens that this model was not given",
        )
    check_window(config, windows.shape[1])


@counting
def check_window(config: ModelConfig, window: int) -> None:
    """Refuse windows longer than the context that the model was made for."""
    if window > config.positions:
        raise invalid(
            f"window <= {config.positions} tokens", window, "the model's context is no longer than that"
        )


@functools.partial(jit, static_argnums=0)
def _nll(config: Any, params: dict[str, Any], tokens: jax.Array, transform: Any) -> jax.Array:
    return token_nll(config, params, tokens, transform)
