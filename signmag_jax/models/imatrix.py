"""llama.cpp's importance matrix: how large the inputs of every matrix are, by column, as a GGUF file.

The format is that of `llama-imatrix`: for each tensor `NAME.in_sum2`, sums of x_j² over tokens, and
`NAME.counts`, the number of tokens; both float32. A GGUF permutes rows of q and k, which no input is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from signmag_jax.evidence import InvalidInput, invalid
from signmag_jax.evidence.files import staged

from .config import ModelConfig
from .decoder_layer import MATRICES
from .gguf_file import GGUFFile
from .names import layer_tensor

Matrix = tuple[int, str]
"""A layer, from 0, and the name of one of its matrices."""

SUMS, COUNTS = ".in_sum2", ".counts"
REMEDY = "take a file that llama-imatrix or `signmag export --format imatrix` wrote, as GGUF and not as .dat"
_LAYER = re.compile(r"blk\.(\d{1,6})\.")


@dataclass(frozen=True, eq=False)
class ImportanceMatrix:
    """Mean squares of the inputs of matrices.

    Args:
      squares: E x_j² of each input column, in float64.
      tokens: over how many tokens, for each matrix.
      datasets: names of the texts.
      chunks, chunk_tokens: number of windows, and tokens of one; 0 where a file does not say.
    """

    squares: Mapping[Matrix, Float[np.ndarray, " inputs"]]
    tokens: Mapping[Matrix, int]
    datasets: tuple[str, ...] = ()
    chunks: int = 0
    chunk_tokens: int = 0

    def write(self, path: Path, remark: str = "") -> None:
        """Write it as `llama-imatrix` does, whole or not at all.

        Args:
          path: of the GGUF file.
          remark: becomes the key `general.description`.

        Raises:
          InvalidInput: for sums that float32 does not hold.
          MissingResource: if the file cannot be written.
        """
        from gguf import GGUFWriter

        with staged(path) as temporary:
            writer = GGUFWriter(temporary, "")
            # It describes no model, so it has no architecture either.
            writer.kv_data[0].pop("general.architecture", None)
            writer.add_string("general.type", "imatrix")
            if remark:
                writer.add_string("general.description", remark)
            writer.add_array("imatrix.datasets", list(self.datasets) or ["unknown"])
            writer.add_uint32("imatrix.chunk_count", self.chunks)
            writer.add_uint32("imatrix.chunk_size", self.chunk_tokens)
            for (layer, name), squares in self.squares.items():
                stored = layer_tensor(name, layer, "gguf")
                count = self.tokens[layer, name]
                with np.errstate(over="ignore"):  # named below instead
                    sums = (squares * count).astype(np.float32)
                if not np.isfinite(sums).all():
                    raise invalid("sums of squares below 3e38", f"infinity at {stored}", "take fewer windows")
                writer.add_tensor(stored + SUMS, sums[None])
                # As the format has it: float32 rounds counts above 2²⁴, by less than 1e-7 of them.
                writer.add_tensor(stored + COUNTS, np.full((1, 1), count, np.float32))
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
            writer.close()

    def check(self, config: ModelConfig) -> None:
        """Refuse one of another model.

        Raises:
          InvalidInput: naming a matrix that is missing, or whose number of inputs differs.
        """
        shapes = config.shapes()
        for layer in range(config.layers):
            for name in MATRICES:
                squares = self.squares.get((layer, name))
                inputs = None if squares is None else len(squares)
                if inputs != shapes[name][1]:
                    raise invalid(
                        f"{shapes[name][1]} inputs of {layer_tensor(name, layer, 'gguf')}",
                        inputs,
                        "take the imatrix of this model",
                    )


def read_imatrix(path: Path) -> ImportanceMatrix:
    """Read what `llama-imatrix` wrote; what is no matrix of a layer, or was not seen, is left out.

    Raises:
      InvalidInput: for another kind of file, or sums that are no sums of squares.
      MissingResource: if the file cannot be read or is damaged.
    """
    file = GGUFFile(path)
    # Of a model, its tensors' order would follow from it; these are lists of columns, whatever the model.
    file.metadata.pop("general.architecture", None)
    kind = file.metadata.get("general.type")
    if kind != "imatrix":
        raise invalid("general.type = imatrix", kind, REMEDY)
    named = {layer_tensor(name, 0, "gguf").removeprefix("blk.0."): name for name in MATRICES}
    squares, tokens = {}, {}
    for stored in file.tensors:
        base = stored.removesuffix(SUMS)
        layer = _LAYER.match(base)
        name = named.get(base[layer.end() :]) if layer and base != stored else None
        if layer is None or name is None:
            continue
        sums, count = file.read(stored).astype(np.float64).ravel(), _count(file, base)
        if not (np.isfinite(sums).all() and (sums >= 0).all()):
            raise invalid(f"finite sums of squares in {stored}", "others", REMEDY)
        if count:
            squares[int(layer[1]), name] = sums / count
            tokens[int(layer[1]), name] = count
    if not squares:
        raise invalid("in_sum2 of some matrix blk.N", "none", REMEDY)
    chunks, size = (file.metadata.get(f"imatrix.chunk_{key}", 0) for key in ("count", "size"))
    return ImportanceMatrix(squares, tokens, _texts(file.metadata), int(chunks), int(size))


def _count(file: GGUFFile, base: str) -> int:
    """Tokens behind a sum; 0 where no token was seen."""
    if base + COUNTS not in file.tensors:
        raise invalid(f"{base + COUNTS} beside its sums", "none", REMEDY)
    counts = file.read(base + COUNTS).ravel()
    if len(counts) != 1:
        raise InvalidInput(f"{base} has {len(counts)} experts, which no model here has: {REMEDY}")
    if not (np.isfinite(counts).all() and counts[0] >= 0):
        raise invalid(f"{base + COUNTS} a number of tokens", float(counts[0]), REMEDY)
    return int(counts[0])


def _texts(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    names = metadata.get("imatrix.datasets", ())
    return tuple(map(str, names)) if isinstance(names, list | tuple) else (str(names),)
