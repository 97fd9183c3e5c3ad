"""How many intermediate numbers exist at a time: few on a CPU, for its caches; elsewhere what fits."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Shaped

from signmag_jax.evidence.compiling import platform

from .config import ModelConfig

UNTOLD = 2**28
"""Numbers of an intermediate array where a device does not tell its memory: 1 GiB in float32."""
PART = 16
"""An intermediate array takes this part of a device's memory, 1/16: a softmax makes a few of its size."""


def numbers_at_once(device: Any) -> int:
    """Numbers of an intermediate array on an accelerator, in float32: a power of two.

    It follows from the memory that the device has, not from what is free: the same command splits its work
    alike each time. `None` is a device that is only described, for which a program is compiled here.
    """
    told = ((device and device.memory_stats()) or {}).get("bytes_limit")
    # A power of two, so that a driver's few megabytes more or less change no shape.
    return 2 ** int(math.log2(told / PART / 4)) if told else UNTOLD


def rows_at_once(on_cpu: int, numbers: int) -> int:
    """Rows of an intermediate array that exist together, where each row has so many `numbers`.

    Args:
      on_cpu: rows on a CPU; elsewhere a multiple of it.
    """
    return on_cpu if platform() == "cpu" else max(1, _here() // (numbers * on_cpu)) * on_cpu


def windows_at_once(config: ModelConfig, window: int, on_cpu: int) -> int:
    """Windows that go through a model together: on an accelerator as many as fit, `on_cpu` on a CPU.

    What a layer holds of a window: the residual stream and its norm, the two parts of the MLP and their
    product, queries, keys, values and their mixture. Scores and logits have chunks of their own.
    """
    attention = 2 * config.heads * config.head_dim + 2 * config.kv_heads * config.head_dim
    numbers = window * (2 * config.hidden + 3 * config.intermediate + attention)
    return on_cpu if platform() == "cpu" else rows_at_once(1, numbers)


def in_chunks(rows: Shaped[jax.Array, "count ..."], chunk: int) -> Shaped[jax.Array, "chunks chunk ..."]:
    """Rows in chunks of one length, as `lax.map` takes them; the last is filled with zeros."""
    filled = jnp.pad(rows, ((0, -len(rows) % chunk), *[(0, 0)] * (rows.ndim - 1)))
    return filled.reshape(-1, chunk, *rows.shape[1:])


def _here() -> int:
    return numbers_at_once(jax.local_devices()[0] if platform() == jax.default_backend() else None)
