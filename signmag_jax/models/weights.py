"""From a checkpoint's tensors to the stacked parameters of the port, with every tensor accounted for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from signmag_jax.evidence import MissingResource, invalid
from signmag_jax.evidence.files import sha256_of
from signmag_jax.evidence.progress import progress

from .config import ModelConfig
from .names import DERIVED_SUFFIXES, expected, layer_tensor, outer_tensor
from .sources import TensorSource


@dataclass(frozen=True)
class LoadReport:
    """What was loaded: enough to load the same again.

    Args:
      source: what was asked for and where it was found.
      files: sha256 of each file of weights, by name.
      dtypes: number of tensors stored in each dtype.
      dtype: dtype of the parameters in memory.
      parameters: how many numbers they are (a tied head counts once).
      ignored: tensors of the file that follow from others and were left out.
    """

    source: dict[str, Any]
    files: dict[str, str]
    dtypes: dict[str, int]
    dtype: str
    parameters: int
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """A strict-JSON object."""
        return {
            "source": self.source,
            "files": self.files,
            "stored_dtypes": self.dtypes,
            "dtype": self.dtype,
            "parameters": self.parameters,
            "ignored": list(self.ignored),
            "notes": list(self.notes),
        }


def load_parameters(
    config: ModelConfig, source: TensorSource, dtype: Any = jnp.float32
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Nested dict of parameters, those of the layers stacked under "blocks"; and the tensors left out.

    Raises:
      InvalidInput: naming every missing, unexpected or misshapen tensor at once, or those not finite.
    """
    ignored = check_names(config, source)
    dtype = np.dtype(dtype)
    check_memory(config, dtype)
    broken: list[str] = []
    with progress("loading weights", len(expected(config, source.style))) as advance:

        def fill(target: np.ndarray, name: str) -> None:
            values = source.read(name)
            with np.errstate(all="ignore"):  # named below instead
                target[...] = values.reshape(target.shape)
            fault = fault_of(values, target)
            if fault is not None:
                broken.append(f"{name}{fault}")
            advance()

        params: dict[str, Any] = {}
        for parameter, shape in config.outer_shapes().items():
            array = np.empty(shape, dtype)
            fill(array, outer_tensor(parameter, source.style))
            params[parameter] = jnp.asarray(array)
        blocks: dict[str, Any] = {}
        for parameter, shape in config.shapes().items():
            stack = np.empty((config.layers, *shape), dtype)
            for layer in range(config.layers):
                fill(stack[layer], layer_tensor(parameter, layer, source.style))
            blocks[parameter] = jnp.asarray(stack)
    params["blocks"] = blocks
    if broken:
        raise invalid(
            "all weights finite, and not lost in conversion",
            ", ".join(broken[:20]),
            "the checkpoint is damaged, or needs a wider dtype",
        )
    return params, ignored


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
    """Compare the file with the architecture in both directions; return the derived tensors to leave out."""
    if config.layers > len(source.shapes):
        raise invalid(
            f"a tensor at least for each of {config.layers} layers",
            f"{len(source.shapes)} tensors",
            "the checkpoint and its config do not belong together",
        )
    wanted = expected(config, source.style)
    derived = {name for name in source.shapes if name.endswith(DERIVED_SUFFIXES)}
    head = outer_tensor("head", source.style)
    if config.tied and head in source.shapes:
        check_tied(source, head)
        derived.add(head)
    lines = [f"missing {name} {shape}" for name, shape in wanted.items() if name not in source.shapes]
    lines += [f"unexpected {name}" for name in source.shapes if name not in wanted and name not in derived]
    lines += [
        f"{name} has shape {source.shapes[name]} instead of {shape}"
        for name, shape in wanted.items()
        if name in source.shapes and source.shapes[name] != shape
    ]
    if lines:
        raise invalid(
            "tensors = those of the architecture",
            "; ".join(lines),
            "the checkpoint and its config do not belong together, or the architecture is not supported",
        )
    return tuple(sorted(derived))


def check_memory(config: ModelConfig, dtype: np.dtype) -> None:
    """Refuse a model whose weights exceed the memory that the system has available, where it says."""
    numbers = sum(math.prod(shape) for shape in config.outer_shapes().values())
    numbers += config.layers * sum(math.prod(shape) for shape in config.shapes().values())
    available = available_memory()
    if available is not None and numbers * dtype.itemsize > available:
        raise MissingResource(
            f"{numbers:,} weights in {dtype} take {numbers * dtype.itemsize / 2**30:.1f} GiB and "
            f"{available / 2**30:.1f} GiB of memory are available: choose a smaller model or dtype bfloat16"
        )


def available_memory() -> int | None:
    """Bytes that can be allocated without swapping, where /proc/meminfo tells."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None


def check_tied(source: TensorSource, head: str) -> None:
    """A stored head beside `tied` must be the embedding, or the config does not describe the file."""
    embed = outer_tensor("embed", source.style)
    if embed in source.shapes and not np.array_equal(source.read(head), source.read(embed)):
        raise invalid(
            f"{head} = {embed} where the config ties them",
            "different tensors",
            "set tie_word_embeddings to false in the config if the head is its own matrix",
        )


def report_of(
    source: TensorSource, params: dict[str, Any], ignored: tuple[str, ...], origin: dict[str, Any]
) -> LoadReport:
    """The load report: hashes of the files, dtypes, number of parameters."""
    leaves = jax.tree.leaves(params)
    counts: dict[str, int] = {}
    for dtype in source.dtypes.values():
        counts[dtype] = counts.get(dtype, 0) + 1
    return LoadReport(
        source=origin,
        files={path.name: sha256_of(path) for path in source.files},
        dtypes=dict(sorted(counts.items())),
        dtype=str(leaves[0].dtype),
        parameters=sum(leaf.size for leaf in leaves),
        ignored=ignored,
    )
