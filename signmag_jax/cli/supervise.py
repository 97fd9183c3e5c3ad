"""A parent for a process that shares its work with others: JAX ends it from C++ when one of them is lost.

The child runs the same command line. What C++ writes goes to a file; what Python writes goes where the
user looks. The child tells its parent how far it has come, and the parent says in one line why it ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from io import FileIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from signmag_jax.evidence import SignmagError

# What the child inherits, as numbers of open files: its reports, its parent's life, the file for C++.
CHILD = "SIGNMAG_CHILD"
# How long a child that has said its last word may take to leave.
GRACE = 20.0
# The coordination service's own word for it.
ABSENT = "DEADLINE_EXCEEDED"

# What `signmag` was called with.
command_line: ContextVar[list[str]] = ContextVar("command_line")

_reports: int | None = None
_interrupted = False


@dataclass
class Progress:
    """How far a child has come, from what it reports."""

    waiting: bool = False
    index: int | None = None
    count: int | None = None
    started: bool = False
    networks: int = 0
    estimate: str = ""
    code: int | None = None
    heard: float = 0.0
    interrupts: int = 0

    def hear(self, line: bytes) -> None:
        """Take in one report."""
        for name, value in json.loads(line).items():
            setattr(self, name, value)
        self.heard = time.monotonic()


def hush() -> None:
    """Keep XLA's start-up remarks from the user's terminal: called before JAX is imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def is_child() -> bool:
    """Whether this process has such a parent."""
    return _reports is not None


def report(**news: Any) -> None:
    """Tell the parent, if there is one."""
    if _reports is not None:
        with contextlib.suppress(OSError):
            os.write(_reports, json.dumps(news).encode() + b"\n")


@contextlib.contextmanager
def joined(
    coordinator: str | None, processes: int | None, process: int | None, patience: float
) -> Iterator[bool]:
    """Share the child's work with the others; yields whether it is process 0, which alone prints.

    Raises:
      InvalidInput, MissingResource: as `simulate.connect` does.
    """
    from signmag_jax.simulate import connect

    report(waiting=True)
    crew = connect(
        coordinator,
        processes,
        process,
        timeout=patience,
        watch=_watched,
    )
    report(index=crew.index, count=crew.count)
    try:
        yield crew.index == 0
    except BaseException as error:
        crew.leave(error)
        raise


def child(run: Callable[[list[str]], int]) -> None:
    """Entry point of the child: run the command line, report its exit code, and leave."""
    global _reports
    _reports, life, log = map(int, os.environ.pop(CHILD).split(","))
    sys.stdout.flush()
    sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w", buffering=1) for number in (1, 2))
    for number in (1, 2):
        os.dup2(log, number)
    threading.Thread(target=_leave_with_parent, args=(life,), daemon=True).start()
    hush()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        code = run(sys.argv[1:])
    except BaseException as error:
        traceback.print_exc()
        code = 130 if isinstance(error, KeyboardInterrupt) else 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    report(code=code)
    if "jax" in sys.modules:
        _part(code)
    os._exit(code)


def _part(code: int) -> None:
    """Let the others finish: the first process serves them until they have all they need."""
    import jax

    from signmag_jax.simulate import processes

    crew = processes.crew()
    if crew is not None and (code or crew.index):
        crew.go()
    if code == 0:
        jax.distributed.shutdown()


def _interrupt(*_: object) -> None:
    """Once: a batch system signals this process beside its parent, and it has yet to tell the others."""
    global _interrupted
    if not _interrupted:
        _interrupted = True
        raise KeyboardInterrupt


def _watched(networks: int, estimate: str) -> None:
    report(started=True, networks=networks, estimate=estimate)
    # Raised where Python swallows exceptions, in a callback of its garbage collector, it is raised again.
    if _interrupted:
        raise KeyboardInterrupt


def _leave_with_parent(life: int) -> None:
    os.read(life, 1)
    os._exit(1)


