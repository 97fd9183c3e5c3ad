"""Standard streams closed, full, read no further, or of a narrow alphabet: an exit code and no traceback."""

import json
import os
import subprocess
import sys

import pytest

from signmag_jax.cli import run

CALL = f"{sys.executable} -m signmag_jax"
LAW = "law flip_amplification --alpha 0.26 --n 2048"


def shell(line, **environment):
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {CALL} {line}"],
        capture_output=True,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
@pytest.mark.parametrize("what", ["--help", pytest.param(LAW, marks=pytest.mark.slow)])
def test_a_full_disk_is_one_line(what):
    done = shell(f"{what} > /dev/full")
    assert done.returncode == 2
    assert done.stderr.decode().count("\n") == 1
    assert "standard output cannot be written" in done.stderr.decode()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (f"{LAW} | true", 0),
        ("--help | head -1", 0),
        pytest.param(f"{LAW} --json >&-", 0, marks=pytest.mark.slow),
        pytest.param("law transverse_ratio --rate 9 2>&-", 2, marks=pytest.mark.slow),
        ("nonsense 2>/dev/full", 2),
    ],
)
def test_streams_that_nobody_reads_change_no_code(line, code):
    done = shell(line)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    assert done.stderr == b""


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("latin-1", marks=pytest.mark.slow)])
def test_every_alphabet_gets_its_text(encoding):
    text = shell(LAW, PYTHONIOENCODING=encoding)
    assert (text.returncode, text.stderr) == (0, b"")
    assert "124.227" in text.stdout.decode(encoding)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_every_alphabet_gets_its_json(encoding, capsys):
    assert run([*LAW.split(), "--json"]) == 0
    narrow = shell(f"{LAW} --json", PYTHONIOENCODING=encoding)
    assert narrow.returncode == 0
    assert json.loads(narrow.stdout.decode(encoding)) == json.loads(capsys.readouterr().out)
