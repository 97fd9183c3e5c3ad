"""Proofs in processes of their own: they are Python throughout, and would hold up whatever runs beside them.

A prover takes names from its standard input, one a line, and answers each on its standard output as
`{"name": …, "proved": …}`. It ends with its input, so it does not outlive whoever asks.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from typing import IO

from signmag_jax.evidence import MissingResource
from signmag_jax.evidence.threads import check_abandoned

from .proof_files import select

PROGRAM = f"from {__name__} import serve; serve()"
PATIENCE = 0.1
"""Seconds between two looks at whether anybody still waits for the verdicts."""
OBJECTS = 100_000
"""Python looks for garbage when so many have come to be since the last time; by default, 700."""
CORES_A_PROVER = 4
"""Cores for each prover. What several proofs cite, each proves for itself: more would mostly do that."""


class Provers:
    """Processes that prove.

    Args:
      wanted: names of proofs.
      cores: how many there are to prove on.

    Raises:
      InvalidInput: for an unknown name.
    """

    def __init__(self, wanted: Iterable[str], cores: int) -> None:
        self.names = sorted(set(select(wanted)))
        self._count = min(max(1, cores // CORES_A_PROVER), len(self.names))
        self._waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[tuple[str, bool] | Exception] = queue.SimpleQueue()
        self._processes = contextlib.ExitStack()
        self._begun = False

    def begin(self) -> None:
        """Let them prove, whatever else is done before their verdicts are asked for.

        Raises:
          MissingResource: where no process starts.
        """
        if self._begun:
            return
        self._begun = True
        for name in self.names:
            self._waiting.put(name)
        for _ in range(self._count):
            self._processes.enter_context(contextlib.closing(_Prover(self._waiting, self._ended)))

    def verdicts(self, tell: Callable[[str, bool], object]) -> dict[str, bool]:
        """Whether each of the proofs holds, by name; the processes begin where nobody began them, and end.

        Args:
          tell: is called with each name and verdict as soon as it is there.

        Raises:
          MissingResource: where a prover ended without its verdict, which then is neither yes nor no.
        """
        self.begin()
        proved: dict[str, bool] = {}
        with contextlib.closing(self):
            while len(proved) < len(self.names):
                try:
                    answer = self._ended.get(timeout=PATIENCE)
                except queue.Empty:
                    check_abandoned()
                    continue
                if isinstance(answer, Exception):
                    raise answer
                proved |= [answer]
                tell(*answer)
        return proved

    def close(self) -> None:
        """End the processes, whatever they do."""
        self._processes.close()


class _Prover:
    """A process that proves by the very modules of this one, and the thread that asks it."""

    def __init__(self, waiting: queue.SimpleQueue, ended: queue.SimpleQueue) -> None:
        if not sys.executable:
            raise MissingResource(
                "`sys.executable` is empty, so nothing can be proved: run Python by its full path"
            )
        self._waiting, self._ended = waiting, ended
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {PROGRAM}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._words,
                encoding="utf-8",
                env=os.environ | {"JAX_PLATFORMS": "cpu"},  # it comes with the laws, and never computes here
                process_group=0,  # Ctrl-C is for whoever asks
            )
        except OSError as error:
            self._words.close()
            raise MissingResource(
                f"`sys.executable`, {sys.executable}, does not start ({error.strerror}), so nothing can be "
                "proved: run Python by its full path, or with more memory"
            ) from None
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._thread.join()
        with contextlib.suppress(BrokenPipeError), self._process, self._words:
            pass

    def _ask(self) -> None:
        """Have names proved until there are none left."""
        try:
            while True:
                name = self._waiting.get_nowait()
                self._ended.put((name, self._verdict(name)))
        except queue.Empty:
            return
        except Exception as error:
            self._ended.put(error)

    def _verdict(self, name: str) -> bool:
        asked, answers = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answers is not None
        with contextlib.suppress(BrokenPipeError):  # its answer will say so
            asked.write(f"{name}\n")
            asked.flush()
        answer = answers.readline()
        if not answer.endswith("\n"):
            raise MissingResource(f"the process that should prove {name} {self._end()}: run it again")
        for proved in (True, False):
            if answer == _answer(name, proved):
                return proved
        raise MissingResource(
            f"the process that should prove {name} answered {answer.strip()}: reinstall signmag_jax"
        )

    def _end(self) -> str:
        """What became of the process, with its last words."""
        code = self._process.wait()
        self._words.seek(0)
        words = self._words.read().decode(errors="replace").strip().rpartition("\n")[2]
        return f"ended with code {code}{': ' if words else ''}{words}"


def serve() -> None:
    """Be a prover."""
    from .proof import Library  # SymPy is slow to import, and whoever asks needs none

    asked, answers = sys.stdin, sys.stdout
    sys.stdin, sys.stdout = None, sys.stderr  # what a proof prints is no verdict
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_hear, args=(asked, waiting), daemon=True).start()
    # A proof is many objects, hardly any of them garbage: to look through them took a twentieth of the time.
    gc.freeze()
    gc.set_threshold(OBJECTS)
    library = Library()
    while True:
        name = waiting.get()
        answers.write(_answer(name, library.result(name).proved))
        answers.flush()


def _answer(name: str, proved: bool) -> str:
    return f"{json.dumps({'name': name, 'proved': proved})}\n"


def _hear(asked: IO[str], waiting: queue.SimpleQueue) -> None:
    for line in asked:
        waiting.put(line.strip())
    os._exit(0)  # nobody waits for what is being proved
