"""From a checkpoint's tensors to the stacked parameters of the port, with every tensor accounted for."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding

from signmag_jax.evidence import Result, invalid
from signmag_jax.evidence.files import sha256_of
from signmag_jax.evidence.progress import progress
from signmag_jax.evidence.result import named

from .config import ModelConfig
from .memory import check_memory
from .names import (
    LONG_DIVISORS,
    ROPE_DIVISORS,
    UNUSED_SUFFIXES,
    expected,
    layer_tensor,
    outer_tensor,
    strangers,
)
from .sharding import parameter_shardings
from .sources import FILLED, FLOAT_TYPES, PACKED, SMALL_FLOATS, TensorSource

MOST_LINES = 24
"""Tensors that one error names."""
ALIGNMENT = 64
"""Bytes: memory that begins at a multiple becomes a JAX array on a CPU as it is; other memory is copied."""


@dataclass(frozen=True)
class LoadReport(Result):
    """What was loaded: enough to load the same again.

    Args:
      source: what was asked for and where it was found.
      files: sha256 of each file of weights, by name.
      dtypes: number of tensors stored in each dtype.
      dtype: dtype of the parameters in memory.
      parameters: how many numbers they are (a tied head counts once).
      ignored: tensors of the file that follow from others, or that the architecture does not have.
      notes: what else sets these weights apart: the mesh they lie on, a tokenizer of far fewer tokens.
    """

    source: dict[str, Any]
    files: dict[str, str]
    dtypes: dict[str, int] = field(metadata=named("stored_dtypes"))
    dtype: str
    parameters: int
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def load_parameters(
    config: ModelConfig, source: TensorSource, dtype: Any = jnp.float32, mesh: Mesh | None = None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Nested dict of parameters, those of the layers stacked under "blocks"; and the tensors left out.

    Each tensor is read once, converted, and cut into the pieces that devices of this process hold. No other
    copy of a whole parameter exists: one tensor at a time stands beside the parameters.

    Args:
      config: the architecture.
      source: the checkpoint.
      dtype: of the parameters.
      mesh: devices over which they are spread; None for the default device.

    Raises:
      InvalidInput: naming every missing or misshapen tensor at once, or those not finite.
      MissingResource: if they exceed the memory.
    """
    ignored = check_names(config, source)
    dtype = np.dtype(dtype)
    check_memory(config, dtype, mesh)
    shardings: Any = None if mesh is None else parameter_shardings(config, mesh)
    broken: list[str] = []
    with progress("loading weights", len(expected(config, source.style))) as advance:

        def read(name: str, shape: tuple[int, ...]) -> np.ndarray:
            stored = source.read(name)
            with np.errstate(all="ignore"):  # named below instead
                loaded = stored.astype(dtype, copy=False)
            fault = fault_of(stored, loaded)
            if fault is not None:
                broken.append(f"{name}{fault}")
            advance()
            return loaded.reshape(shape)

        params: dict[str, Any] = {}
        for parameter, shape in config.outer_shapes().items():
            pieces = _Pieces(shape, dtype, shardings and shardings[parameter])
            pieces.fill(read(outer_tensor(parameter, source.style), shape))
            params[parameter] = pieces.array()
        blocks: dict[str, Any] = {}
        for parameter, shape in config.shapes().items():
            pieces = _Pieces((config.layers, *shape), dtype, shardings and shardings["blocks"][parameter])
            for layer in range(config.layers):
                pieces.fill(read(layer_tensor(parameter, layer, source.style), shape), layer)
            blocks[parameter] = pieces.array()
    params["blocks"] = blocks
    if broken:
        raise invalid(
            "all weights finite, and not lost in conversion",
            ", ".join(broken[:20]),
            "the checkpoint is damaged, or needs a wider dtype",
        )
    return params, ignored


class _Pieces:
    """The memory of one parameter: one array for each different piece that devices of this process hold."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, sharding: NamedSharding | None):
        self._shape, self._sharding = shape, sharding
        whole = tuple(slice(None) for _ in shape)
        indices = [whole] if sharding is None else sharding.addressable_devices_indices_map(shape).values()
        self._parts = {_bounds(index, shape): index for index in indices if index is not None}
        self._memory = {
            bounds: empty_aligned(tuple(stop - start for start, stop in bounds), dtype)
            for bounds in self._parts
        }

    def fill(self, values: np.ndarray, layer: int | None = None) -> None:
        """Put in the values of a layer, or of the whole parameter."""
        for bounds, index in self._parts.items():
            memory = self._memory[bounds]
            if layer is None:
                memory[...] = values[index]
            else:  # a stack is never split between layers
                memory[layer] = values[index[1:]]

    def array(self) -> jax.Array:
        """The parameter on its devices."""
        if self._sharding is None:
            # Aligned memory becomes the array itself: no second copy of a parameter exists.
            return jax.device_put(next(iter(self._memory.values())))
        return jax.make_array_from_callback(
            self._shape, self._sharding, lambda index: self._memory[_bounds(index or (), self._shape)]
        )


def _bounds(index: tuple[slice, ...], shape: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Start and stop along each axis: slices cannot be keys."""
    return tuple(piece.indices(size)[:2] for piece, size in zip(index, shape, strict=True))


