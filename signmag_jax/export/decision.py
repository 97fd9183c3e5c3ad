"""What becomes of each matrix, in terms that every quantiser's options can be made from."""

from __future__ import annotations

from dataclasses import dataclass

from signmag_jax.models.imatrix import Matrix
from signmag_jax.models.names import layer_tensor

HEAD = "lm_head"
"""The output matrix, which a list that is given takes out of the tools' own defaults: it is named again."""
GROUP = 32
"""Neighbours in a row that share a scale, where a tool asks for one; it divides most models' widths."""
BITS = 4
"""Bits of what is not named, where a tool asks for them."""


@dataclass(frozen=True)
class Decision:
    """Matrices that stay as they are.

    Args:
      whole: matrices that are not quantised.
      notes: sentences that every file bears: by which rule, and what it does not do.
    """

    whole: tuple[Matrix, ...]
    notes: tuple[str, ...]


def module(matrix: Matrix) -> str:
    """Name of a matrix's module in a hub model, such as model.layers.11.mlp.down_proj."""
    layer, name = matrix
    return layer_tensor(name, layer, "hub").removesuffix(".weight")


def tensor(matrix: Matrix) -> str:
    """Name of a matrix in a GGUF file, such as blk.11.ffn_down.weight."""
    layer, name = matrix
    return layer_tensor(name, layer, "gguf")
