"""Foreign libraries read a user's files: they fail in many ways, and remark on them in their own words."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator

from signmag_jax.evidence.progress import shown

STANDARD_OUTPUT, STANDARD_ERROR = 1, 2


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Nothing reaches standard output or error from inside: no log record, no warning, no native print.

    What is wrong with a file is said once, by the caller, in one line. A panic of a library in Rust, which
    is no `Exception`, becomes a RuntimeError.
    """
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), _nowhere(STANDARD_OUTPUT), _nowhere(STANDARD_ERROR):
            warnings.simplefilter("ignore")
            yield
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise RuntimeError(str(error)) from None
        raise
    finally:
        logging.disable(before)


@contextlib.contextmanager
def downloading() -> Iterator[None]:
    """As `silenced`, but a library's own progress bar is left where ours would be shown."""
    with contextlib.nullcontext() if shown() else silenced():
        yield


@contextlib.contextmanager
def _nowhere(descriptor: int) -> Iterator[None]:
    """Turn a file descriptor to the null device: Rust and C write past Python's own streams."""
    stream = sys.stdout if descriptor == STANDARD_OUTPUT else sys.stderr
    with contextlib.suppress(AttributeError, OSError, ValueError):
        stream.flush()
    try:
        kept = os.dup(descriptor)
    except OSError:  # it is closed: nothing can be written there
        yield
        return
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, descriptor)
        os.close(null)
        yield
    finally:
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()
        os.dup2(kept, descriptor)
        os.close(kept)


def reason(error: Exception, length: int = 200) -> str:
    """What a foreign library said, in one line."""
    return " ".join(str(error).split())[:length] or type(error).__name__
