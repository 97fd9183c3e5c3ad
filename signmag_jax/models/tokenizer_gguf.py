"""Tokenizers built from the metadata of GGUF files: byte-level BPE, and SentencePiece's BPE by scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signmag_jax.evidence import SignmagError, invalid

from .foreign import heard, reason
from .tokenizer import Tokenizer

UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 2, 3, 4, 5, 6
SPACE = "\u2581"
"""What stands for a space in SentencePiece's vocabularies."""


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
    splitter = metadata.get("tokenizer.ggml.pre", "gpt-2")
    cut = _pre_tokenizer(splitter)
    vocabulary = {token: i for i, token in enumerate(tokens)}
    like_llama3 = splitter in _LLAMA3_NAMES
    # Llama 3 takes a word that is a token whole, whichever merges would have led there.
    backend = Backend(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=like_llama3))
    backend.pre_tokenizer = cut
    backend.decoder = decoders.ByteLevel()
    _add_whole(backend, tokens, kinds)
    return Tokenizer(backend, _bos(metadata, tokens, like_llama3), f"byte-level BPE, {splitter}")


def _sentence_pieces(metadata: Mapping[str, Any]) -> Tokenizer:
    """Two neighbours become the token of the highest score that they can form, until none can be formed."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, normalizers

    tokens, kinds = _vocabulary(metadata)
    scores = _list_of(float, metadata, "scores")
    if len(scores) != len(tokens):
        raise invalid("as many scores as tokens", (len(scores), len(tokens)), "the GGUF file is incomplete")
    unknown = next((token for token, kind in zip(tokens, kinds, strict=True) if kind == UNKNOWN), None)
    vocabulary = {token: i for i, token in enumerate(tokens)}
    backend = Backend(
        models.BPE(
            vocab=vocabulary,
            merges=_merges_by_score(tokens, kinds, scores),
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    prefix = metadata.get("tokenizer.ggml.add_space_prefix", True)
    steps = [normalizers.Prepend(SPACE)] if prefix else []
    backend.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])
    strip = [decoders.Strip(" ", 1, 0)] if prefix else []
    spaces = decoders.Replace(SPACE, " ")
    backend.decoder = decoders.Sequence([spaces, decoders.ByteFallback(), decoders.Fuse(), *strip])
    _add_whole(backend, tokens, kinds)
    return Tokenizer(backend, _bos(metadata, tokens, True), "SentencePiece BPE")


def _merges_by_score(tokens: list[str], kinds: list[int], scores: list[float]) -> list[tuple[str, str]]:
    """Every way to put a token together from two others, the highest score first."""
    whole = (UNKNOWN, CONTROL, UNUSED, BYTE)
    score_of = {t: score for t, kind, score in zip(tokens, kinds, scores, strict=True) if kind not in whole}
    pairs = [
        (score, cut, token)
        for token, score in score_of.items()
        for cut in range(1, len(token))
        if token[:cut] in score_of and token[cut:] in score_of
    ]
    pairs.sort(key=lambda entry: entry[:2], reverse=True)
    return [(token[:cut], token[cut:]) for _, cut, token in pairs]


def _add_whole(backend: Any, tokens: list[str], kinds: list[int]) -> None:
    """Control and user-defined tokens are found in a text before it is cut."""
    from tokenizers import AddedToken

    chosen = list(zip(tokens, kinds, strict=True))
    backend.add_special_tokens(
        [AddedToken(t, normalized=False, special=True) for t, kind in chosen if kind == CONTROL]
    )
    backend.add_tokens(
        [AddedToken(t, normalized=False, special=False) for t, kind in chosen if kind == USER_DEFINED]
    )


def _bos(metadata: Mapping[str, Any], tokens: list[str], default: bool) -> int | None:
    """The beginning-of-sequence token where the file adds one, by default as llama.cpp does."""
    if not metadata.get("tokenizer.ggml.add_bos_token", default):
        return None
    bos = metadata.get("tokenizer.ggml.bos_token_id")
    if isinstance(bos, bool) or not isinstance(bos, int) or not 0 <= bos < len(tokens):
        raise invalid("bos_token_id a token where one is added", str(bos)[:80], "the GGUF file is incomplete")
    return bos


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
