"""The widths among which a plan chooses: what each makes of a matrix, and the bits that it takes."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Array, Float

from signmag_jax.evidence import invalid
from signmag_jax.perturb import Perturbation, Ternarize, UniformQuantize

from .granularity import quantized

GROUP = 32
"""Neighbours in a row that share one scale, as in llama.cpp's formats; it divides most models' widths."""
# A scale in half precision, as llama.cpp's formats have it.
SCALE_BITS = 16
TERNARY = "ternary"
UNIFORM = tuple(str(bits) for bits in range(2, 9))
WIDTHS: dict[str, Perturbation] = {
    TERNARY: Ternarize(),
    **{width: UniformQuantize(int(width)) for width in UNIFORM},
}
"""Ternary with a threshold of ½E|w| and the least-squares scale; k bits with 2^k − 1 levels up to max|w|."""


def rounded(width: str, weight: Float[Array, "outputs inputs"]) -> Float[Array, "outputs inputs"]:
    """A matrix at that width, each group with its own scale."""
    return quantized(WIDTHS[width], weight, GROUP).astype(weight.dtype)


def stored_bits(width: str, shape: tuple[int, ...]) -> int:
    """Bits that a matrix takes: k a weight, or a byte for five ternary ones of a row; 16 for each scale."""
    rows, inputs = shape
    # 3⁵ = 243 ternary codes fit into a byte's 256.
    codes = 8 * -(-inputs // 5) if width == TERNARY else int(width) * inputs
    return rows * (codes + SCALE_BITS * -(-inputs // GROUP))


def fewest_bits(width: str) -> float:
    """Bits a weight in rows of whole groups and bytes: no shape takes fewer."""
    inputs = 5 * GROUP
    return stored_bits(width, (1, inputs)) / inputs


def check_widths(widths: Sequence[str | int]) -> tuple[str, ...]:
    """Distinct widths, from the narrowest.

    Raises:
      InvalidInput: for one that is none, or one named twice.
    """
    asked = tuple(str(width) for width in widths)
    strange = [width for width in asked if width not in WIDTHS]
    if strange or not asked or len(set(asked)) < len(asked):
        raise invalid(f"distinct widths in {tuple(WIDTHS)}", strange or asked, "name some of them")
    return tuple(width for width in WIDTHS if width in asked)
