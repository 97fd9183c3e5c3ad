"""A GGUF file: metadata and tensors, through the `gguf` library's reader."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from signmag_jax.evidence import MissingResource, invalid

from .foreign import silenced
from .sources import damaged

GGUF_TYPES = (
    "F32",
    "F16",
    "BF16",
    "Q8_0",
    "Q4_0",
    "Q4_1",
    "Q5_0",
    "Q5_1",
    "Q4_K",
    "Q5_K",
    "Q6_K",
    "Q2_K",
    "Q3_K",
)


class GGUFFile:
    """Tensors of a GGUF file, dequantised to float32 when read, q and k in the order of the hub's models.

    llama.cpp stores q and k of architecture `llama` with the rows of each head interleaved for its RoPE
    (pairs (2i, 2i+1) instead of (i, i + d/2)); `read` undoes it, given the head counts of the metadata.
    """

    style = "gguf"

    def __init__(self, path: Path):
        self.path = path
        self.files = (path,)
        try:
            with path.open("rb") as file:
                magic = file.read(4)
        except OSError as error:
            raise MissingResource(f"cannot read {path} ({error.strerror or error}): check the path") from None
        if magic != b"GGUF":
            raise invalid("file starts with GGUF", magic, f"{path.name} is no GGUF file; check the path")
        try:
            with silenced():
                from gguf import GGUFReader

                reader = GGUFReader(path)
                # A truncated file shows here as a tensor whose bytes end before their place in the map.
                self._tensors = {tensor.name: tensor for tensor in reader.tensors}
        except Exception as error:  # the reader raises whatever the damaged bytes lead it to
            raise damaged(path, error) from None
        self._fields = reader.fields
        self.shapes = {n: tuple(int(d) for d in reversed(t.shape)) for n, t in self._tensors.items()}
        self.dtypes = {n: t.tensor_type.name for n, t in self._tensors.items()}
        strange = sorted(n for n, dtype in self.dtypes.items() if dtype not in GGUF_TYPES)
        if strange:
            shown = ", ".join(f"{name} ({self.dtypes[name]})" for name in strange[:8])
            raise invalid(
                f"every GGUF tensor in one of {GGUF_TYPES}", shown, "use a file in another quantisation"
            )

    @functools.cached_property
    def metadata(self) -> dict[str, Any]:
        """All key-value pairs as plain Python values, the library's own `GGUF.*` counters left out."""
        try:
            with silenced():
                return {key: f.contents() for key, f in self._fields.items() if not key.startswith("GGUF.")}
        except Exception as error:  # the reader raises whatever the damaged bytes lead it to
            raise damaged(self.path, error) from None

    def read(self, name: str) -> np.ndarray:
        """The tensor in float32, rows in the hub's order."""
        from gguf.quants import dequantize

        tensor = self._tensors[name]
        if tensor.tensor_type.name == "F32":
            values = np.array(tensor.data, np.float32)
        else:
            values = dequantize(np.asarray(tensor.data), tensor.tensor_type).astype(np.float32, copy=False)
        values = values.reshape(self.shapes[name])
        heads = self._interleaved_heads(name)
        return values if heads is None else unpermute(values, heads)

    def _interleaved_heads(self, name: str) -> int | None:
        if self.metadata.get("general.architecture") != "llama":
            return None
        queries = self.metadata["llama.attention.head_count"]
        if ".attn_q." in name:
            return queries
        if ".attn_k." in name:
            return self.metadata.get("llama.attention.head_count_kv", queries)
        return None


def unpermute(rows: np.ndarray, heads: int) -> np.ndarray:
    """Rows of each head from interleaved pairs (2i, 2i+1) back to halves (i, i + d/2)."""
    split = rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:])
    return np.ascontiguousarray(split.swapaxes(1, 2)).reshape(rows.shape)
