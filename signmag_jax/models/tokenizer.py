"""Tokenizers without PyTorch: the hub's own, or one built from GGUF metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from signmag_jax.evidence import MissingResource, SignmagError, invalid

from .foreign import reason, silenced

CONTROL, USER_DEFINED = 3, 4


class Tokenizer:
    """Text to token ids and back; a beginning-of-sequence token only where the model's tokenizer adds it."""

    def __init__(self, backend: Any, bos: int | None, kind: str):
        # A stored truncation or padding would silently shorten or lengthen the text.
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend
        self.bos = bos
        self.kind = kind

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
            with silenced():
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
        with silenced():
            from transformers import AutoTokenizer

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
    return Tokenizer(backend, loaded.bos_token_id if adds_bos else None, type(loaded).__name__)


def tokenizer_from_gguf(metadata: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that GGUF metadata describes.

    Raises:
      InvalidInput: for a kind of tokenizer or of pre-tokenizer that the port does not know, by name.
    """
    kind = metadata.get("tokenizer.ggml.model")
    if kind != "gpt2":
        raise invalid(
            "tokenizer.ggml.model = gpt2",
            str(kind)[:80],
            "no other tokenizer is read from GGUF; use the hub folder",
        )
    try:
        with silenced():
            return _byte_level(metadata)
    except SignmagError:
        raise
    except Exception as error:  # `tokenizers` raises plain exceptions, and panics
        raise invalid(
            "metadata of a tokenizer", reason(error), "the GGUF file is damaged; use the hub folder"
        ) from None


def _list_of(kind: type, metadata: Mapping[str, Any], key: str, default: Any = None) -> list[Any]:
    found = metadata.get(f"tokenizer.ggml.{key}", default)
    if not isinstance(found, list) or not all(isinstance(entry, kind) for entry in found):
        raise invalid(
            f"tokenizer.ggml.{key} a list of {kind.__name__}",
            "nothing" if found is None else f"{type(found).__name__} {str(found)[:60]}",
            "the GGUF file is incomplete or damaged",
        )
    return found


def _vocabulary(metadata: Mapping[str, Any]) -> tuple[list[str], list[int]]:
    """The tokens and their types."""
    tokens = _list_of(str, metadata, "tokens")
    kinds = _list_of(int, metadata, "token_type", [1] * len(tokens))
    if not tokens or len(kinds) != len(tokens):
        raise invalid("as many types as tokens", (len(tokens), len(kinds)), "the GGUF file is incomplete")
    return tokens, kinds


def _merges(metadata: Mapping[str, Any], tokens: list[str]) -> list[tuple[str, str]]:
    known, merges = set(tokens), []
    for merge in _list_of(str, metadata, "merges"):
        left, _, right = merge.partition(" ")
        if not {left, right, left + right} <= known:
            raise invalid("every merge joins two tokens into a third", merge[:80], "the GGUF file is damaged")
        merges.append((left, right))
    return merges


def _byte_level(metadata: Mapping[str, Any]) -> Tokenizer:
    from tokenizers import AddedToken, decoders, models
    from tokenizers import Tokenizer as Backend

    tokens, kinds = _vocabulary(metadata)
    merges = _merges(metadata, tokens)
    splitter = metadata.get("tokenizer.ggml.pre", "gpt-2")
    cut = _pre_tokenizer(splitter)
    vocabulary = {token: i for i, token in enumerate(tokens)}
    like_llama3 = splitter in _LLAMA3_NAMES
    # Llama 3 takes a word that is a token whole, whichever merges would have led there.
    backend = Backend(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=like_llama3))
    backend.pre_tokenizer = cut
    backend.decoder = decoders.ByteLevel()
    whole = [
        (token, kind) for token, kind in zip(tokens, kinds, strict=True) if kind in (CONTROL, USER_DEFINED)
    ]
    backend.add_special_tokens(
        [AddedToken(t, normalized=False, special=True) for t, k in whole if k == CONTROL]
    )
    backend.add_tokens(
        [AddedToken(t, normalized=False, special=False) for t, k in whole if k == USER_DEFINED]
    )
    adds_bos = bool(metadata.get("tokenizer.ggml.add_bos_token", like_llama3))
    bos = metadata.get("tokenizer.ggml.bos_token_id") if adds_bos else None
    if adds_bos and not (isinstance(bos, int) and 0 <= bos < len(tokens)):
        raise invalid(
            "bos_token_id a token where add_bos_token is set", str(bos)[:80], "the GGUF file is incomplete"
        )
    return Tokenizer(backend, bos, f"byte-level BPE, {splitter}")


# How the words of a vocabulary were cut before its merges were learned, by llama.cpp's names.
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3_NAMES = ("llama-bpe", "llama3", "llama-v3")
_SPLITS = dict.fromkeys(_LLAMA3_NAMES, _LLAMA3) | {"qwen2": _LLAMA3.replace("{1,3}", "")}


def _pre_tokenizer(name: str) -> Any:
    from tokenizers import Regex
    from tokenizers import pre_tokenizers as cut

    gpt2 = cut.ByteLevel(add_prefix_space=False, use_regex=True)
    if not isinstance(name, str):
        raise invalid("tokenizer.ggml.pre a name", str(name)[:80], "the GGUF file is damaged")
    if name in ("gpt-2", "default"):
        return gpt2
    if name == "smollm":
        # Every numeral stands alone before the rest is cut, so a run of spaces before it stays whole.
        return cut.Sequence([cut.Digits(individual_digits=True), gpt2])
    if name in _SPLITS:
        split = cut.Split(Regex(_SPLITS[name]), behavior="isolated")
        return cut.Sequence([split, cut.ByteLevel(add_prefix_space=False, use_regex=False)])
    known = ("gpt-2", "smollm", *_SPLITS)
    raise invalid(
        f"tokenizer.ggml.pre in {known}", name[:80], "the text would be cut differently; use the hub folder"
    )
