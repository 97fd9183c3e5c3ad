"""One process of `signmag simulate` on a terminal: what it shows, and what an interruption leaves behind."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from signmag_jax import simulate
from signmag_jax.simulate import engine

# The terminal is the one that controls the process: its Ctrl-C reaches it.
CALL = """
import fcntl, termios
fcntl.ioctl(2, termios.TIOCSCTTY, 0)
from signmag_jax.__main__ import main
main()
"""
SIZES = {"width": 32, "rate": 0.1, "inputs": 64}
ENDLESS = ["block", "--json", "--networks", "2000000", *(f"--{name}={SIZES[name]}" for name in SIZES)]
SHOWN = re.compile(r"(\d+)/2000000\D[^\r\n]*? ([\d.]+) ± ([\d.]+)")


class Terminal:
    """A command whose standard error is a terminal."""

    def __init__(self, *arguments):
        self.side, other = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", CALL, "simulate", *arguments],
            stdin=other,
            stdout=subprocess.PIPE,
            stderr=other,
            start_new_session=True,
        )
        os.close(other)
        self.shown = b""

    def read_until(self, enough, seconds=100):
        deadline = time.monotonic() + seconds
        while not enough() and time.monotonic() < deadline:
            if select.select([self.side], [], [], 0.05)[0]:
                try:
                    self.shown += os.read(self.side, 65536)
                except OSError:  # nobody writes to it any more
                    break

    def end(self):
        """Exit code, standard output, and all that was shown."""
        self.read_until(lambda: self.process.poll() is not None)
        if self.process.poll() is None:
            self.process.kill()  # else nothing would end the reading below
        self.read_until(lambda: not select.select([self.side], [], [], 0.1)[0])
        out = self.process.stdout.read()
        self.process.stdout.close()
        os.close(self.side)
        return self.process.wait(), out, self.shown.decode()


def interrupt(terminal, how):
    if how == "Ctrl-C":
        os.write(terminal.side, b"\x03")
    else:
        terminal.process.send_signal(how)


@pytest.mark.parametrize("how", ["Ctrl-C", pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_run_has_shown_its_estimate_and_is_resumed_bit_by_bit(tmp_path, monkeypatch, how):
    terminal = Terminal(*ENDLESS, "--resume", str(tmp_path))

    def shown():
        return SHOWN.findall(terminal.shown.decode(errors="replace"))

    terminal.read_until(lambda: len({count for count, *_ in shown()}) >= 3)
    found = np.array(shown(), dtype=float)
    interrupt(terminal, how)
    code, out, text = terminal.end()
    assert (code, out) == (130, b"")
    # The cursor is shown again, and the last line says what is left.
    assert text.rindex("\x1b[?25h") > text.rindex("±")
    assert text.endswith(
        "signmag: interrupted; nothing half-written is left, and finished records are kept\r\n"
    )
    kept = sorted(tmp_path.glob("record-*.json"))
    assert {path.name for path in tmp_path.iterdir()} == {"configuration.json", *(path.name for path in kept)}

    sizes = SIZES | {"networks": 64 * len(kept)}
    whole = simulate.block(**sizes).transverse_ratio
    with monkeypatch.context() as nothing:
        nothing.setattr(engine, "dispatch", None)  # every record is whole
        read = simulate.block(**sizes, resume=tmp_path).transverse_ratio
    assert (read.value, read.standard_error, read.n) == (whole.value, whole.standard_error, whole.n)
    more = SIZES | {"networks": 64 * len(kept) + 70}
    resumed, fresh = (simulate.block(**more, resume=folder).transverse_ratio for folder in (tmp_path, None))
    assert (resumed.value, resumed.standard_error) == (fresh.value, fresh.standard_error)
    assert fresh.value != whole.value

    # What was shown is the estimate so far, and an error that falls as the root of the count.
    counts, values, errors = found.T
    assert np.all(np.abs(values - whole.value) < 6 * errors)
    assert np.all(np.abs(errors * np.sqrt(counts / whole.n) / whole.standard_error - 1) < 0.5)


@pytest.mark.slow
def test_quiet_shows_nothing():
    """Control: what the test above reads is what `--quiet` silences."""
    code, out, text = Terminal("block", "--width=32", "--rate=0.1", "--networks=640", "--quiet").end()
    assert code == 0
    assert b"transverse_ratio" in out
    assert text == ""


DROPPED = """
import gc, os, signal, sys, traceback
from signmag_jax import interruption
from signmag_jax.__main__ import main

def collected(phase, _):
    # Once the command computes: what is raised here, Python drops.
    importing = any(frame.filename == interruption.IMPORT for frame in traceback.extract_stack())
    if "signmag_jax.simulate.engine" in sys.modules and not importing:
        gc.callbacks.remove(collected)
        os.kill(os.getpid(), signal.SIGTERM)

gc.callbacks.append(collected)
if sys.argv.pop(1) == "control":
    interruption._unraisable = lambda otherwise, dropped: None
main()
"""


@pytest.mark.parametrize(
    ("which", "answers"), [("ours", False), pytest.param("control", True, marks=pytest.mark.slow)]
)
def test_an_interruption_that_meets_a_garbage_collection_ends_the_run(which, answers):
    arguments = ["simulate", "block", "--width=32", "--rate=0.1", "--networks=640", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-c", DROPPED, which, *arguments], capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, "transverse_ratio" in done.stdout) == (130, answers), done.stderr


LOADING = """
import os, signal, sys
from signmag_jax import interruption
from signmag_jax.__main__ import main

class Interrupting:
    def find_spec(name, *_):
        if name == "{module}":
            sys.meta_path.remove(Interrupting)
            os.kill(os.getpid(), signal.{how})

sys.meta_path.insert(0, Interrupting)
if sys.argv.pop(1) == "control":
    interruption.prepare = lambda: None
main()
"""


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("module", ["typer", pytest.param("pickle", marks=pytest.mark.slow)])
def test_an_interruption_while_the_command_loads_is_one_line(module, how):
    """`pickle` is what NumPy's C code loads: there, an exception becomes a crash or another error."""
    call = LOADING.format(module=module, how=how)

    def ended(which):
        arguments = [sys.executable, "-c", call, which, "law", "transverse_ratio", "--rate=0.01"]
        return subprocess.run(arguments, capture_output=True, text=True, timeout=100)

    done = ended("ours")
    said = "signmag: interrupted; nothing half-written is left\n"
    assert (done.returncode, done.stdout, done.stderr) == (130, "", said)
    if how == "SIGINT" and module == "pickle":
        assert "Traceback" in ended("control").stderr
