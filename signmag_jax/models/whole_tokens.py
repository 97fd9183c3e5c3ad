"""Tokens of a GGUF vocabulary that are found whole before a text is cut, as llama.cpp finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

UNKNOWN, CONTROL, USER_DEFINED = 2, 3, 4

# llama.cpp takes these for special by their text, whatever type the file gives them: to Qwen2's own
# tokenizer.json, `</s>` is a piece of ordinary text.
_BY_TEXT = frozenset(
    (
        *("<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>"),
        *("<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]"),
        *("<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>", "[e~["),
        *("<|channel|>", "<|message|>", "<|start|>", "<|constrain|>", "<｜end▁of▁sentence｜>"),
    )
)
# And these where no key of the metadata names the token that plays their part.
_BY_PART = {
    ("fim_pre", "prefix"): (
        *("<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>"),
        *("<|code_prefix|>", "<|prefix|>"),
    ),
    ("fim_suf", "suffix"): (
        *("<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>"),
        *("<|code_suffix|>", "<|suffix|>"),
    ),
    ("fim_mid", "middle"): (
        *("<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>"),
        *("<|code_middle|>", "<|middle|>"),
    ),
    ("fim_pad",): ("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
    ("fim_rep",): ("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"),
    ("fim_sep",): ("<|file_sep|>",),
}
# Phi-3's special tokens swallow the spaces behind them, but for these.
_KEEP_SPACES = ("<unk>", "<s>", "<|endoftext|>")


def add_whole(
    backend: Any, metadata: Mapping[str, Any], tokens: Sequence[str], kinds: Sequence[int]
) -> tuple[str, ...]:
    """Give a tokenizer the tokens that it has to find whole.

    Returns:
      A remark on those that the file itself does not call special, if there are any.
    """
    from tokenizers import AddedToken

    name = str(metadata.get("general.name")).lower()
    strips = "phi-3" in name or "phi3" in name
    by_text = _BY_TEXT.union(
        *(
            texts
            for parts, texts in _BY_PART.items()
            if not any(f"tokenizer.ggml.{part}_token_id" in metadata for part in parts)
        )
    )
    chosen = {
        token: kind
        for token, kind in zip(tokens, kinds, strict=True)
        if kind in (CONTROL, UNKNOWN, USER_DEFINED) or token in by_text
    }
    for special, add in ((True, backend.add_special_tokens), (False, backend.add_tokens)):
        add(
            [
                AddedToken(
                    token, normalized=False, special=special, rstrip=strips and token not in _KEEP_SPACES
                )
                for token, kind in chosen.items()
                if (kind != USER_DEFINED) == special
            ]
        )
    named = [token for token, kind in chosen.items() if kind not in (CONTROL, UNKNOWN, USER_DEFINED)]
    if not named:
        return ()
    return (f"special by their text, as in llama.cpp, though not by the file: {', '.join(named[:8])}",)
