"""What a device says when its memory is full, as one line; and freed memory, back to the system."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator

import jax

from .errors import MissingResource

FULL = "RESOURCE_EXHAUSTED", "Out of memory"
"""Words in which devices say so, under several kinds of errors."""


@contextlib.contextmanager
def memory_told(what: str) -> Iterator[None]:
    """A context in which running out of memory is one clear error.

    Args:
      what: that it does not fit, and what to lower: "one network does not fit in memory: lower the width".

    Raises:
      MissingResource: saying it.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if not any(said in str(error) for said in FULL):
            raise
        raise MissingResource(what) from None


def give_back() -> None:
    """Return what this process has freed to the system, where its C library keeps it (glibc)."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # other libraries have no such function
        ctypes.CDLL(None).malloc_trim(0)
