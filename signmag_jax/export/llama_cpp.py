"""llama.cpp: `llama-quantize --tensor-type-file`, patterns of tensor names with the types they get.

The file is read token by token, so it can hold no comment: what is to be said stands in a file beside it.
Patterns are regular expressions that are searched in the tensor's name.
"""

from __future__ import annotations

import re

from signmag_jax.models.imatrix import Matrix

from .decision import Decision, tensor

FILE, BESIDE = "tensor-types.txt", "tensor-types.note.txt"
KEPT = "q8_0"
"""The type of what stays as it is: 8 bits a weight, and a scale for 32."""
USE = (
    f"llama-quantize --tensor-type-file {FILE} model-f16.gguf model-q4_k_m.gguf Q4_K_M",
    f"Add --imatrix imatrix.gguf for low types, and leave out --pure, which ignores {FILE}.",
    f"Matrices that stay as they are get {KEPT}; write f16 instead for all of their bits.",
)


def files(decision: Decision) -> dict[str, str]:
    """The file of types, and the note beside it."""
    lines = (f"{pattern(at)}={KEPT}" for at in decision.whole)
    return {FILE: _text(lines), BESIDE: _text((*decision.notes, *USE))}


def pattern(matrix: Matrix) -> str:
    r"""The regular expression that finds one tensor and no other, as ^blk\.1\.ffn_down\.weight$."""
    return f"^{re.escape(tensor(matrix))}$"


def _text(lines: object) -> str:
    return "\n".join(map(str, lines)) + "\n"  # pyright: ignore[reportArgumentType]
