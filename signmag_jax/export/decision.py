"""What becomes of each matrix, in terms that every quantiser's options can be made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from signmag_jax.evidence import invalid
from signmag_jax.measure.widths import GROUP, TERNARY
from signmag_jax.models.fused import FUSED, FUSED_FAMILIES
from signmag_jax.models.imatrix import Matrix
from signmag_jax.models.names import layer_tensor

HEAD = "lm_head"
"""The output matrix, which a list that is given takes out of the tools' own defaults: it is named again."""
BITS = 4
"""Bits of what is not named, where a tool asks for them."""


class MatrixWidth(NamedTuple):
    """A matrix's width, "ternary" or a number of bits, and its shape, outputs and inputs."""

    width: str
    shape: tuple[int, int]

    @property
    def bits(self) -> int:
        """Bits of integers that hold it: two for a ternary weight."""
        return 2 if self.width == TERNARY else int(self.width)

    @property
    def group(self) -> int | None:
        """Neighbours of a row that share a scale; None for all, where rows hold no whole groups."""
        return None if self.shape[1] % GROUP else GROUP


@dataclass(frozen=True)
class Decision:
    """Matrices that stay as they are, or a width for every one.

    Args:
      whole: matrices that are not quantised; of a mask.
      notes: sentences that every file bears: by which rule, and what it does not do.
      planned: width of each matrix; of a plan.
      family: of the model, as `ModelConfig` has it; empty where a file does not say.
      shapes: outputs and inputs of matrices by name, where they are known.
      ternary: llama.cpp's type of ternary widths; empty for the nearest that suits any weights.
    """

    whole: tuple[Matrix, ...]
    notes: tuple[str, ...]
    planned: Mapping[Matrix, MatrixWidth] = field(default_factory=dict)
    family: str = ""
    shapes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    ternary: str = ""

    @property
    def by_row(self) -> tuple[str, ...]:
        """Names of matrices whose rows hold no whole groups: tools refuse to group them."""
        return tuple(name for name, (_, inputs) in self.shapes.items() if inputs % GROUP)

    @property
    def notes_of_groups(self) -> tuple[str, ...]:
        """`notes`, and what has no groups."""
        named = ", ".join(self.by_row)
        more = f"Rows of {named} hold no whole groups of {GROUP}: each row has one scale."
        return (*self.notes, more) if named else self.notes


def check_stored(
    family: str,
    matrices: Iterable[Matrix],
    remedy: str = "measure with --matrices o_proj,down_proj, which it stores alone",
) -> None:
    """Refuse matrices that a checkpoint of the family stores as parts of another: no name would find them.

    Raises:
      InvalidInput: naming the first.
    """
    fused = [at for at in matrices if family in FUSED_FAMILIES and at[1] in FUSED]
    if fused:
        raise invalid(
            "matrices with a tensor of their own",
            f"{module(fused[0])}, which {family} stores as a part of another",
            remedy,
        )


def module(matrix: Matrix) -> str:
    """Name of a matrix's module in a hub model, such as model.layers.11.mlp.down_proj."""
    layer, name = matrix
    return layer_tensor(name, layer, "hub").removesuffix(".weight")


def tensor(matrix: Matrix) -> str:
    """Name of a matrix in a GGUF file, such as blk.11.ffn_down.weight."""
    layer, name = matrix
    return layer_tensor(name, layer, "gguf")
