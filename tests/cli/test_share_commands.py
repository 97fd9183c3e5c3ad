"""Shares as batch systems and shells start them, and processes that JAX itself connects."""

import json
import os
import shlex
import shutil
import subprocess
import sys

import pytest
import quick
from connected import connected
from measure_verbs import refused
from texts import write_words

from signmag_jax.cli import run

SIGNMAG = [sys.executable, "-m", "signmag_jax"]
BLOCK = ["simulate", "block", "--width=16", "--inputs=8", "--rate=0.2", "--networks=300", "--quiet"]
BLOCKS = 5


def environment(**more):
    return {**os.environ, "XLA_FLAGS": quick.devices(1), **more}


def start(arguments, **more):
    return subprocess.Popen(
        [*SIGNMAG, *arguments],
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def last(capsys, *more):
    assert run([*BLOCK, "--json", *more]) == 0
    return json.loads(capsys.readouterr().out)


def numbers(plain):
    return plain["value"], plain["standard_error"], plain["n"]


def check_last_run(capsys, folder):
    """Everything is there, and the last run reads it: the bits of one process."""
    assert len(list(folder.glob("record-*.json"))) == BLOCKS
    assert numbers(last(capsys, "--resume", str(folder))) == numbers(last(capsys))


def shell(command, folder, **more):
    """Run a line of bash in which SIGNMAG is a command of one word, as it is for a user."""
    script = folder.parent / "signmag"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(SIGNMAG)} "$@"\n')
    script.chmod(0o755)
    signmag = shlex.join([str(script), *BLOCK, "--json", "--resume", str(folder)])
    return subprocess.run(
        ["bash", "-c", command.replace("SIGNMAG", signmag)],
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    ).stdout


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


def test_shares_one_after_the_other(tmp_path, capsys):
    for index in range(2):
        done = last(capsys, "--resume", str(tmp_path), "--share", f"{index}/2")
        assert done["share"] == f"{index}/2"
        assert done["done"] == list(range(index, BLOCKS, 2))
    check_last_run(capsys, tmp_path)


@pytest.mark.slow  # as above, in processes
def test_a_slurm_array(folder, capsys):
    """Each task has its own variables, and no other connection."""
    tasks = {"SLURM_ARRAY_TASK_COUNT": "2"}
    for index in range(2):
        command = "SIGNMAG --share $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"
        done = json.loads(shell(command, folder, **tasks, SLURM_ARRAY_TASK_ID=str(index)))
        assert done["share"] == f"{index}/2"
        assert done["done"] == list(range(index, BLOCKS, 2))
    check_last_run(capsys, folder)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("parallel") is None, reason="GNU parallel is not installed")
def test_gnu_parallel(folder, capsys):
    shell("parallel --will-cite -j2 SIGNMAG --share {}/2 ::: 0 1", folder)
    check_last_run(capsys, folder)


@pytest.mark.slow
def test_two_plain_shells_of_different_devices(tmp_path, capsys):
    arguments = [*BLOCK, "--resume", str(tmp_path)]
    two = [start([*arguments, "--share", f"{i}/2"], XLA_FLAGS=quick.devices(1 + i)) for i in range(2)]
    for index, process in enumerate(two):
        (line,) = finish(process).splitlines()
        assert line.startswith(f"share {index}/2: ")
        assert "±" not in line
    check_last_run(capsys, tmp_path)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--share", "0/2"], "name one that all shares see (--resume DIR)"),
        (["--share", "2/2", "--resume", "folder"], "`share is I/N with 0 <= I < N`"),
        (["--share", "/", "--resume", "folder"], "`share is I/N with 0 <= I < N`"),
        (["--share", "0/2", "--distributed"], "not both"),
    ],
)
def test_a_share_that_cannot_be_is_one_line(tmp_path, monkeypatch, capsys, more, message):
    monkeypatch.chdir(tmp_path)
    refused(capsys, [*BLOCK, *more], message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_two_connected_processes_are_two_shares(tmp_path, capsys):
    found = connected(
        [[*SIGNMAG, *BLOCK, "--json", "--resume", str(tmp_path), "--distributed"]] * 2, devices=1
    )
    assert [json.loads(out)["share"] for out in found] == ["0/2", "1/2"]
    check_last_run(capsys, tmp_path)


@pytest.mark.slow  # each process compiles for eight devices
def test_a_mesh_over_two_processes_gives_the_nll_of_one(tmp_path, hub_folder, capsys):
    text = write_words(tmp_path / "text.txt")
    nll = ["measure", "nll", "--model", str(hub_folder), "--text", str(text), "--window=16", "--windows=8"]
    nll += ["--json", "--quiet"]
    first, second = connected([[*SIGNMAG, *nll, "--distributed"]] * 2, devices=4)
    assert second == ""  # only the first one prints
    found = json.loads(first)  # and nothing but JSON, although Gloo writes to standard output
    assert found["provenance"]["device"]["count"] == 8
    assert run(nll) == 0
    alone = json.loads(capsys.readouterr().out)
    assert found["n"] == alone["n"] == 8
    assert found["value"] == pytest.approx(alone["value"], rel=1e-6)
    assert found["standard_error"] == pytest.approx(alone["standard_error"], rel=1e-4)
    assert run([*nll, "--windows=7"]) == 0  # control
    other = json.loads(capsys.readouterr().out)
    assert found["value"] != pytest.approx(other["value"], rel=1e-6)


def test_processes_that_nothing_connects_are_one_line():
    alone = {
        name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "SLURM", "OMPI"))
    }
    process = subprocess.run(
        [*SIGNMAG, *BLOCK, "--distributed"],
        env=alone,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (process.returncode, process.stdout, process.stderr.count("\n")) == (2, "", 1)
    assert "JAX_COORDINATOR_ADDRESS" in process.stderr
