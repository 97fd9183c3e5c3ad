"""A GGUF file, or the parts of one: metadata and tensors, dequantised by the `gguf` library."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from signmag_jax.evidence import MissingResource, invalid

from .gguf_header import MAGIC, Broken, StoredTensor, read_header
from .gguf_split import check_part, parts
from .names import ROPE_DIVISORS
from .sources import POINTER, damaged, is_pointer

MOST_DIVISORS = 1 << 16
# Numbers of types that ggml gave up, or that other programs gave their own.
FOREIGN_TYPES = {
    **{4: "Q4_2, which ggml gave up", 5: "Q4_3, which ggml gave up"},
    **{31: "Q4_0_4_4, which ggml gave up", 32: "Q4_0_4_8, which ggml gave up"},
    **{33: "Q4_0_8_8, which ggml gave up", 36: "I2_S of bitnet.cpp, or IQ4_NL_4_4, which ggml gave up"},
}
INTERLEAVED = ("llama", "smollm3")
"""Architectures whose rotation llama.cpp does in pairs (2i, 2i+1)."""
PLAIN = {"F32": "<f4", "F16": "<f2"}


class GGUFFile:
    """Tensors of a GGUF file, dequantised to float32 when read, q and k in the order of the hub's models.

    llama.cpp stores q and k of the architectures `INTERLEAVED` with the rows of each head interleaved for its
    RoPE (pairs (2i, 2i+1) instead of (i, i + d/2)); `read` undoes it, given the head counts of the metadata.
    Their biases are stored in the same order.

    Raises:
      InvalidInput: for another kind of file, or naming tensors of a type that is not read.
      MissingResource: if the file cannot be read, or is damaged or truncated.
    """

    style = "gguf"
    notes: tuple[str, ...] = ()

    def __init__(self, path: Path):
        self.path = path
        given = _opened(path)
        self.files = parts(path, given[1])
        opened = [given if file == path else _opened(file) for file in self.files]
        self.metadata = opened[0][1]
        self.tensors: dict[str, StoredTensor] = {}
        self._data: dict[str, np.ndarray] = {}
        for number, (data, metadata, tensors) in enumerate(opened):
            if len(opened) > 1:
                check_part(self.files[number], number, len(opened), metadata)
            if twice := sorted(set(tensors) & set(self.tensors)):
                raise invalid("each tensor stored once", twice[0][:60], f"{self.files[number]} repeats it")
            self.tensors |= tensors
            self._data |= dict.fromkeys(tensors, data)
        self._scales = scales_of(self.tensors)
        others = [name for name in self.tensors if name not in self._scales.values()]
        self.shapes = {name: self.tensors[name].shape for name in others}
        self.dtypes = {name: self.tensors[name].dtype for name in others}
        strange = sorted(n for n, dtype in self.dtypes.items() if dtype not in readable_types())
        if strange:
            shown = ", ".join(f"{name} ({self.dtypes[name]})" for name in strange[:8])
            raise invalid(
                f"every GGUF tensor in one of {readable_types()}", shown, "use a file in another quantisation"
            )

    def read(self, name: str) -> np.ndarray:
        """The tensor in float32, rows in the hub's order."""
        from gguf.constants import GGMLQuantizationType
        from gguf.quants import dequantize

        tensor = self.tensors[name]
        stored = self._data[name][tensor.start : tensor.stop]
        if tensor.dtype in PLAIN:
            values = stored.view(PLAIN[tensor.dtype]).astype(np.float32)
        else:
            rows = stored.reshape(math.prod(tensor.shape[:-1]), -1)
            with np.errstate(all="ignore"):  # what is not finite is named by who asked for it
                values = dequantize(rows, GGMLQuantizationType(tensor.kind)).astype(np.float32, copy=False)
        values = np.asarray(values).reshape(tensor.shape)
        if name in self._scales:
            scale = self._scales[name]
            values = values * self._data[scale][self.tensors[scale].start :][:4].view("<f4")
        heads = self._interleaved_heads(name)
        return values if heads is None else unpermute(values, heads)

    def rope_divisors(self) -> tuple[float, ...]:
        """Divisors of the rotation's frequencies; empty where the file holds none.

        Raises:
          InvalidInput: if there are absurdly many.
        """
        name = next((name for name in ROPE_DIVISORS if name in self.shapes), None)
        if name is None:
            return ()
        shape = self.shapes[name]
        if math.prod(shape) > MOST_DIVISORS:
            raise invalid(f"{name} of at most {MOST_DIVISORS}", shape, "the GGUF file is damaged")
        return tuple(self.read(name).ravel().tolist())

    def _interleaved_heads(self, name: str) -> int | None:
        architecture = self.metadata.get("general.architecture")
        if architecture not in INTERLEAVED:
            return None
        heads: Any = self.metadata[f"{architecture}.attention.head_count"]
        if ".attn_k." in name:
            heads = self.metadata.get(f"{architecture}.attention.head_count_kv", heads)
        elif ".attn_q." not in name:
            return None
        return heads[0] if isinstance(heads, list) else heads


def scales_of(tensors: Mapping[str, StoredTensor]) -> dict[str, str]:
    """For matrices of layers, the tensor of the one number by which llama.cpp multiplies what each gives."""
    matrices = [name for name in tensors if name.startswith("blk.") and len(tensors[name].shape) == 2]
    numbers = {name for name, each in tensors.items() if (each.shape, each.dtype) == ((1,), "F32")}
    pairs = ((name, f"{name.removesuffix('weight')}scale") for name in matrices)
    return {name: scale for name, scale in pairs if scale in numbers}


def unpermute(rows: np.ndarray, heads: int) -> np.ndarray:
    """Rows of each head from interleaved pairs (2i, 2i+1) back to halves (i, i + d/2)."""
    split = rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:])
    return np.ascontiguousarray(split.swapaxes(1, 2)).reshape(rows.shape)


def _opened(path: Path) -> tuple[np.ndarray, dict[str, Any], dict[str, StoredTensor]]:
    """The bytes of one file, its metadata and its tensors."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
        if magic != MAGIC and is_pointer(path):
            raise MissingResource(f"{path} {POINTER}")
        if magic != MAGIC:
            raise invalid("file starts with GGUF", magic, f"{path.name} is no GGUF file; check the path")
        data = np.asarray(np.memmap(path, np.uint8, mode="r"))
    except OSError as error:
        raise MissingResource(f"cannot read {path} ({error.strerror or error}): check the path") from None
    try:
        return data, *read_header(data.data, _sizes)
    except Broken as error:
        raise damaged(path, error) from None


@functools.cache
def readable_types() -> tuple[str, ...]:
    """Names of the types that the installed `gguf` dequantises."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
    from gguf.quants import dequantize

    def reads(kind: GGMLQuantizationType) -> bool:
        with contextlib.suppress(NotImplementedError):
            dequantize(np.zeros((1, GGML_QUANT_SIZES[kind][1]), np.uint8), kind)
            return True
        return False

    with np.errstate(all="ignore"):
        return tuple(kind.name for kind in GGMLQuantizationType if reads(kind))


def _sizes(kind: int) -> tuple[str, int, int] | None:
    """Name, numbers in a block and bytes of a block of a tensor type."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    if kind in FOREIGN_TYPES:
        raise invalid(
            f"every GGUF tensor in one of {readable_types()}",
            f"type number {kind} ({FOREIGN_TYPES[kind]})",
            "use a file in another quantisation, or the hub folder",
        )
    try:
        known = GGMLQuantizationType(kind)
    except ValueError:
        return None
    return known.name, *GGML_QUANT_SIZES[known]
