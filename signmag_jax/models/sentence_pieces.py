"""SentencePiece's BPE by scores: for GGUF files, and for a tokenizer.model that stands alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .whole_tokens import CONTROL, UNKNOWN

NORMAL, UNUSED, BYTE = 1, 5, 6
SPACE = "\u2581"
"""What stands for a space in SentencePiece's vocabularies."""
TELLING = " \n  a  12 the\tb ﬁ½ éÅ日  \n\n end  "
"""A text on which normalisation, spaces and kinds of models differ."""


def joined_by_score(
    tokens: Sequence[str], kinds: Sequence[int], scores: Sequence[float], prefix: bool
) -> Any:
    """A tokenizer in which two neighbours become the token of the highest score that they can form.

    Args:
      tokens, kinds, scores: of the vocabulary; kinds as GGUF numbers them.
      prefix: whether a text gets a space before it.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers

    unknown = next((token for token, kind in zip(tokens, kinds, strict=True) if kind == UNKNOWN), None)
    backend = Tokenizer(
        models.BPE(
            vocab={token: i for i, token in enumerate(tokens)},
            merges=_merges_by_score(tokens, kinds, scores),
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    steps = [normalizers.Prepend(SPACE)] if prefix else []
    backend.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])
    strip = [decoders.Strip(" ", 1, 0)] if prefix else []
    spaces = decoders.Replace(SPACE, " ")
    backend.decoder = decoders.Sequence([spaces, decoders.ByteFallback(), decoders.Fuse(), *strip])
    return backend


def _merges_by_score(
    tokens: Sequence[str], kinds: Sequence[int], scores: Sequence[float]
) -> list[tuple[str, str]]:
    """Every way to make a token of two others, the highest score first."""
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


def of_model(path: Path, added: Mapping[int, Any]) -> Any | None:
    """The tokenizer of a tokenizer.model; None where `sentencepiece` itself would cut a text otherwise.

    So it does with a model that is no BPE, or that changes the text's characters.

    Args:
      path: of the file.
      added: tokens of `tokenizers` that are found whole, by id, those beyond the file's own among them.
    """
    import sentencepiece

    own = sentencepiece.SentencePieceProcessor(model_file=str(path))
    ids = range(own.get_piece_size())
    marks = {UNKNOWN: own.is_unknown, CONTROL: own.is_control, UNUSED: own.is_unused, BYTE: own.is_byte}
    kinds = [next((kind for kind, is_one in marks.items() if is_one(i)), NORMAL) for i in ids]
    tokens, scores = [own.id_to_piece(i) for i in ids], [own.get_score(i) for i in ids]
    if not all(float(score).is_integer() for score in scores):
        return None  # BPE numbers its merges; a unigram model has logarithms of probabilities
    prefix = own.encode("a", out_type=str)[0].startswith(SPACE)
    backend = joined_by_score(tokens, kinds, scores, prefix)
    if backend.encode(TELLING, add_special_tokens=False).ids != own.encode(TELLING):
        return None
    for _, token in sorted(added.items()):
        (backend.add_special_tokens if token.special else backend.add_tokens)([token])
    known = all(backend.token_to_id(token.content) == i for i, token in added.items())
    return backend if known else None
