"""Progress is shown on a terminal and in a notebook only, and bars nest."""

import os
import pty
import subprocess
import sys
import types

import pytest

from signmag_jax.evidence import notebook
from signmag_jax.evidence.progress import progress, set_quiet

SCRIPT = """
from signmag_jax.evidence.progress import progress, set_quiet
set_quiet({quiet})
with progress("outer", 2) as outer:
    for _ in range(2):
        with progress("inner", 3) as inner:
            for k in range(3):
                inner(1, note=f"now {{k}}")
        outer()
"""


def on_a_terminal(quiet):
    """What a child writes to a terminal as its standard error."""
    ours, theirs = pty.openpty()
    script = SCRIPT.format(quiet=quiet)
    child = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=theirs, check=True)
    os.close(theirs)
    written = b""
    try:
        while piece := os.read(ours, 65536):
            written += piece
    except OSError:  # the other end is closed: everything has been read
        pass
    os.close(ours)
    return child.stdout, written.decode()


def test_bars_nest_on_a_terminal():
    out, written = on_a_terminal(quiet=False)
    assert out == b""
    assert "outer" in written
    assert "inner" in written


def test_quiet_is_quiet():
    assert on_a_terminal(quiet=True) == (b"", "")


def test_nothing_is_written_to_a_pipe():
    child = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(quiet=False)], capture_output=True, check=True
    )
    assert child.stdout == child.stderr == b""


@pytest.fixture
def cell(monkeypatch):
    """What a notebook's cell shows, version by version; `shell` is what runs it."""
    shown, handle = [], types.SimpleNamespace(update=lambda bundle, **_: shown.append(bundle["text/plain"]))
    shell = types.SimpleNamespace(kernel=None)
    python = types.ModuleType("IPython")
    python.get_ipython = lambda: shell  # pyright: ignore[reportAttributeAccessIssue]
    page = types.ModuleType("IPython.display")
    page.display = lambda *_, **__: handle  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "IPython", python)
    monkeypatch.setitem(sys.modules, "IPython.display", page)
    monkeypatch.setattr(notebook, "PAUSE", 0.0)
    return types.SimpleNamespace(shown=shown, shell=shell)


def work():
    with progress("outer", 2) as outer, progress("inner", 3) as inner:
        for k in range(3):
            inner(1, note=f"now {k}")
        outer()


def test_a_notebook_shows_bars_that_nest_and_leaves_none(cell):
    work()
    assert any(
        "outer" in text and "inner" in text and "2/3" in text and "now 1" in text for text in cell.shown
    )
    assert cell.shown[-1] == ""
    assert "\x1b" not in "".join(cell.shown)


def test_a_page_is_not_flooded(cell, monkeypatch):
    monkeypatch.setattr(notebook, "PAUSE", 60.0)
    work()
    assert len(cell.shown) == 2


def test_quiet_is_quiet_in_a_notebook_too(cell):
    set_quiet(True)
    try:
        work()
    finally:
        set_quiet(False)
    assert cell.shown == []


def test_a_python_shell_is_no_notebook(cell):
    del cell.shell.kernel
    work()
    assert cell.shown == []
