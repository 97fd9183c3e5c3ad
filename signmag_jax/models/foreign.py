"""Foreign libraries read a user's files: they fail in many ways, and remark on them in their own words."""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator
from typing import Any

LIBRARIES = ("transformers", "huggingface_hub", "tokenizers", "safetensors", "gguf", "datasets")
"""Roots of the loggers that are heard."""

_heard: dict[int, list[str]] = {}
"""What libraries have remarked so far, by thread."""
_lock = threading.RLock()


@contextlib.contextmanager
def heard() -> Iterator[list[str]]:
    """Collects what libraries remark in this thread: their log's warnings, and Python's; nothing is printed.

    Other threads, their logs and the process's streams are left alone. What stops a library is said once, by
    the caller, in one line; a panic in Rust, which is no `Exception`, becomes a RuntimeError (Rust itself
    has printed it on the standard error stream by then, which only a redirection for everybody could stop).
    """
    thread = threading.get_ident()
    with _lock:
        outer, remarks = _heard.get(thread), []
        _heard[thread] = remarks
        if len(_heard) == 1 and outer is None:
            _EARS.open()
    try:
        yield remarks
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise RuntimeError(str(error)) from None
        raise
    finally:
        with _lock:
            if outer is None:
                del _heard[thread]
            else:
                _heard[thread] = outer
            if not _heard:
                _EARS.close()


def unheard(record: logging.LogRecord) -> bool:
    """Whether a log record is of a thread that nobody listens to: the others' are not shown as well."""
    return record.thread not in _heard


class _Listener(logging.Handler):
    """Keeps the warnings of the threads that are listened to."""

    def emit(self, record: logging.LogRecord) -> None:
        remarks = _heard.get(record.thread or 0)
        if remarks is not None:
            _EARS.hush()
            _keep(remarks, record.getMessage())


class _Ears:
    """The handlers and hooks that exist while any thread listens."""

    def __init__(self) -> None:
        self._listener = _Listener(logging.WARNING)
        self._filtered: list[logging.Handler] = []
        self._show: Any = None

    def open(self) -> None:
        self.hush()
        for name in LIBRARIES:
            logging.getLogger(name).addHandler(self._listener)
        self._show, warnings.showwarning = warnings.showwarning, self._warn

    def hush(self) -> None:
        """Filter a library's own handlers, and those of whoever configured the root, which would print too.

        A library that is imported meanwhile adds its handler behind the listener, which calls this again.
        """
        for name in (*LIBRARIES, None):
            for handler in logging.getLogger(name).handlers:
                if handler is not self._listener and handler not in self._filtered:
                    handler.addFilter(unheard)
                    self._filtered.append(handler)

    def close(self) -> None:
        for handler in self._filtered:
            handler.removeFilter(unheard)
        self._filtered.clear()
        for name in LIBRARIES:
            logging.getLogger(name).removeHandler(self._listener)
        # Somebody may have put a hook of their own over ours, which then still asks ours.
        if warnings.showwarning == self._warn:
            warnings.showwarning = self._show

    def _warn(self, message: Warning | str, *arguments: Any, **options: Any) -> None:
        remarks = _heard.get(threading.get_ident())
        if remarks is None:
            self._show(message, *arguments, **options)
        else:
            _keep(remarks, str(message))


_EARS = _Ears()


def _keep(remarks: list[str], text: str) -> None:
    line = " ".join(text.split())
    if line and line not in remarks:
        remarks.append(line)


def reason(error: Exception, length: int = 200) -> str:
    """What a foreign library said, in one line."""
    return " ".join(str(error).split())[:length] or type(error).__name__
