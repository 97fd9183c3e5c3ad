"""A file is whole or absent, whatever happens while it is written."""

import itertools
import linecache
import os
import pathlib
import signal
import stat
import subprocess
import sys
import time

import pytest

from signmag_jax.evidence import MissingResource, files
from signmag_jax.evidence.files import (
    sha256_of,
    sha256_of_json,
    staged,
    strict_json,
    writable_folder,
    write_atomic,
)


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_failure_leaves_the_old_file_and_nothing_else(tmp_path, failure):
    path = tmp_path / "ledger.json"
    write_atomic(path, "old")
    with pytest.raises(failure), staged(path) as temporary:  # noqa: PT012
        temporary.write_text("half of the n")
        raise failure
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["ledger.json"]


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "ledger.json"
    write_atomic(path, "old")
    script = (
        "import sys, time; from pathlib import Path; from signmag_jax.evidence.files import staged\n"
        "with staged(Path(sys.argv[1])) as t:\n"
        "    t.write_text('half'); print('writing', flush=True); time.sleep(60)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stdout.readline().strip() == b"writing"
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    assert path.read_text() == "old"


def test_reader_never_sees_a_partial_file(tmp_path):
    path = tmp_path / "big"
    contents = [letter * 200_000 for letter in "ab"]
    write_atomic(path, contents[0])
    script = (
        "import sys; from pathlib import Path; from signmag_jax.evidence.files import write_atomic\n"
        "for i in range(60): write_atomic(Path(sys.argv[1]), 'ba'[i % 2] * 200_000)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", script, str(path)])
    seen = set()
    while writer.poll() is None:
        text = path.read_text()
        assert text in contents
        seen.add(text[0])
        time.sleep(1e-4)
    assert writer.returncode == 0
    assert seen == {"a", "b"}


def test_published_permissions_and_created_parents(tmp_path):
    path = tmp_path / "a" / "b" / "c.bin"
    write_atomic(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert path.stat().st_mode & 0o777 == 0o644


def test_folder_below_a_file_is_not_writable(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingResource, match="choose another one"):
        writable_folder(tmp_path / "file" / "below")


def test_strict_json_and_identities(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        strict_json({"x": float("nan")})
    assert sha256_of_json({"a": 1, "b": 2}) == sha256_of_json({"b": 2, "a": 1})
    assert sha256_of_json({"a": 1}) != sha256_of_json({"a": 1.5})
    write_atomic(tmp_path / "empty", "")
    # SHA-256 of nothing, from FIPS 180-4's test vectors
    assert sha256_of(tmp_path / "empty").startswith("e3b0c44298fc1c149afbf4c8996fb924")


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingResource, match=r"cannot write .*picture.svg"):
        write_atomic(tmp_path / "file" / "picture.svg", "text")
    (tmp_path / "folder").mkdir()
    with pytest.raises(MissingResource, match="cannot write"):
        write_atomic(tmp_path / "folder", "text")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["file", "folder"]


# A file that was just opened, as the interruption comes, is closed by the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interruption_at_any_line_leaves_nothing_half_written(tmp_path):
    """The n-th line of the writing is interrupted, for every n; only the clean-up's own line is spared."""
    path = tmp_path / "record.json"
    interrupted = []
    for step in itertools.count():
        path.write_text("old")
        lines = itertools.count()

        def trace(frame, event, _, step=step, lines=lines):
            if frame.f_code.co_filename != files.__file__:
                return None
            line = linecache.getline(files.__file__, frame.f_lineno)
            if event == "line" and "unlink" not in line and next(lines) == step:
                interrupted.append(line.strip())
                raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            write_atomic(path, "new")
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        assert [each.name for each in tmp_path.iterdir()] == [path.name], interrupted[-1]
        assert path.read_text() in ("old", "new")
        if len(interrupted) == step:
            break
    assert path.read_text() == "new"
    assert any("touch" in line for line in interrupted)
    assert any("replace" in line for line in interrupted)


def test_a_folder_keeps_the_new_name_after_the_file_is_moved(tmp_path, monkeypatch):
    """Without the second fsync a loss of power could leave the folder without a record that is whole."""
    steps = []
    fsync, replace = os.fsync, pathlib.Path.replace

    def synced(descriptor):
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def moved(path, target):
        steps.append("move")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(pathlib.Path, "replace", moved)
    write_atomic(tmp_path / "record.json", "{}")
    assert steps == ["file", "move", "folder"]
