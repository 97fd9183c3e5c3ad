"""Several processes of `signmag simulate`: what each prints and returns, also when one is lost."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from signmag_jax.cli import run, supervise
from signmag_jax.cli.supervise import Progress

COMMAND = [sys.executable, "-c", "from signmag_jax.cli import main; main()", "simulate", "block", "--json"]
SMALL = ["--width", "32", "--rate", "0.1", "--inputs", "64"]
ENDLESS = [*SMALL, "--networks", "2000000"]

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds child processes in /proc")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start(*arguments, environment=None):
    return subprocess.Popen(
        [*COMMAND, *arguments],
        env=os.environ | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_two(*arguments, differing=((), ()), patience=3, environments=({}, {})):
    place = ["--coordinator", f"127.0.0.1:{free_port()}", "--processes", "2", "--peer-timeout", str(patience)]
    return [
        start(*arguments, *place, "--process", str(i), *differing[i], environment=environments[i])
        for i in range(2)
    ]


def end(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def child_of(process):
    """The process id of the supervised child."""
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return int(text.split()[0])


def wait_for_records(folder, count=2):
    deadline = time.monotonic() + 100
    while len(list(folder.glob("record-*.json"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def one_line(err):
    return err.startswith("signmag: ") and err.count("\n") == 1


def test_two_processes_print_one_result_with_the_bits_of_one(capsys):
    both = start_two(*SMALL, "--standard-error", "0.02", patience=60)
    (code, out, err), other = (end(process) for process in both)
    assert (code, err) == (0, "")
    assert other == (0, "", "")
    assert run([*COMMAND[3:], *SMALL, "--standard-error", "0.02"]) == 0
    shared, alone = json.loads(out), json.loads(capsys.readouterr().out)
    assert shared["provenance"]["processes"] == 2
    for name in ("value", "standard_error", "n"):
        assert shared[name] == alone[name]


def test_an_absent_process_is_one_line():
    code, out, err = end(
        start(*SMALL, "--coordinator", f"127.0.0.1:{free_port()}", *PLACE, "--peer-timeout", "1")
    )
    assert (code, out) == (2, "")
    assert one_line(err)
    assert "not all processes came within 1 s" in err
    assert "--peer-timeout" in err


PLACE = ["--processes", "2", "--process", "1"]


@needs_proc
@pytest.mark.parametrize("killed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_killed_process_ends_the_other_with_one_line_and_its_records(tmp_path, killed):
    both = start_two(*ENDLESS, "--resume", str(tmp_path))
    wait_for_records(tmp_path)
    os.kill(child_of(both[killed]), signal.SIGKILL)
    for index, process in enumerate(both):
        code, out, err = end(process)
        assert (code, out) == (3, "")
        assert one_line(err)
        reason = "killed from outside" if index == killed else f"process {killed} is lost"
        assert f"process {index} of 2 was stopped ({reason}" in err
        assert f"finished records are kept in {str(tmp_path)!r}" in err
    assert list(tmp_path.glob("record-*.json"))


@needs_proc
@pytest.mark.slow
def test_a_frozen_process_is_lost_after_the_time_out(tmp_path):
    both = start_two(*ENDLESS, "--resume", str(tmp_path))
    wait_for_records(tmp_path)
    frozen = child_of(both[1])
    os.kill(frozen, signal.SIGSTOP)
    try:
        code, _, err = end(both[0])
    finally:
        os.kill(frozen, signal.SIGKILL)
        end(both[1])
    assert code == 3
    assert one_line(err)
    assert "process 1 is lost" in err


@needs_proc
@pytest.mark.slow
def test_no_child_outlives_its_parent(tmp_path):
    both = start_two(*ENDLESS, "--resume", str(tmp_path))
    wait_for_records(tmp_path)
    child = child_of(both[1])
    both[1].kill()
    assert end(both[0])[0] == 3
    end(both[1])
    assert not Path(f"/proc/{child}/cmdline").exists() or not Path(f"/proc/{child}/cmdline").read_bytes()


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("also_the_child", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_process_tells_the_other(tmp_path, number, also_the_child):
    """A terminal signals the command alone, a batch system every process of it."""
    both = start_two(*ENDLESS, "--resume", str(tmp_path), patience=60)
    wait_for_records(tmp_path)
    child = child_of(both[1])
    both[1].send_signal(number)
    if also_the_child:
        os.kill(child, number)
    code, out, err = end(both[1])
    assert (code, out) == (130, "")
    assert one_line(err)
    assert "interrupted" in err
    code, out, err = end(both[0])
    assert (code, out) == (3, "")
    assert one_line(err)
    assert "process 1 of 2 stopped (it was interrupted); what is recorded is kept" in err


@pytest.mark.slow
def test_processes_that_were_asked_for_different_runs_refuse_in_one_line():
    both = start_two(*SMALL, differing=((), ("--seed", "3")), patience=60)
    for process in both:
        code, out, err = end(process)
        assert (code, out) == (2, "")
        assert one_line(err)
        assert "with different seed: 0 and 3" in err


# A process that takes seconds to say its last words, long after the others have heard why it leaves.
SLOW_TO_SPEAK = """
import os, time
if "SIGNMAG_CHILD" in os.environ:
    from signmag_jax import cli
    said = cli._complain
    cli._complain = lambda *words: time.sleep(4) or said(*words)
