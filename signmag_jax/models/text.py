"""Texts to measure on, and disjoint windows of their tokens."""

from __future__ import annotations

import hashlib
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import numpy as np
from jaxtyping import Int

from signmag_jax.evidence import MissingResource, invalid
from signmag_jax.evidence.files import user_path

from .foreign import heard, reason

DEFAULT = "pydoc_data.topics of Python 3.11.7 (PSF licence)"
"""The prose of Python's documentation on its own language; the licence lies beside it."""
DEFAULT_SHA256 = "d9dc35bce5ab1a24ed7f4c3c9b7c22450410e9d68279e3426db458c6be371621"


@dataclass(frozen=True)
class Text:
    """A text and its identity."""

    source: str
    sha256: str
    content: str = field(repr=False)


def load(source: str | Path | None = None) -> Text:
    """A text by name.

    Args:
      source: None for the text that the package carries, the same everywhere; "-" for standard input;
        "wikitext-2" for its test split (extra `hub`); else a file.

    Raises:
      MissingResource: if it cannot be read; InvalidInput: if it is empty or not UTF-8.
    """
    if source is None:
        return _default()
    if str(source) == "-":
        if sys.stdin is None:
            raise MissingResource(
                "text - is standard input, which is closed: pipe a text into it, or pass a file"
            )
        return _decoded("standard input", sys.stdin.buffer.read())
    if _is_wikitext(source):
        return _text("wikitext-2-v1, test split", _wikitext())
    path = user_path(source)
    if path.is_char_device():  # /dev/zero never ends
        raise MissingResource(f"text {str(source)!r} is a device: pass a file, or - for standard input")
    try:
        return _decoded(str(source), path.read_bytes())
    except OSError as error:
        raise MissingResource(
            f"cannot read text {str(source)!r} ({error.strerror or error}): check the path"
        ) from None


def is_local(source: str | Path | None = None) -> bool:
    """Whether `load` would read (or refuse) this text without a network and without standard input."""
    return source is None or not (str(source) == "-" or _is_wikitext(source))


def _is_wikitext(source: str | Path) -> bool:
    return str(source) == "wikitext-2" and not Path(source).exists()


def windows(
    tokens: Int[np.ndarray, " tokens"], window: int, count: int, skip: int = 0
) -> Int[np.ndarray, "count window"]:
    """`count` consecutive, disjoint windows of `window` tokens, after the first `skip` windows.

    Raises:
      InvalidInput: if the text has too few tokens, saying how many there are and how many it takes.
    """
    if window < 2 or count < 1 or skip < 0:
        raise invalid(
            "window >= 2, count >= 1, skip >= 0", (window, count, skip), "a window predicts window - 1 tokens"
        )
    needed = (skip + count) * window
    if tokens.shape[0] < needed:
        raise invalid(
            f"text of at least {needed} tokens ({skip + count} windows of {window})",
            tokens.shape[0],
            "use a longer text, shorter windows or fewer of them",
        )
    return np.asarray(tokens[skip * window : needed], np.int32).reshape(count, window)


def divided(
    tokens: Int[np.ndarray, " tokens"], window: int, calibration: int, evaluation: int
) -> tuple[Int[np.ndarray, "calibration window"], Int[np.ndarray, "evaluation window"]]:
    """The first windows of a text, which choose, and the next ones, which score.

    A window that repeats one of the first is passed over: manuals and logs repeat themselves.

    Raises:
      InvalidInput: if the text has too few tokens, or too few windows that repeat nothing.
    """
    first = windows(tokens, window, calibration + evaluation)[:calibration]
    rest = windows(tokens, window, len(tokens) // window - calibration, skip=calibration)
    if not calibration:
        return first, rest[:evaluation]
    new = (row for row, known in zip(rest, repeats(first, rest), strict=True) if not known)
    scored = list(itertools.islice(new, evaluation))
    if len(scored) < evaluation:
        raise invalid(
            f"text of {evaluation} windows of {window} tokens that repeat none of the first {calibration}",
            len(scored),
            "use a longer text, shorter windows or fewer of them",
        )
    return first, np.stack(scored)


def repeats(chosen: Int[np.ndarray, "_ _"], scored: Int[np.ndarray, "_ _"]) -> Iterator[bool]:
    """Whether half of a scored window, in one piece, stands in a chosen one: for each scored one in turn.

    Shorter passages in common are any text's own.
    """
    chosen, scored = np.asarray(chosen, np.int32), np.asarray(scored, np.int32)
    length = max(1, min(chosen.shape[1], scored.shape[1]) // 2)
    known = {piece for row in chosen for piece in _pieces(row, length)}
    return (not known.isdisjoint(_pieces(row, length)) for row in scored)


def _pieces(row: Int[np.ndarray, " window"], length: int) -> list[bytes]:
    return [row[start : start + length].tobytes() for start in range(len(row) - length + 1)]


def _decoded(source: str, data: bytes) -> Text:
    try:
        return _text(source, data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise invalid("text in UTF-8", f"{source} (byte {error.start})", "convert it first") from None


def _text(source: str, content: str) -> Text:
    if not content.strip():
        raise invalid("text not empty", source, "give a text of at least one window")
    return Text(source, hashlib.sha256(content.encode()).hexdigest(), content)


def _default() -> Text:
    """The text that the package carries, checked, so that figures on it are of one text everywhere."""
    text = _decoded(
        DEFAULT, resources.files("signmag_jax.models").joinpath("default_text/topics.txt").read_bytes()
    )
    if text.sha256 != DEFAULT_SHA256:
        raise MissingResource(f"the text that signmag_jax carries is damaged ({DEFAULT}): install it again")
    return text


def _wikitext() -> str:
    try:
        with heard():
            from datasets import load_dataset  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise MissingResource(
            "wikitext-2 comes through `datasets`: run `pip install 'signmag_jax[hub]'`"
        ) from None
    try:
        with heard():
            rows = load_dataset("Salesforce/wikitext", "wikitext-2-v1", split="test")
    except Exception as error:  # `datasets` raises many types; each means that the text is not to be had
        raise MissingResource(
            f"cannot fetch wikitext-2 ({reason(error)}): check the network, or pass a file"
        ) from None
    return "".join(row["text"] for row in rows)