def supervise(patience: float, resume: object) -> int:
    """Run the same command line in a child, and wait for it; its exit code.

    Args:
      patience: seconds in which all processes must have come.
      resume: the folder of records, if any, for the last line.

    Raises:
      MissingResource: if the child could not begin: others are absent, or cannot be reached.
      Incomplete: if it was ended later; what it had recorded is kept.
    """
    with tempfile.TemporaryFile() as log, _pipe() as (reports, report_end), _pipe() as (life, _):
        # The child reads from `life` until its other end, which is only here, is gone.
        passed = (report_end.fileno(), life.fileno(), log.fileno())
        process = subprocess.Popen(
            [sys.executable, "-c", _program(), *command_line.get()],
            env={**os.environ, CHILD: ",".join(map(str, passed))},
            pass_fds=passed,
            process_group=0,
            stdin=subprocess.DEVNULL,
        )
        report_end.close()
        progress = Progress()
        with _forwarded(process, progress):
            absent = _follow(process, progress, reports.fileno(), patience)
        if progress.code is not None or progress.interrupts:
            return 130 if progress.code is None else progress.code
        log.seek(0)
        reason = _reason(log.read().decode(errors="replace")) or _ended(process.returncode)
        raise _verdict(progress, ABSENT if absent else reason, patience, resume)


def _program() -> str:
    return (
        f"import sys; sys.path[:] = {sys.path!r}; from signmag_jax.cli import run; "
        "from signmag_jax.cli.supervise import child; child(run)"
    )


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[FileIO, FileIO]]:
    reading, writing = os.pipe()
    with FileIO(reading, "r") as read_end, FileIO(writing, "w") as write_end:
        yield read_end, write_end


@contextlib.contextmanager
def _forwarded(process: subprocess.Popen[bytes], progress: Progress) -> Iterator[None]:
    """Ctrl-C and SIGTERM reach the child as Ctrl-C; while it waits in C++, or at the second, it is killed."""

    def forward(*_: object) -> None:
        progress.interrupts += 1
        deaf = progress.count is None or progress.interrupts > 1
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL if deaf else signal.SIGINT)

    old = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _follow(process: subprocess.Popen[bytes], progress: Progress, reports: int, patience: float) -> bool:
    """Hear the child's reports until it ends; says whether it was given up because others were absent."""
    rest, absent = b"", False
    while True:
        ended = process.poll() is not None
        # What it wrote before it ended is read in full.
        while select.select([reports], [], [], 0 if ended else 0.2)[0]:
            piece = os.read(reports, 65536)
            if not piece:
                process.wait()
                ended = True
                break
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                progress.hear(line)
        if ended:
            return absent
        silent = time.monotonic() - progress.heard
        if progress.code is not None and silent > GRACE:
            process.kill()
        # It reports as soon as it begins to wait, and again when all have come.
        if progress.waiting and progress.count is None and progress.code is None and silent > patience:
            absent = True
            process.kill()


def _verdict(progress: Progress, reason: str, patience: float, resume: object) -> SignmagError:
    """The error of a child that did not end by itself."""
    from signmag_jax.evidence import Incomplete, MissingResource

    if progress.count is None and ABSENT in reason:
        return MissingResource(
            f"not all processes came within {patience:g} s: start each with the same --coordinator and "
            "--processes and a --process of its own, or raise --peer-timeout"
        )
    if progress.count is None:
        return MissingResource(
            f"the processes cannot connect ({reason}): check --coordinator, --processes and --process"
        )
    who = f"process {progress.index} of {progress.count} was stopped ({reason})"
    again = "start all processes again" + (" with the same folder" if resume else "")
    if not progress.started:
        return MissingResource(f"{who} before the first network: {again}")
    reached = f"; reached {progress.estimate} with {progress.networks} networks" if progress.estimate else ""
    kept = f"finished records are kept in {str(resume)!r}" if resume else "without --resume nothing is kept"
    return Incomplete(f"{who}{reached}; {kept}: {again}")


def _ended(code: int) -> str:
    if code == -signal.SIGKILL:
        return "killed from outside, perhaps for its memory"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _reason(log: str) -> str:
    """What JAX's coordination service wrote before it ended the process, in a few words."""
    if "Failed to add port" in log:
        return "process 0 cannot listen at its address"
    twice = re.search(r"(\d+) unexpectedly tried to connect with a different incarnation", log)
    if twice is not None:
        return f"two are called --process {twice[1]}, or it was started again"
    lost = re.search(r"unhealthy \(stopped sending heartbeats\):\s*([\d,\s]+)", log)
    if lost is not None:
        return f"process {', '.join(lost[1].split())} is lost"
    if "Socket closed" in log or "Failed to send RPC" in log or "failed to connect" in log.lower():
        return "process 0 is lost"
    status = re.search(r"absl::Status: (.+)", log)
    return status[1].strip()[:200] if status is not None else ""
