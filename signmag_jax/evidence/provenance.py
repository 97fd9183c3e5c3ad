"""Where a number comes from: versions, device, threads, precision, seed."""

from __future__ import annotations

import functools
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    *("signmag_jax", "jax", "jaxlib", "flax", "optax", "numpy", "scipy", "sympy", "python-flint"),
    # What turns a checkpoint's files into weights and token ids.
    *("transformers", "tokenizers", "gguf", "safetensors"),
)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a number depends on."""
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            installed[package] = "not installed"
    return installed


def threads() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def processor() -> str:
    """The processor's model, as far as the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{platform.machine()} {next(named, platform.processor())}".strip()


def collect(**particular: Any) -> dict[str, Any]:
    """Provenance of a computation on the default devices; `particular` adds seed, sizes and the like."""
    import jax

    devices = jax.devices()
    return {
        "versions": versions(),
        "platform": platform.platform(),
        "device": {"kind": devices[0].device_kind, "platform": devices[0].platform, "count": len(devices)},
        "threads": threads(),
        **particular,
    }
