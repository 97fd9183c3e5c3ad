"""Checkpoint files as named tensors, memory-mapped and read one at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from signmag_jax.evidence import MissingResource, invalid

from .foreign import reason

FLOAT_TYPES = ("F64", "F32", "F16", "BF16")


@runtime_checkable
class TensorSource(Protocol):
    """Where weights come from: what is there, and a way to read each."""

    style: str
    files: tuple[Path, ...]
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]

    def read(self, name: str) -> np.ndarray:
        """The tensor in its stored dtype, or in float32 where it was quantised."""
        ...


class SafetensorsSource:
    """One or several safetensors files."""

    style = "hub"

    def __init__(self, files: Sequence[Path]):
        from safetensors import SafetensorError, safe_open

        self.files = tuple(files)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, str] = {}
        self._home: dict[str, Any] = {}
        for path in self.files:
            try:
                opened = safe_open(path, framework="numpy")
            except (SafetensorError, OSError, ValueError) as error:
                raise damaged(path, error) from None
            for name in opened.keys():  # noqa: SIM118 - not a mapping
                if name in self._home:
                    raise invalid(
                        "each tensor stored once", name, f"{path} repeats it; download the files again"
                    )
                piece = opened.get_slice(name)
                self.shapes[name] = tuple(piece.get_shape())
                self.dtypes[name] = piece.get_dtype()
                self._home[name] = opened
        strange = sorted(n for n, dtype in self.dtypes.items() if dtype not in FLOAT_TYPES)
        if strange:
            shown = ", ".join(f"{name} ({self.dtypes[name]})" for name in strange[:8])
            raise invalid(
                f"every tensor in one of {FLOAT_TYPES}",
                shown,
                "pre-quantised weights are not read; use the original",
            )

    def read(self, name: str) -> np.ndarray:
        """The tensor as stored."""
        return self._home[name].get_tensor(name)


def safetensors_in(folder: Path) -> SafetensorsSource:
    """The safetensors of a model folder: those of the index, or the single file.

    Raises:
      MissingResource: if there are none, or a shard is absent.
    """
    index = folder / "model.safetensors.index.json"
    single = folder / "model.safetensors"
    if index.is_file():
        try:
            weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
            shards = sorted({_file_name(shard) for shard in weight_map.values()})
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
            raise damaged(index, error) from None
        if not shards:
            raise damaged(index, ValueError("it names no shard"))
        absent = [shard for shard in shards if not (folder / shard).is_file()]
        if absent:
            raise MissingResource(
                f"{folder} lacks {', '.join(absent)}, named in {index.name}: download the shards"
            )
        return SafetensorsSource([folder / shard for shard in shards])
    if single.is_file():
        return SafetensorsSource([single])
    pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
    if pickles:
        raise MissingResource(
            f"{folder} holds its weights as pickle ({', '.join(pickles)}), which can run code when read and "
            "is never opened: convert them with `save_pretrained(..., safe_serialization=True)` or take a "
            "revision with model.safetensors"
        )
    raise MissingResource(
        f"{folder} holds no model.safetensors and no index of shards: point at a model folder"
    )


def _file_name(shard: Any) -> str:
    """The name of a file beside the index, whatever an index may hold instead."""
    if (
        not isinstance(shard, str)
        or not shard
        or not shard.isprintable()
        or len(shard) > 255
        or Path(shard).name != shard
    ):
        raise ValueError(f"{str(shard)[:60]!r} is no name of a file")
    return shard


def damaged(path: Path, error: Exception) -> MissingResource:
    """The error for a file that cannot be read as what it should be."""
    return MissingResource(f"{path} is damaged or truncated ({reason(error)}): download or export it again")
