"""Tokenizers without PyTorch: the file's own tokenizer.json, or what `transformers` builds without it."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from signmag_jax.evidence import MissingResource

from .foreign import heard, reason
from .sentence_pieces import of_model
from .sources import POINTER, is_pointer

PIECES = "tokenizer.model"

PROBE = "Row  12,345: don't STOP; naïve 日本 x=1\n\n\tend "
"""What tells two ways of cutting a text apart: numerals, spaces, contractions, capitals, other scripts."""


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
        """What a reader of its ids should know: warnings of libraries, and what they would cut otherwise."""

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
        # Wide at first: as int32 an id of a damaged file would wrap round into a token.
        tokens = np.asarray([*lead, *ids], np.int64)
        if tokens.size and tokens.max() > np.iinfo(np.int32).max:
            raise MissingResource(f"the tokenizer gives a token the id {tokens.max()}: it is damaged")
        return tokens.astype(np.int32)

    def decode(self, tokens: Sequence[int] | np.ndarray) -> str:
        """The text of token ids, special tokens included."""
        return self._backend.decode([int(token) for token in tokens], skip_special_tokens=False)


def tokenizer_from_hub(folder: Path) -> Tokenizer:
    """The tokenizer of a model folder, without remote code.

    tokenizer.json is read as it is: `transformers` rebuilds some classes from their vocabulary and drops how
    the file cuts a text. A tokenizer.model alone is read as `sentencepiece` reads it. What `transformers`
    warns of, or would cut otherwise, is among the remarks.

    Raises:
      MissingResource: if the folder has none that `tokenizers` can run.
    """
    own = folder / "tokenizer.json"
    try:
        with heard():
            if own.is_file():
                from tokenizers import Tokenizer as Backend

                backend, kind = Backend.from_file(str(own)), own.name
                remarks = _second_opinion(folder, backend)
            elif (folder / PIECES).is_file():
                backend, kind, remarks = _pieces(folder)
            else:
                kind = "built by transformers"
                backend, remarks = _built(folder)
            return Tokenizer(backend, _lead(backend), kind, remarks)
    except MissingResource:
        raise
    except Exception as error:  # both libraries raise many types for absent and broken tokenizers
        raise MissingResource(
            f"{folder} has no usable tokenizer ({reason(error)}): {_remedy(folder)}"
        ) from None


def _lead(backend: Any) -> int | None:
    """The token that the post-processor puts before a text, if any: a window's first token may be that."""
    # Asked of the backend itself, whatever the configs beside it say.
    bare = backend.encode("a", add_special_tokens=False).ids
    if not bare:
        raise ValueError("it is empty")
    framed = backend.encode("a", add_special_tokens=True).ids
    before = len(framed) - len(bare)
    at = next((start for start in range(before + 1) if framed[start : start + len(bare)] == bare), 0)
    if at > 1:
        raise ValueError(f"it puts {at} tokens before a text, where a language model has one at most")
    return framed[0] if at else None


def _second_opinion(folder: Path, backend: Any) -> list[str]:
    """What `transformers` has to say of a tokenizer.json that needs it no longer."""
    try:
        theirs, remarks = _built(folder)
        same = _agree(theirs, backend)
    except Exception as error:
        return [
            f"transformers cannot read this tokenizer ({reason(error, 100)}); tokenizer.json itself is used"
        ]
    if not same:
        remarks.append("transformers cuts a text otherwise than tokenizer.json, which is used as it is")
    return remarks


def _pieces(folder: Path) -> tuple[Any, str, list[str]]:
    """tokenizer.model as it is, with what `transformers` adds to it: tokens, and what comes before a text."""
    theirs, remarks = _built(folder)
    ours = of_model(folder / PIECES, theirs.get_added_tokens_decoder())
    if ours is None:
        return theirs, "built by transformers", remarks
    ours.post_processor = theirs.post_processor
    if not _agree(ours, theirs):
        remarks.append(f"transformers cuts a text otherwise than {PIECES}, which is used as it is")
    return ours, PIECES, remarks


def _agree(one: Any, other: Any) -> bool:
    """Whether two tokenizers cut alike, as far as one text tells."""
    ids, others = (each.encode(PROBE, add_special_tokens=False).ids for each in (one, other))
    return ids == others


def _built(folder: Path) -> tuple[Any, list[str]]:
    """The fast tokenizer that `transformers` makes of a folder, and its warnings."""
    with heard():  # what it says of the environment, on being imported, is not of this tokenizer
        from transformers import AutoTokenizer
    with heard() as remarks:
        loaded: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    backend = getattr(loaded, "backend_tokenizer", None)
    if backend is None:
        raise MissingResource(
            f"the tokenizer of {folder} is {type(loaded).__name__}, not a fast one: {_remedy(folder)}"
        )
    return backend, list(remarks)


def _remedy(folder: Path) -> str:
    if is_pointer(folder / "tokenizer.json"):
        return f"tokenizer.json {POINTER}"
    pieces = folder / PIECES
    if pieces.is_file() and importlib.util.find_spec("sentencepiece") is None:
        return f"{pieces.name} is read with sentencepiece: pip install sentencepiece, or add tokenizer.json"
    return "the folder needs tokenizer.json (or the files that transformers builds it from)"
