"""Layers as they are written in one line: "dense, relu, rmsnorm, residual(dense, silu, dense)".

What the words make is told by whoever reads: the theory makes laws of them, the simulation matrices.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from typing import Any

from .errors import InvalidInput, invalid

LONGEST, MOST_LAYERS = 10_000, 1000
EXAMPLE = "dense, relu, rmsnorm, 4*residual(rmsnorm, gate(serial(dense, silu), dense), dense(scale=0.5))"
ALONE = ("dense", "rmsnorm", "layernorm")
"""What may stand without brackets."""
FIXED = "fixed"
"""A matrix without an error: dense(fixed)."""
NAMED = re.compile(r"""('[^']*'|"[^"]*")|=\s*((?:\.{0,2}/|~|[^\W\d])[^\s,()\[\]'"]*)""")
"""Text in quotes, and outside of them a name or a path behind an equals sign."""


def layers(
    text: str,
    made: Mapping[str, Callable[..., Any]],
    other: Callable[[str], Any],
    number: Callable[[str], Any] = float,
) -> list[Any]:
    """What stands between the commas.

    Args:
      text: dense, rmsnorm, layernorm, other words, residual(…), gate(a, b), serial(…), each with arguments by
        name, dense(scale=0.5, weights=student_t:5), dense(fixed) without an error, and 4*residual(…) for four
        in a row.
      made: what each word with brackets makes of the layers and the arguments in them; dense(fixed) of None.
      other: what any other word makes.
      number: what a number is read as.

    Raises:
      InvalidInput: for what does not read so, and as `made` and `other` do.
    """
    if len(text) > LONGEST:
        raise invalid(f"layers of at most {LONGEST} characters", len(text), "repeat with 4*residual(...)")
    # Names such as student_t:5, and paths, are read as Python only in quotes.
    text = NAMED.sub(lambda found: found[1] or f"={found[2]!r}", text)
    try:
        # On one line with the bracket: what a comment hid would be left out without a word.
        row = ast.parse(f"[{text}]", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        row = None
    if not isinstance(row, ast.List):
        raise _unread(text)
    return _Reader(f"[{text}]", made, other, number).layers(row.elts)


def _unread(text: str | None) -> InvalidInput:
    return invalid(f"layers read like {EXAMPLE!r}", text, "separate them by commas")


class _Reader:
    def __init__(
        self,
        text: str,
        made: Mapping[str, Callable[..., Any]],
        other: Callable[[str], Any],
        number: Callable[[str], Any],
    ) -> None:
        self.text, self.made, self.other, self.number = text, made, other, number
        self.times, self.left = 1, MOST_LAYERS

    def layers(self, nodes: list[ast.expr]) -> list[Any]:
        return [layer for node in nodes for layer in self._repeated(node)]

    def _repeated(self, node: ast.expr) -> list[Any]:
        count, whole = 1, node
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            times, node = node.left, node.right
            count = times.value if isinstance(times, ast.Constant) and type(times.value) is int else 0
        before, self.times = self.times, self.times * count
        self.left -= self.times
        if count < 1 or self.left < 0:
            raise invalid(f"1 to {MOST_LAYERS} layers in all", self._of(whole), "repeat a layer as 4*dense")
        layer, self.times = self._layer(node), before
        return [layer] * count

    def _layer(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Name):
            return self.made[node.id]() if node.id in ALONE else self.other(node.id)
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in self.made):
            raise _unread(self._of(node))
        name = node.func.id
        given = {str(one.arg): self._value(one.value) for one in node.keywords}
        is_fixed = name == "dense" and [self._of(one) for one in node.args] == [FIXED]
        args = [None] if is_fixed else self.layers(node.args)
        try:
            if len(given) < len(node.keywords):
                raise TypeError("an argument is given twice")
            return self.made[name](*args, **given)
        except TypeError:
            raise invalid(f"arguments of {name}", self._of(node), f"write layers like {EXAMPLE!r}") from None

    def _value(self, node: ast.expr) -> Any:
        """A number, a name, or several numbers."""
        if isinstance(node, ast.List):
            return [self._value(one) for one in node.elts]
        if isinstance(node, ast.Name):
            return node.id
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        text = self._of(node)
        try:
            return self.number(text)
        except ValueError:
            raise invalid("a number or a name", text, f"write layers like {EXAMPLE!r}") from None

    def _of(self, node: ast.expr) -> str:
        return ast.get_source_segment(self.text, node) or ""
