"""Freed memory goes back to the system where the C library would keep it."""

import ctypes
import os
import platform
from pathlib import Path

import pytest

from signmag_jax.evidence.memory import give_back

SIZE, COUNT = 4000, 16_000


def resident():
    """Bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries return it by themselves")
def test_what_lies_below_a_number_in_use_is_returned():
    pieces = [b"x" * SIZE for _ in range(COUNT)]
    last = pieces[-1]  # above all others: as long as it lives, glibc keeps them
    full = resident()
    del pieces
    kept = resident()
    give_back()
    assert full - kept < SIZE * COUNT / 4
    assert full - resident() > SIZE * COUNT / 2
    assert len(last) == SIZE


def test_a_library_without_that_function_is_left_alone(monkeypatch):
    asked = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: asked.append(name) or object())
    give_back()
    assert asked == [None]
