"""Standard streams as they come: closed, full, read no further, or of a narrow alphabet."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import Any


class Unwritten(Exception):
    """Standard output took no more."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


class Output(io.TextIOWrapper):
    """Standard output whose failures cannot be taken for those of a file of ours."""

    def write(self, text: str) -> int:
        """Write as any text stream does.

        Raises:
          Unwritten: for a closed pipe or a full disk.
        """
        try:
            return super().write(text)
        except OSError as error:
            raise Unwritten(error) from None

    def flush(self) -> None:
        """Flush as any text stream does, with errors as in `write`."""
        try:
            super().flush()
        except OSError as error:
            raise Unwritten(error) from None


def prepare() -> None:
    """Give closed streams a sink, and narrow encodings a way to write every character."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 — for the process's life
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if type(sys.stdout) is io.TextIOWrapper:
        encoding, lines = sys.stdout.encoding, sys.stdout.line_buffering
        buffer = sys.stdout.detach()
        sys.stdout = Output(buffer, encoding=encoding, errors="backslashreplace", line_buffering=lines)


def keep_from_libraries() -> None:
    """Leave standard output to Python: what C++ writes there, as Gloo does, goes to standard error."""
    with contextlib.suppress(OSError, ValueError, io.UnsupportedOperation):
        if sys.stdout.fileno() != 1:
            return  # it is not the process's own
        sys.stdout.flush()
        own = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        sys.stdout = Output(own, encoding=sys.stdout.encoding, errors="backslashreplace")


def fault(unwritten: Unwritten) -> str | None:
    """What to say of standard output that cannot be written; None where its reader has seen enough."""
    silence(sys.stdout)
    if unwritten.error.errno == errno.EPIPE:
        return None
    return f"standard output cannot be written ({unwritten.error.strerror}): free space, or send it elsewhere"


def silence(stream: Any) -> None:
    """Point a broken stream at nothing, or the interpreter flushes it once more at its end and complains."""
    with contextlib.suppress(OSError, ValueError):
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, stream.fileno())
        os.close(sink)


def writes(text: str) -> bool:
    """Whether standard output can show a text as it is."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