def empty_aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of undefined numbers that begins at a multiple of `ALIGNMENT`."""
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


def fault_of(stored: np.ndarray, loaded: np.ndarray) -> str | None:
    """What is wrong with a tensor as it was stored, or as it was loaded in another dtype; None if nothing."""
    if not _all_finite(stored):
        return ""
    if not _all_finite(loaded):
        return f" (overflows {loaded.dtype})"
    if not loaded.any() and stored.any():
        return f" (vanishes in {loaded.dtype})"
    return None


def _all_finite(values: np.ndarray) -> bool:
    """Whether all are finite; a sum that is finite says so without an array of booleans."""
    with np.errstate(all="ignore"):
        wide = values if values.dtype.itemsize > 2 else values.astype(np.float32)
        return bool(np.isfinite(wide.sum(dtype=np.float64)) or np.isfinite(wide).all())


def check_names(config: ModelConfig, source: TensorSource) -> tuple[str, ...]:
    """Compare the file with the architecture in both directions; return the tensors to leave out."""
    if config.layers > len(source.shapes):
        raise invalid(
            f"a tensor at least for each of {config.layers} layers",
            f"{len(source.shapes)} tensors",
            "the checkpoint and its config do not belong together",
        )
    wanted = expected(config, source.style)
    used = {*ROPE_DIVISORS, LONG_DIVISORS} if config.rope.divisors else set()
    others = sorted(set(source.shapes) - wanted.keys() - used)
    lines = [f"missing {name} {shape}" for name, shape in wanted.items() if name not in source.shapes]
    # transformers leaves out what a model does not have; to llama.cpp it is another architecture.
    if lines or source.style == "gguf":
        unknown = (name for name in strangers(others, source.style) if not name.endswith(UNUSED_SUFFIXES))
        lines += [f"unexpected {name}" for name in unknown]
    lines += [
        f"{name} has shape {source.shapes[name]} instead of {shape}"
        for name, shape in wanted.items()
        if name in source.shapes and source.shapes[name] != shape
    ]
    if lines:
        raise invalid(
            "tensors = those of the architecture",
            "; ".join(lines[:MOST_LINES])
            + (f"; and {len(lines) - MOST_LINES} more" * (len(lines) > MOST_LINES)),
            "the checkpoint and its config do not belong together, or the architecture is not supported",
        )
    if source.style == "hub":
        check_floats(source, wanted, others)
    return tuple(others)


def check_floats(source: TensorSource, names: Iterable[str], others: Iterable[str] = ()) -> None:
    """Refuse a checkpoint whose weights are stored as codes of a quantiser.

    Args:
      source: the checkpoint.
      names: of its weights.
      others: tensors that would be left out. Scales among them belong to weights of 8 bits.
    """
    known = (*FLOAT_TYPES, *SMALL_FLOATS, PACKED, FILLED)
    strange = [name for name in names if source.dtypes[name] not in known]
    if strange:
        raise invalid(
            f"every weight in one of {(*FLOAT_TYPES, *SMALL_FLOATS)}",
            ", ".join(f"{name} ({source.dtypes[name]})" for name in strange[:8]),
            "pre-quantised weights are not read; use the original",
        )
    small = next((name for name in names if source.dtypes[name] in SMALL_FLOATS), None)
    scales = [name for name in others if "scale" in name]
    if small and scales:
        raise invalid(
            "weights of 8 bits without scales beside them",
            f"{small} ({source.dtypes[small]}) beside {', '.join(scales[:4])}",
            "the scales change the model, and transformers leaves them out here; use the original",
        )


def with_own_head(config: ModelConfig, source: TensorSource) -> tuple[ModelConfig, tuple[str, ...]]:
    """The config untied, with a remark, where the file holds a head that is not the embedding.

    So does transformers: what is stored counts, not `tie_word_embeddings`.
    """
    head, embed = (outer_tensor(name, source.style) for name in ("head", "embed"))
    stored = source.shapes.get(head)
    if not config.tied or stored is None or stored != source.shapes.get(embed):
        return config, ()
    if np.array_equal(source.read(head), source.read(embed)):
        return config, ()
    remark = (
        f"{head} is stored and is not {embed}, to which the config ties it: it is used, as transformers does"
    )
    return dataclasses.replace(config, tied=False), (remark,)


def report_of(
    source: TensorSource,
    params: dict[str, Any],
    ignored: tuple[str, ...],
    origin: dict[str, Any],
    notes: tuple[str, ...] = (),
) -> LoadReport:
    """The load report: hashes of the files, dtypes, number of parameters."""
    leaves = jax.tree.leaves(params)
    return LoadReport(
        source=origin,
        files={path.name: sha256_of(path) for path in source.files},
        dtypes=dict(sorted(Counter(source.dtypes.values()).items())),
        dtype=str(leaves[0].dtype),
        parameters=sum(leaf.size for leaf in leaves),
        ignored=ignored,
        notes=notes,
    )
