"""How byte-level vocabularies cut a text into words before merging: llama.cpp's names of pre-tokenizers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from signmag_jax.evidence import invalid

_END = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
# llama.cpp knows capitals of the Latin alphabet only: any other letter may begin a word and end one.
_CAPITALS, _SMALL = r"((?=[\p{L}])([^a-z]))", r"((?=[\p{L}])([^A-Z]))"
_TITLE = rf"[^\r\n\p{{L}}\p{{N}}]?{_CAPITALS}*{_SMALL}+"
_UPPER = rf"[^\r\n\p{{L}}\p{{N}}]?{_CAPITALS}+{_SMALL}*"
_SIGNS = r"| ?[^\s\p{L}\p{N}]+"
_DIGITS_BY_THREE = rf"{_CONTRACTION}|{_WORD}|\p{{N}}{{1,3}}{_SIGNS}[\r\n]*{_END}"


@dataclass(frozen=True)
class WordCut:
    """One way to cut a text into words.

    Args:
      names: what llama.cpp calls it.
      words: a regular expression whose matches are the words; None for GPT-2's own.
      digits_first: whether every numeral stands alone before the rest is cut, so that spaces stay whole.
      whole_words: whether a word that is a token is taken whole, whichever merges would have led there, and
        a beginning-of-sequence token is added where the file does not say.
    """

    names: tuple[str, ...]
    words: str | None = None
    digits_first: bool = False
    whole_words: bool = False

    def pre_tokenizer(self) -> Any:
        """This cut as a pre-tokenizer of `tokenizers`."""
        from tokenizers import Regex, pre_tokenizers

        if self.words is None:
            gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
            digits = [pre_tokenizers.Digits(individual_digits=True)] if self.digits_first else []
            return pre_tokenizers.Sequence([*digits, gpt2])
        split = pre_tokenizers.Split(Regex(self.words), behavior="isolated")
        return pre_tokenizers.Sequence(
            [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )


CUTS = (
    WordCut(("gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling", "exaone4", "mellum")),
    WordCut(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"), None, True),
    WordCut(
        ("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"),
        _DIGITS_BY_THREE,
        whole_words=True,
    ),
    WordCut(("smaug-bpe", "dbrx"), _DIGITS_BY_THREE),
    WordCut(
        ("qwen2", "deepseek-r1-qwen", "kormo", "megrez", "stablelm2", "hunyuan", "grok-2"),
        rf"{_CONTRACTION}|{_WORD}|\p{{N}}{_SIGNS}[\r\n]*{_END}",
    ),
    WordCut(("tekken",), rf"{_TITLE}|{_UPPER}|\p{{N}}{_SIGNS}[\r\n/]*{_END}", whole_words=True),
    WordCut(
        ("gpt-4o", "llama4"),
        rf"{_TITLE}{_CONTRACTION}?|{_UPPER}{_CONTRACTION}?|\p{{N}}{{1,3}}{_SIGNS}[\r\n/]*{_END}",
    ),
)


def cut_by(name: Any) -> WordCut:
    """The way of cutting that llama.cpp knows by that name.

    Raises:
      InvalidInput: for an unknown name, "default" or none: llama.cpp then cuts as no model was trained.
    """
    known = next((cut for cut in CUTS if name in cut.names), None)
    if known is None:
        raise invalid(
            f"tokenizer.ggml.pre in {tuple(each for cut in CUTS for each in cut.names)}",
            "nothing" if name is None else str(name)[:80],
            "the text would be cut differently; convert the model again, or use the hub folder",
        )
    return known
