"""Ctrl-C and SIGTERM end a command wherever they meet it.

It is the first thing that the command loads, and imports next to nothing: until then, a Ctrl-C is Python's.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

CODE = 130
STOPPED = "interrupted; nothing half-written is left"
AGAIN_AFTER = 0.01  # seconds: long enough for a callback to return, too short to be noticed
IMPORT = "<frozen importlib._bootstrap>"
HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)

_stopped = False


def prepare() -> None:
    """End a command by SIGTERM as by Ctrl-C, and by either also where it would be lost.

    Batch systems end by SIGTERM what has run too long: it gets what Ctrl-C gets, which is no half-written
    file, records kept, one line.
    """
    for number in HEARD:
        # A shell script has its background processes ignore SIGINT.
        if number != signal.SIGINT or signal.getsignal(number) is signal.default_int_handler:
            signal.signal(number, _interrupt)
    atexit.register(_end)  # before all others, and so called after them
    before = sys.unraisablehook
    sys.unraisablehook = lambda dropped: _unraisable(before, dropped)


def over() -> None:
    """Have what comes from here on end the process at once: nothing is left to keep, and no line to write."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in HEARD:
        if signal.getsignal(number) is _interrupt:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, but not within an import: a library's C code may crash there, or hide it."""
    while frame is not None:
        if frame.f_code.co_filename == IMPORT:
            return _again()
        frame = frame.f_back
    global _stopped
    _stopped = True
    raise KeyboardInterrupt


def _unraisable(
    otherwise: Callable[[sys.UnraisableHookArgs], object], dropped: sys.UnraisableHookArgs
) -> None:
    """Interrupt once more if an interruption met a callback, out of which Python raises nothing.

    JAX has such a callback for every garbage collection: it meets one interruption in forty.
    """
    if issubclass(dropped.exc_type, KeyboardInterrupt):
        _again()
    else:
        otherwise(dropped)


def _end() -> None:
    """Leave out Python's own end: XLA may still compute, and one interruption in three crashed there."""
    if _stopped:
        os._exit(CODE)


def _again() -> None:
    signal.setitimer(signal.ITIMER_REAL, AGAIN_AFTER)
