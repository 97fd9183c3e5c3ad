"""Random keys named by what they are for, so that no result depends on the order of the work."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
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


def each(key: jax.Array, *purposes: Iterable[Any]) -> jax.Array:
    """`fold(key, a, b, …)` of every combination of names or indices, folded at once.

    Args:
      key: the key.
      purposes: of each part, all names or all indices; their numbers are the shape of the result.
    """
    fold_all = jax.vmap(jax.vmap(jax.random.fold_in, (None, 0)), (0, None))
    for some in purposes:
        words = jnp.asarray([_word(one) if isinstance(one, str) else one for one in some], jnp.uint32)
        key = fold_all(key.reshape(-1), words).reshape(*key.shape, len(words))
    return key


def _word(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
