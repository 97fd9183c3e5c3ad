"""Whether a model's weights fit, judged before any of them is read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from signmag_jax.evidence import MissingResource

from .config import ModelConfig
from .sharding import bytes_per_device

_GROUP = Path("/sys/fs/cgroup")


def count_parameters(config: ModelConfig) -> int:
    """How many numbers the parameters are (a tied head counts once)."""
    outer = sum(math.prod(shape) for shape in config.outer_shapes().values())
    return outer + config.layers * sum(math.prod(shape) for shape in config.shapes().values())


def check_memory(config: ModelConfig, dtype: np.dtype, mesh: Mesh | None = None) -> None:
    """Refuse a model whose weights exceed the memory that the system or its devices say is available.

    Raises:
      MissingResource: naming the number of weights, what they take and what is there.
    """
    numbers = count_parameters(config)
    device = jax.devices()[0] if mesh is None else mesh.devices.flat[0]
    needed, where = numbers * dtype.itemsize, ""
    if device.platform == "cpu":
        available = available_memory()
    else:
        available = free_on(device)
        if mesh is not None:
            needed, where = bytes_per_device(config, dtype.itemsize, mesh), " on each device"
    if available is not None and needed > available:
        raise MissingResource(
            f"{numbers:,} weights in {dtype} take {needed / 2**30:.1f} GiB{where} and "
            f"{available / 2**30:.1f} GiB of memory are available: choose a smaller model or dtype bfloat16"
        )


def available_memory() -> int | None:
    """Bytes that this process can allocate without swapping, where the system tells."""
    told = [free for free in (_free_of_system(), _free_of_group()) if free is not None]
    return min(told, default=None)


def free_on(device: Any) -> int | None:
    """Bytes that an accelerator can still allocate, where it tells."""
    stats = device.memory_stats() or {}
    return stats["bytes_limit"] - stats.get("bytes_in_use", 0) if "bytes_limit" in stats else None


def _free_of_system() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None


def _free_of_group() -> int | None:
    """What a container's limit leaves; the files that its pages mirror can be dropped."""
    try:
        limit = int((_GROUP / "memory.max").read_text())
        used = int((_GROUP / "memory.current").read_text())
        entries = dict(line.split() for line in (_GROUP / "memory.stat").read_text().splitlines())
        return limit - used + int(entries["inactive_file"]) + int(entries["active_file"])
    except (OSError, KeyError, ValueError):  # "max" is no limit
        return None
