"""Ctrl-C and SIGTERM in the middle of a sweep: exit code 130, one line, whole records and nothing else."""

import json
import signal
import subprocess
import sys
import time

import pytest
from measure_verbs import arguments
from texts import write_words

from signmag_jax.cli import INTERRUPTED

MAIN = [sys.executable, "-m", "signmag_jax"]
# Some ten thousand pieces of a millisecond: nobody is fast enough to see the end.
ENDLESS = ("--draws", "5000", "--json", "--quiet")


@pytest.mark.slow  # a stopped simulation is seen by the fast suite
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_sweep_keeps_its_records(tmp_path, hub_folder, number):
    call = arguments("trained-chain", hub_folder, write_words(tmp_path / "text.txt"))
    call = [each for each in call if each not in ("--draws", "2")]
    kept = tmp_path / "kept"
    command = [*MAIN, *call, *ENDLESS, "--resume", str(kept)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(kept.glob("record-*.json")):
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child.send_signal(number)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (130, "")
    assert err == f"signmag: {INTERRUPTED}\n"
    files = list(kept.iterdir())
    assert all("schema" in json.loads(path.read_text()) for path in files)
    assert 1 < len(files) < 10_000
