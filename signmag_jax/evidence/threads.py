"""Independent pieces of work in a few threads: while one is compiled, another is computed."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

_mine = threading.local()


class Abandoned(BaseException):
    """Raised in a thread whose result nobody waits for any more; never reaches a user."""


def in_threads(pieces: Sequence[Callable[[], T]], workers: int, advance: Callable[[], object]) -> list[T]:
    """Results of all pieces, in their order; `advance()` after each that ends, in the caller's thread.

    Pieces begin in their order, `workers` at a time. The first error ends the others at their next step
    (see `check_abandoned`), and so does Ctrl-C: nothing runs on when this function is left.
    """
    given_up = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(workers, initializer=_begin, initargs=(given_up,)) as pool:
        try:
            futures = [pool.submit(_guarded, piece, given_up) for piece in pieces]
            for future in concurrent.futures.as_completed(futures):
                if isinstance(future.exception(), Abandoned):
                    continue  # the error that ended it comes as a future of its own
                future.result()
                advance()
            return [future.result() for future in futures]
        except BaseException:
            given_up.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def check_abandoned() -> None:
    """End this thread's piece of work if nobody waits for it. Long loops call it through `progress`."""
    given_up = getattr(_mine, "given_up", None)
    if given_up is not None and given_up.is_set():
        raise Abandoned


def _guarded(piece: Callable[[], T], given_up: threading.Event) -> T:
    """The piece, unless the work is given up; its error gives up the rest before this thread takes more."""
    check_abandoned()
    try:
        return piece()
    except BaseException:
        given_up.set()
        raise


def _begin(given_up: threading.Event) -> None:
    _mine.given_up = given_up
