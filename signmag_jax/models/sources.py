"""Checkpoint files as named tensors, memory-mapped and read one at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np

from signmag_jax.evidence import MissingResource

from .foreign import reason
from .names import full_names

FLOAT_TYPES = ("F64", "F32", "F16", "BF16")
SMALL_FLOATS = {
    **{"F8_E4M3": jnp.float8_e4m3fn, "F8_E5M2": jnp.float8_e5m2, "F8_E8M0": jnp.float8_e8m0fnu},
    **{"F8_E4M3FNUZ": jnp.float8_e4m3fnuz, "F8_E5M2FNUZ": jnp.float8_e5m2fnuz},
}
"""Floats of 8 bits, which are numbers where no scale lies beside them."""
PACKED = "U8 of 4 ternary digits"
FILLED = "not stored"


@runtime_checkable
class TensorSource(Protocol):
    """Where weights come from: what is there, and a way to read each."""

    style: str
    files: tuple[Path, ...]
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    notes: tuple[str, ...]

    def read(self, name: str) -> np.ndarray:
        """The tensor in its stored dtype, or in float32 where it was quantised."""
        ...


class SafetensorsSource:
    """One or several safetensors files."""

    style = "hub"

    def __init__(self, files: Sequence[Path], notes: Sequence[str] = (), tied: bool = False):
        self.files = tuple(files)
        self.notes = tuple(notes)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, str] = {}
        stored: dict[str, tuple[Path, tuple[int, ...], str]] = {}
        for path in self.files:
            for name, shape, dtype in _described(path):
                if name in stored:
                    first = stored[name][0].name
                    said = f"{name} is read from {path.name} and not from {first}, as transformers does"
                    self.notes = (*self.notes, said)
                stored[name] = path, shape, dtype
        self._home = {full: (name, stored[name][0]) for full, name in full_names(stored, tied).items()}
        for full, (name, _) in self._home.items():
            _, self.shapes[full], self.dtypes[full] = stored[name]

    def read(self, name: str) -> np.ndarray:
        """The tensor as stored. The file is opened for it alone: pages of an open one stay in memory."""
        from safetensors import safe_open

        stored, path = self._home[name]
        if self.dtypes[name] in SMALL_FLOATS:  # for which `safetensors` makes no NumPy array
            small = np.frombuffer(_bytes_of(path, stored), SMALL_FLOATS[self.dtypes[name]])
            return small.reshape(self.shapes[name])
        with safe_open(path, framework="numpy") as opened:
            return opened.get_tensor(stored)


def _bytes_of(path: Path, name: str) -> bytes:
    """The bytes of a tensor of a file that was described."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        start, stop = json.loads(file.read(length))[name]["data_offsets"]
        file.seek(8 + length + start)
        return file.read(stop - start)


def _described(path: Path) -> list[tuple[str, tuple[int, ...], str]]:
    """Name, shape and dtype of every tensor of a file.

    Raises:
      MissingResource: if it is no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as opened:
            pieces = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
            return [(name, tuple(each.get_shape()), each.get_dtype()) for name, each in pieces.items()]
    except (SafetensorError, OSError, ValueError) as error:
        raise damaged(path, error) from None


def safetensors_in(folder: Path, tied: bool = False) -> SafetensorsSource:
    """The safetensors of a model folder: the single file, or those of the index.

    Args:
      folder: of the model.
      tied: whether its head is its embedding.

    Raises:
      MissingResource: if there are none, or a shard is absent.
    """
    index = folder / "model.safetensors.index.json"
    single = folder / "model.safetensors"
    notes: list[str] = []
    if (folder / "adapter_config.json").is_file():
        notes.append("the adapter beside the model (adapter_config.json) is not applied")
    if single.is_file():
        if index.is_file():
            notes.append(f"{single.name} is read and {index.name} beside it is not, as transformers does")
        return SafetensorsSource([single], notes, tied)
    if index.is_file():
        shards = shards_of(index)
        absent = [shard for shard in shards if not (folder / shard).is_file()]
        if absent:
            raise MissingResource(
                f"{folder} lacks {', '.join(absent)}, named in {index.name}: download the shards"
            )
        return SafetensorsSource([folder / shard for shard in shards], notes, tied)
    pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
    if pickles:
        raise MissingResource(
            f"{folder} holds its weights as pickle ({', '.join(pickles)}), which can run code when read and "
            "is never opened: convert them with `save_pretrained(..., safe_serialization=True)` or take a "
            "revision with model.safetensors"
        )
    others = sorted(path.name for path in folder.glob("*.safetensors"))
    if others:
        raise MissingResource(
            f"{folder} holds {', '.join(others[:4])}, but neither model.safetensors nor {index.name}, which "
            "names the shards of a model: add that, or rename the one file that is the model"
        )
    raise MissingResource(
        f"{folder} holds no model.safetensors and no index of shards: point at a model folder"
    )


def shards_of(index: Path) -> list[str]:
    """The names of the files that an index spreads the tensors over.

    Raises:
      MissingResource: if it is no such index.
    """
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards = sorted({_file_name(shard) for shard in weight_map.values()})
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise damaged(index, error) from None
    if not shards:
        raise damaged(index, ValueError("it names no shard"))
    return shards


def _file_name(shard: Any) -> str:
    """The name of a file beside the index or below it, whatever an index may hold instead."""
    if (
        # An index is anybody's text: no name may lead out of the folder.
        not isinstance(shard, str)
        or not shard.isprintable()
        or len(shard) > 255
        or any(part in ("", ".", "..") for part in shard.split("/"))
    ):
        raise ValueError(f"{str(shard)[:60]!r} is no name of a file")
    return shard


POINTER = "is a pointer of Git LFS and not the file itself: run `git lfs pull` in its folder, or download it"


def is_pointer(path: Path) -> bool:
    """Whether a clone without Git LFS left a line of text where a large file should be."""
    try:
        with path.open("rb") as opened:
            return opened.read(len(_POINTER)) == _POINTER
    except OSError:
        return False


_POINTER = b"version https://git-lfs"


def damaged(path: Path, error: Exception) -> MissingResource:
    """The error for a file that cannot be read as what it should be."""
    if is_pointer(path):
        return MissingResource(f"{path} {POINTER}")
    return MissingResource(f"{path} is damaged or truncated ({reason(error)}): download or export it again")
