"""Progress is shown on a terminal only, and bars nest."""

import os
import pty
import subprocess
import sys

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
