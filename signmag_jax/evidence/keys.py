"""Random keys named by what they are for, so that no result depends on the order of the work."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from .errors import invalid


def root(seed: int) -> jax.Array:
    """The root key of a run. Every other key is folded from it by name."""
    check_seed(seed)
    return jax.random.key(seed)


def check_seed(seed: int) -> None:
    """Refuse a seed that is negative or too large."""
    if not 0 <= seed < 2**63:
        raise invalid("0 <= seed < 2**63", seed, "pass a non-negative integer seed")


def fold(key: jax.Array, *purpose: Any) -> jax.Array:
    """Fold names and indices into a key: `fold(root(0), "leverage", layer, "q_proj")`.

    Strings are hashed (SHA-256, first 32 bits); integers, also traced ones, are folded as they are.
    """
    for part in purpose:
        key = jax.random.fold_in(key, _word(part) if isinstance(part, str) else part)
    return key


def each(key: jax.Array, names: Sequence[str], count: int) -> jax.Array:
    """`fold(key, name, index)` of all names and of indices below `count`, of shape (names, count)."""
    words = jnp.asarray([_word(name) for name in names], jnp.uint32)
    of_names = jax.vmap(jax.random.fold_in, (None, 0))(key, words)
    of_indices = jax.vmap(jax.random.fold_in, (None, 0))
    return jax.vmap(of_indices, (0, None))(of_names, jnp.arange(count, dtype=jnp.uint32))


def _word(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
