"""A model about to read a text: everything that can be refused before the weights are read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from signmag_jax.evidence.counts import counting

from . import text as texts
from .load import Checkpoint, open_checkpoint
from .nll import check_window, check_windows
from .resolve import ask_hub, is_local


@dataclass(frozen=True, eq=False)
class Reading:
    """A checkpoint whose weights are not read yet, a text, and windows of its tokens."""

    checkpoint: Checkpoint
    text: texts.Text
    calibration: Int[np.ndarray, "_ window"]
    evaluation: Int[np.ndarray, "_ window"]


@counting
def open_reading(
    model: str | None,
    text: str | None,
    window: int,
    calibration: int,
    evaluation: int,
    *,
    fetch: bool = True,
    revision: str | None = None,
    file: str | None = None,
) -> Reading | None:
    """Open a model and the windows of a text, as `text.divided` has them.

    Args:
      model, text: see `load` and `text.load`.
      window: tokens of a window.
      calibration, evaluation: windows that choose, 0 where nothing is chosen, and windows that score.
      revision: branch, tag or commit of a model on the hub.
      file: of the GGUF files of a repository or folder, the one to take.
      fetch: False opens only files and folders that were named, asks the hub whether it has the model, and
        leaves standard input alone.

    Returns:
      The reading; None where a part of it was not opened, for `fetch=False`.

    Raises:
      InvalidInput: if the text is too short, or the windows do not suit the model.
      MissingResource: if model or text cannot be read.
    """
    chosen = texts.load(text) if fetch or texts.is_local(text) else None
    checkpoint = open_checkpoint(model, revision, file) if fetch or is_local(model) else None
    if checkpoint is None and model is not None:
        ask_hub(model, revision, file)
    if checkpoint is not None:
        check_window(checkpoint.config, window)
    if chosen is None or checkpoint is None:
        return None
    windows = texts.divided(checkpoint.tokenizer.encode(chosen.content), window, calibration, evaluation)
    check_windows(checkpoint.config, np.concatenate(windows))
    return Reading(checkpoint, chosen, *windows)
