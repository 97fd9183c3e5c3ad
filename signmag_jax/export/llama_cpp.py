"""llama.cpp: `llama-quantize --tensor-type-file`, patterns of tensor names with the types they get.

The file is read token by token, so it can hold no comment: what is to be said stands in a file beside it.
Patterns are regular expressions that are searched in the tensor's name.
"""

from __future__ import annotations

import re

from signmag_jax.measure.widths import TERNARY, stored_bits
from signmag_jax.models.imatrix import Matrix

from .decision import Decision, MatrixWidth, tensor

FILE, BESIDE = "tensor-types.txt", "tensor-types.note.txt"
KEPT = "q8_0"
"""The type of what stays as it is: 8 bits a weight, and a scale for 32."""
TERNARY_TYPES = ("tq1_0", "tq2_0")
"""Types of three values, for weights that were trained ternary."""
BITS_OF = {
    "tq1_0": 1.6875,
    "tq2_0": 2.0625,
    "q2_k": 2.625,
    "q3_k": 3.4375,
    "q4_k": 4.5,
    "q5_k": 5.5,
    "q6_k": 6.5625,
    "q4_0": 4.5,
    "q5_0": 5.5,
    "q5_1": 6.0,
    "q8_0": 8.5,
    "f16": 16.0,
}
"""Bits a weight, scales included."""
LARGE = ("q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "q8_0")
"""The types for rows of whole blocks of 256; rows of blocks of 32 have no type below 4.5 bits."""
SMALL = ("q4_0", "q5_0", "q5_1", "q8_0")
WHY = (
    "Ternary widths get the nearest type in bits: tq1_0 and tq2_0 (--ternary) round to the largest of 256, "
    "for weights that were trained ternary."
)
OFFERED = "Ternary widths get {}, which rounds to the largest of 256: for weights that were trained ternary."
SHORT = (
    "Rows of {} hold no whole blocks of 256 ({}): llama-quantize itself gives them iq4_nl for q2_k and q3_k, "
    "q5_0 for q4_k, q5_1 for q5_k, q8_0 for q6_k, and f16 where 32 does not divide them either."
)
USE = (
    f"llama-quantize --tensor-type-file {FILE} model-f16.gguf model-q4_k_m.gguf Q4_K_M",
    f"Add --imatrix imatrix.gguf for low types, and leave out --pure, which ignores {FILE}.",
    f"Matrices that stay as they are get {KEPT}; write f16 instead for all of their bits.",
)


def files(decision: Decision) -> dict[str, str]:
    """The file of types, and the note beside it."""
    lines = [f"{pattern(at)}={_kept(decision.shapes.get(at[1]))}" for at in decision.whole]
    types = {at: _nearest(one, decision.ternary) for at, one in decision.planned.items()}
    lines += [f"{pattern(at)}={kind}" for at, kind in types.items()]
    sizes = {at: one.shape[0] * one.shape[1] for at, one in decision.planned.items()}
    notes = decision.notes
    if types:
        mean = sum(BITS_OF[types[at]] * size for at, size in sizes.items()) / sum(sizes.values())
        why = OFFERED.format(decision.ternary) if decision.ternary else WHY
        notes = (*notes, f"These types take {mean:.3f} bits a weight. {why}")
    short: dict[int, list[str]] = {}
    for name, (_, inputs) in decision.shapes.items():
        if inputs % 256:
            short.setdefault(inputs, []).append(name)
    notes = (*notes, *(SHORT.format(inputs, ", ".join(names)) for inputs, names in short.items()))
    return {FILE: _text(lines), BESIDE: _text((*notes, *USE))}


def _kept(shape: tuple[int, int] | None) -> str:
    """The type of a whole matrix; llama-quantize would fall back to f16 by itself."""
    return KEPT if shape is None or shape[1] % 32 == 0 else "f16"


def _nearest(planned: MatrixWidth, ternary: str) -> str:
    """The type of nearest bits a weight among those whose blocks divide a row; of two the larger."""
    inputs = planned.shape[1]
    if ternary and planned.width == TERNARY and inputs % 256 == 0:
        return ternary
    bits = stored_bits(planned.width, planned.shape) / (planned.shape[0] * inputs)
    fitting = LARGE if inputs % 256 == 0 else SMALL if inputs % 32 == 0 else ("f16",)
    return min(fitting, key=lambda kind: (abs(BITS_OF[kind] - bits), -BITS_OF[kind]))


def pattern(matrix: Matrix) -> str:
    r"""The regular expression that finds one tensor and no other, as ^blk\.1\.ffn_down\.weight$."""
    return f"^{re.escape(tensor(matrix))}$"


def _text(lines: object) -> str:
    return "\n".join(map(str, lines)) + "\n"  # pyright: ignore[reportArgumentType]
