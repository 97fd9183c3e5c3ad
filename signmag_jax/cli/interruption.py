"""Ctrl-C and SIGTERM end a command wherever they meet it."""

from __future__ import annotations

import _thread
import functools
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

AGAIN_AFTER = 0.01  # seconds: long enough for a callback to return, too short to be noticed


def prepare() -> None:
    """End a command by SIGTERM as by Ctrl-C, and by either also where Python would drop the exception.

    Batch systems end by SIGTERM what has run too long: it gets what Ctrl-C gets, which is no half-written
    file, records kept, one line.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.unraisablehook = functools.partial(_unraisable, sys.unraisablehook)


def _unraisable(otherwise: Callable[[Any], object], dropped: Any) -> None:
    """Interrupt once more if an interruption met a callback, out of which Python raises nothing.

    JAX has such a callback for every garbage collection: it meets one interruption in forty.
    """
    if not issubclass(dropped.exc_type, KeyboardInterrupt):
        otherwise(dropped)
        return
    # Later, and from another thread: here, in the hook, it would be dropped again. SIGTERM, since SIGINT is
    # ignored by what a shell script puts into the background.
    again = threading.Timer(AGAIN_AFTER, _thread.interrupt_main, [signal.SIGTERM])
    again.daemon = True
    again.start()
