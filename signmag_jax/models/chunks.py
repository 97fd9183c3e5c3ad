"""How many intermediate numbers exist at a time: few on a CPU, whose caches reward it, many elsewhere."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Shaped

from signmag_jax.evidence.compiling import platform

AT_ONCE = 2**28
"""Numbers of an intermediate array on an accelerator: 1 GiB in float32, and loops so short that launching
kernels takes no time beside running them."""


def rows_at_once(on_cpu: int, numbers: int) -> int:
    """Rows of an intermediate array that exist together, where each row has so many `numbers`.

    Args:
      on_cpu: rows on a CPU; elsewhere a multiple of it.
    """
    return on_cpu if platform() == "cpu" else max(1, AT_ONCE // (numbers * on_cpu)) * on_cpu


def in_chunks(rows: Shaped[jax.Array, "count ..."], chunk: int) -> Shaped[jax.Array, "chunks chunk ..."]:
    """Rows in chunks of one length, as `lax.map` takes them; the last is filled with zeros."""
    filled = jnp.pad(rows, ((0, -len(rows) % chunk), *[(0, 0)] * (rows.ndim - 1)))
    return filled.reshape(-1, chunk, *rows.shape[1:])
