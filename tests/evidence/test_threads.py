"""Pieces of work in threads: their order does not matter, and nothing runs on when it is given up."""

import threading
import time

import pytest

from signmag_jax.evidence.progress import progress
from signmag_jax.evidence.threads import in_threads


def test_results_come_in_the_order_of_the_pieces():
    def piece(i):
        time.sleep(0.02 * (5 - i))
        return i

    steps = []
    assert in_threads([lambda i=i: piece(i) for i in range(6)], 2, lambda: steps.append(1)) == list(range(6))
    assert len(steps) == 6


def test_two_pieces_run_at_once():
    meet = threading.Barrier(2, timeout=20)
    assert in_threads([meet.wait, meet.wait], 2, lambda: None) in ([0, 1], [1, 0])


def endless(steps, began):
    with progress("endless", None) as advance:
        while True:
            steps.append(1)
            began.set()
            advance()
            time.sleep(0.001)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_ends_the_others_and_is_the_one_raised(error):
    began, steps, late = threading.Event(), [], []

    def fails():
        assert began.wait(20)
        raise error("mine")

    with pytest.raises(error, match="mine"):
        in_threads([lambda: endless(steps, began), fails, lambda: late.append(1)], 2, lambda: None)
    count = len(steps)
    time.sleep(0.05)
    assert len(steps) == count, "a piece ran on after the error"
    assert not late, "a piece began after the error"


def test_no_piece_begins_after_an_error_however_often():
    for _ in range(200):
        late = []

        def fails():
            raise ValueError("mine")

        with pytest.raises(ValueError, match="mine"):
            in_threads([fails, *([lambda late=late: late.append(1)] * 3)], 1, lambda: None)
        assert not late


def test_an_error_in_the_callers_thread_ends_all():
    began, steps = threading.Event(), []

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_threads([lambda: began.wait(20), lambda: endless(steps, began)], 2, stop)
    count = len(steps)
    time.sleep(0.05)
    assert len(steps) == count


def test_progress_outside_of_threads_is_never_ended():
    with progress("plain", 2) as advance:
        advance()
        advance()
