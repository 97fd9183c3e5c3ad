"""Tokenizers built from the metadata of GGUF files: byte-level BPE, and SentencePiece's BPE by scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from signmag_jax.evidence import SignmagError, invalid

from .foreign import heard, reason
from .sentence_pieces import joined_by_score
from .tokenizer import Tokenizer
from .whole_tokens import add_whole
from .word_cuts import cut_by


def tokenizer_from_gguf(metadata: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that GGUF metadata describes.

    Raises:
      InvalidInput: for a kind of tokenizer or of pre-tokenizer that the port does not know, by name.
    """
    kind = metadata.get("tokenizer.ggml.model")
    if kind not in ("gpt2", "llama"):
        raise invalid(
            "tokenizer.ggml.model gpt2 or llama",
            str(kind)[:80],
            "no other tokenizer is read from GGUF; use the hub folder",
        )
    try:
        with heard():
            return _byte_level(metadata) if kind == "gpt2" else _sentence_pieces(metadata)
    except SignmagError:
        raise
    except Exception as error:  # `tokenizers` raises plain exceptions, and panics
        raise invalid(
            "metadata of a tokenizer", reason(error), "the GGUF file is damaged; use the hub folder"
        ) from None


def _list_of(kind: type, metadata: Mapping[str, Any], key: str, default: Any = None) -> list[Any]:
    entries = metadata.get(f"tokenizer.ggml.{key}", default)
    if not isinstance(entries, list) or not all(isinstance(entry, kind) for entry in entries):
        raise invalid(
            f"tokenizer.ggml.{key} a list of {kind.__name__}",
            "nothing" if entries is None else f"{type(entries).__name__} {str(entries)[:60]}",
            "the GGUF file is incomplete or damaged",
        )
    return entries


def _vocabulary(metadata: Mapping[str, Any]) -> tuple[list[str], list[int]]:
    """The tokens and their types."""
    tokens = _list_of(str, metadata, "tokens")
    kinds = _list_of(int, metadata, "token_type", [1] * len(tokens))
    if not tokens or len(kinds) != len(tokens):
        raise invalid("as many types as tokens", (len(tokens), len(kinds)), "the GGUF file is incomplete")
    if len(set(tokens)) < len(tokens):
        twice = next(token for token, times in Counter(tokens).items() if times > 1)
        raise invalid("each token once", f"{twice[:60]!r} twice", "the GGUF file is damaged")
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
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models

    tokens, kinds = _vocabulary(metadata)
    merges = _merges(metadata, tokens)
    name = metadata.get("tokenizer.ggml.pre")
    cut = cut_by(name)
    vocabulary = {token: i for i, token in enumerate(tokens)}
    backend = Backend(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=cut.whole_words))
    backend.pre_tokenizer = cut.pre_tokenizer()
    backend.decoder = decoders.ByteLevel()
    remarks = add_whole(backend, metadata, tokens, kinds)
    return Tokenizer(backend, _bos(metadata, tokens, cut.whole_words), f"byte-level BPE, {name}", remarks)


def _sentence_pieces(metadata: Mapping[str, Any]) -> Tokenizer:
    tokens, kinds = _vocabulary(metadata)
    scores = _list_of(float, metadata, "scores")
    if len(scores) != len(tokens):
        raise invalid("as many scores as tokens", (len(scores), len(tokens)), "the GGUF file is incomplete")
    if len(tokens) > 1 and len(set(scores)) == 1:
        raise invalid(
            "scores that order the tokens",
            f"{scores[0]} for each of {len(scores)}",
            "the converter lost them, so the text would be cut differently; use the hub folder",
        )
    prefix = bool(metadata.get("tokenizer.ggml.add_space_prefix", True))
    backend = joined_by_score(tokens, kinds, scores, prefix)
    remarks = add_whole(backend, metadata, tokens, kinds)
    return Tokenizer(backend, _bos(metadata, tokens, True), "SentencePiece BPE", remarks)


def _bos(metadata: Mapping[str, Any], tokens: list[str], default: bool) -> int | None:
    """The beginning-of-sequence token where the file adds one, by default as llama.cpp does."""
    if not metadata.get("tokenizer.ggml.add_bos_token", default):
        return None
    bos = metadata.get("tokenizer.ggml.bos_token_id")
    if isinstance(bos, bool) or not isinstance(bos, int) or not 0 <= bos < len(tokens):
        raise invalid("bos_token_id a token where one is added", str(bos)[:80], "the GGUF file is incomplete")
    return bos
