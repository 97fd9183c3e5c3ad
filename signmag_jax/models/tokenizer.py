"""Tokenizers without PyTorch: the hub's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from signmag_jax.evidence import MissingResource

from .foreign import heard, reason


class Tokenizer:
    """Text to token ids and back; a beginning-of-sequence token only where the model's tokenizer adds it."""

    def __init__(self, backend: Any, bos: int | None, kind: str, remarks: Sequence[str] = ()):
        # A stored truncation or padding would silently shorten or lengthen the text.
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend
        self.bos = bos
        self.kind = kind
        self.remarks = tuple(remarks)
        """What the library that built it warned of."""

    @property
    def size(self) -> int:
        """One more than the largest id."""
        return max(self._backend.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    def encode(self, text: str) -> np.ndarray:
        """Token ids as int32.

        Raises:
          MissingResource: if the tokenizer fails, as a damaged one does on some text only.
        """
        try:
            with heard():
                ids = self._backend.encode(text, add_special_tokens=False).ids
        except Exception as error:  # `tokenizers` raises plain exceptions, and panics
            raise MissingResource(
                f"the tokenizer cannot encode this text ({reason(error)}): it is damaged, or of another model"
            ) from None
        lead = [] if self.bos is None else [self.bos]
        return np.asarray([*lead, *ids], np.int32)

    def decode(self, tokens: Sequence[int] | np.ndarray) -> str:
        """The text of token ids, special tokens included."""
        return self._backend.decode([int(token) for token in tokens], skip_special_tokens=False)


def tokenizer_from_hub(folder: Path) -> Tokenizer:
    """The tokenizer of a model folder, through `transformers`, without remote code.

    Raises:
      MissingResource: if the folder has none that `tokenizers` can run.
    """
    remedy = "the folder needs tokenizer.json (or the files that transformers builds it from)"
    try:
        with heard():  # what it says of the environment, on being imported, is not of this tokenizer
            from transformers import AutoTokenizer
        with heard() as remarks:
            loaded: Any = AutoTokenizer.from_pretrained(
                folder, trust_remote_code=False, local_files_only=True
            )
            first = loaded("a").input_ids[:1]
    except Exception as error:  # transformers raises many types for absent and broken tokenizers
        raise MissingResource(f"{folder} has no usable tokenizer ({reason(error)}): {remedy}") from None
    backend = getattr(loaded, "backend_tokenizer", None)
    if backend is None:
        raise MissingResource(
            f"the tokenizer of {folder} is {type(loaded).__name__}, not a fast one: {remedy}"
        )
    if not first:
        raise MissingResource(f"the tokenizer of {folder} is empty: {remedy}")
    adds_bos = loaded.bos_token_id is not None and first == [loaded.bos_token_id]
    return Tokenizer(backend, loaded.bos_token_id if adds_bos else None, type(loaded).__name__, remarks)
