"""The header of a GGUF file: metadata and where each tensor lies, every count checked before it is believed.

The format is that of ggml's `docs/gguf.md`, versions 2 and 3, little-endian. A damaged count can ask for
nothing that the file does not hold: no loop and no allocation is larger than the file.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = 32
MOST_DIMENSIONS = 4
# Vocabularies have some hundred thousand entries, and twice as many merges.
LONGEST_ARRAY = 1 << 22

_SCALARS = {0: "u1", 1: "i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "?"}
_SCALARS |= {10: "<u8", 11: "<i8", 12: "<f8"}
_STRING, _ARRAY = 8, 9
# Bytes of the shortest entries: a key of no letters with one byte, a nameless tensor without dimensions.
_LEAST_PAIR, _LEAST_TENSOR, _LEAST_STRING = 8 + 4 + 1, 8 + 4 + 4 + 8, 8


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in the file: its shape as (out, in), its type by ggml's number and name, its bytes."""

    shape: tuple[int, ...]
    kind: int
    dtype: str
    start: int
    stop: int


class Broken(ValueError):
    """What is wrong with a header, in a few words."""


def read_header(
    data: memoryview, sizes: Callable[[int], tuple[str, int, int] | None]
) -> tuple[dict[str, Any], dict[str, StoredTensor]]:
    """Metadata as plain Python values, and the tensors by name.

    Args:
      data: the file's bytes, for instance a memory map.
      sizes: for the number of a tensor type: its name, numbers in a block, bytes of a block; None if unknown.

    Raises:
      Broken: if anything in the header contradicts the format or the size of the file.
    """
    reader = _Reader(data)
    if bytes(reader.take(4)) != MAGIC:
        raise Broken("it does not start with GGUF")
    version = reader.number("<I")
    if version not in VERSIONS:
        raise Broken(f"version {version} of the format, not one of {VERSIONS}")
    tensors, pairs = reader.number("<Q"), reader.number("<Q")
    reader.check_room(pairs, _LEAST_PAIR, "key-value pairs")
    metadata: dict[str, Any] = {}
    for _ in range(pairs):
        key = reader.text()
        if key in metadata:
            raise Broken(f"key {key[:60]!r} recurs")
        metadata[key] = reader.value(reader.number("<I"))
    reader.check_room(tensors, _LEAST_TENSOR, "tensors")
    described = [reader.tensor() for _ in range(tensors)]
    alignment = metadata.get("general.alignment", ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise Broken(f"alignment {alignment!r} is no power of two")
    start = -(-reader.offset // alignment) * alignment
    return metadata, _placed(described, start, alignment, reader.size, sizes)


def _placed(
    described: list[tuple[str, tuple[int, ...], int, int]],
    start: int,
    alignment: int,
    size: int,
    sizes: Callable[[int], tuple[str, int, int] | None],
) -> dict[str, StoredTensor]:
    placed: dict[str, StoredTensor] = {}
    for name, shape, kind, offset in described:
        shown = f"tensor {name[:60]!r}"
        if name in placed:
            raise Broken(f"{shown} recurs")
        known = sizes(kind)
        if known is None:
            raise Broken(f"{shown} is of type number {kind}, which ggml does not define")
        dtype, block, block_bytes = known
        if shape[-1] % block:
            raise Broken(f"{shown} of type {dtype} has rows of {shape[-1]} numbers, no multiple of {block}")
        first = start + offset
        last = first + math.prod(shape) // block * block_bytes
        if offset % alignment or last > size:
            raise Broken(f"{shown} lies at bytes {first} to {last} of a file of {size}")
        placed[name] = StoredTensor(shape, kind, dtype, first, last)
    in_order = sorted(placed.items(), key=lambda item: item[1].start)
    for (name, tensor), (other, after) in itertools.pairwise(in_order):
        if tensor.stop > after.start:
            raise Broken(f"tensors {name[:60]!r} and {other[:60]!r} lie on one another")
    return placed


class _Reader:
    """A position in the bytes that moves forward and never past their end."""

    def __init__(self, data: memoryview):
        self._data = data.cast("B")
        self.size = len(self._data)
        self.offset = 0

    def take(self, count: int) -> memoryview:
        self.check_room(count, 1, "bytes")
        start = self.offset
        self.offset += count
        return self._data[start : self.offset]

    def check_room(self, count: int, least: int, what: str) -> None:
        """Refuse a count of things of at least `least` bytes each that the rest of the file cannot hold."""
        if count * least > self.size - self.offset:
            raise Broken(f"{count} {what} are announced at byte {self.offset} of a file of {self.size}")

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def text(self) -> str:
        return self.texts(1)[0]

    def texts(self, count: int) -> list[str]:
        """Strings, each behind its length: in one loop, since a file has a hundred thousand of them."""
        texts, data = [], self._data
        for _ in range(count):
            begin = self.offset + _LEAST_STRING
            end = begin + int.from_bytes(data[self.offset : begin], "little")
            if end > self.size:
                raise Broken(f"{end - begin} bytes are announced at byte {begin} of a file of {self.size}")
            try:
                texts.append(str(data[begin:end], "utf-8"))
            except UnicodeDecodeError:
                raise Broken(f"a string before byte {end} is not UTF-8") from None
            self.offset = end
        return texts

    def value(self, kind: int) -> Any:
        """A number, boolean, string, or a list of them."""
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            return self._array()
        return self._scalars(kind, 1)[0]

    def _array(self) -> list[Any]:
        kind, count = self.number("<I"), self.number("<Q")
        if count > LONGEST_ARRAY:
            raise Broken(f"an array of {count} entries at byte {self.offset}")
        if kind == _ARRAY:
            raise Broken(f"an array of arrays at byte {self.offset}")
        if kind == _STRING:
            self.check_room(count, _LEAST_STRING, "strings")
            return self.texts(count)
        return self._scalars(kind, count)

    def _scalars(self, kind: int, count: int) -> list[Any]:
        if kind not in _SCALARS:
            raise Broken(f"a value of type number {kind} at byte {self.offset}")
        dtype = np.dtype(_SCALARS[kind])
        return np.frombuffer(self.take(count * dtype.itemsize), dtype).tolist()

    def tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        """Name, shape, type and offset; the file's first dimension is the one whose numbers are adjacent."""
        name = self.text()
        dimensions = self.number("<I")
        if not 1 <= dimensions <= MOST_DIMENSIONS:
            raise Broken(f"tensor {name[:60]!r} of {dimensions} dimensions")
        shape = tuple(self.number("<Q") for _ in range(dimensions))
        if 0 in shape:
            raise Broken(f"tensor {name[:60]!r} of shape {shape}")
        return name, shape[::-1], self.number("<I"), self.number("<Q")