"""


@pytest.mark.slow
@pytest.mark.parametrize("slow", [0, 1, None])
def test_a_folder_of_another_run_ends_both(tmp_path, slow):
    """Whoever finds it says so; the other is told; and neither ends before both have spoken."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_TO_SPEAK)
    folder = str(tmp_path / "run")
    assert end(start(*SMALL, "--networks", "4", "--resume", folder))[0] == 0
    patched = {"PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])}
    both = start_two(
        *SMALL,
        "--seed",
        "1",
        differing=((), ("--resume", folder)),
        patience=60,
        environments=[patched if index == slow else {} for index in range(2)],
    )
    code, _, err = end(both[1])
    assert code == 2
    assert one_line(err)
    assert "(different: seed)" in err
    code, _, err = end(both[0])
    assert code == 3
    assert one_line(err)
    assert "process 1 of 2 stopped (folder" in err


def launched(*variables):
    """One process for each environment, as a launcher starts them."""
    return [start(*SMALL, "--networks", "40", environment=one) for one in variables]


def slurm(index, port):
    step = {"SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "localhost", "SLURM_STEP_NUM_NODES": "1"}
    tasks = {"SLURM_NTASKS": "2", "SLURM_PROCID": str(index), "SLURM_LOCALID": str(index)}
    return step | tasks | {"JAX_COORDINATOR_PORT": str(port)}


def open_mpi(index, port):
    local = {"OMPI_COMM_WORLD_LOCAL_RANK": str(index), "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}
    world = {"OMPI_COMM_WORLD_RANK": str(index), "OMPI_COMM_WORLD_SIZE": "2"}
    first = {"OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://127.0.0.1:34911", "JAX_COORDINATOR_PORT": str(port)}
    return local | world | first


def kubernetes_engine(index, port):
    """Two machines with TPUs, of which JAX is told to believe that this is one; it computes on the CPU."""
    slices = {"MEGASCALE_NUM_SLICES": "1", "MEGASCALE_SLICE_ID": "0"}
    slices |= {"MEGASCALE_COORDINATOR_ADDRESS": "localhost", "JAX_COORDINATOR_PORT": str(port)}
    workers = {"TPU_WORKER_HOSTNAMES": "localhost,localhost", "TPU_WORKER_ID": str(index)}
    return slices | workers | {"JAX_FORCE_TPU_INIT": "1", "JAX_PLATFORMS": "cpu"}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [slurm, open_mpi, kubernetes_engine])
def test_a_launcher_tells_all_three(launcher):
    port = free_port()
    (code, out, _), other = (end(process) for process in launched(*(launcher(i, port) for i in range(2))))
    assert code == 0
    assert json.loads(out)["provenance"]["processes"] == 2
    assert other == (0, "", "")


@pytest.mark.slow
def test_a_launcher_that_tells_half_is_one_line():
    half = {name: value for name, value in slurm(0, 1).items() if name != "SLURM_PROCID"}
    code, out, err = end(launched(half)[0])
    assert (code, out) == (2, "")
    assert one_line(err)
    assert "Slurm started this process, but SLURM_PROCID is not set" in err


@pytest.mark.slow
def test_an_occupied_address_is_one_line():
    with socket.socket(socket.AF_INET6) as one:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        one.bind(("::", 0))
        one.listen()
        place = ["--coordinator", f"127.0.0.1:{one.getsockname()[1]}", "--processes", "2", "--process", "0"]
        code, out, err = end(start(*SMALL, *place))
    assert (code, out) == (2, "")
    assert one_line(err)
    assert "(Address already in use): give an address of process 0 that is free and reachable" in err


LOST = """E1125 coordination_service.cc:1549] Propagate the following error to all tasks: \
UNAVAILABLE: The following tasks are unhealthy (stopped sending heartbeats):
2
3
The tasks have crashed."""
CLOSED = 'client.h:80] Terminating process. absl::Status: UNAVAILABLE: {grpc_message:"Socket closed"}'
TWICE = "ABORTED: 1 unexpectedly tried to connect with a different incarnation. It has likely restarted."
DEAF = "E1125 add_port.cc:83] Failed to add port to server: No address added out of total 1 resolved "
STRANGE = (
    "client.h:80] Terminating. absl::Status: INVALID_ARGUMENT: Unexpected task registered with task=2\nRPC: x"
)


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (LOST, "process 2, 3 is lost"),
        (CLOSED, "process 0 is lost"),
        (TWICE, "two are called --process 1, or it was started again"),
        (DEAF, "process 0 cannot listen at its address"),
        (STRANGE, "INVALID_ARGUMENT: Unexpected task registered with task=2"),
        ("a remark", ""),
    ],
)
def test_what_the_coordination_service_wrote_is_a_few_words(log, reason):
    assert supervise._reason(log) == reason


@pytest.mark.parametrize(
    ("progress", "code", "message"),
    [
        (Progress(), 2, "the processes cannot connect (why)"),
        (Progress(index=1, count=2), 2, "process 1 of 2 was stopped (why) before the first network"),
        (
            Progress(index=1, count=2, started=True, networks=64, estimate="2.6 ± 0.1"),
            3,
            "was stopped (why); reached 2.6 ± 0.1 with 64 networks; without --resume nothing is kept",
        ),
    ],
)
def test_exit_codes_tell_a_bad_start_from_an_unfinished_run(progress, code, message):
    error = supervise._verdict(progress, "why", 9.0, None)
    assert error.exit_code == code
    assert message in str(error)


def test_an_interruption_is_raised_once_and_again_where_it_was_swallowed(monkeypatch):
    monkeypatch.setattr(supervise, "_interrupted", False)
    supervise._watched(64, "2.6 ± 0.1")  # control: nothing has happened yet
    with pytest.raises(KeyboardInterrupt):
        supervise._interrupt()
    supervise._interrupt()  # the parent's, beside the batch system's
    with pytest.raises(KeyboardInterrupt):
        supervise._watched(64, "2.6 ± 0.1")
