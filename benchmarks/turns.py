"""Two programs that take turns: a process each, so that whatever else the machine does hits both."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any


class Worker:
    """A process of `script` that answers one JSON request a line with one JSON line."""

    def __init__(self, script: str, *arguments: str):
        command = [sys.executable, script, *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **request: Any) -> Any:
        """The answer to one request."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the worker ended with status {self._process.wait()}")
        return json.loads(answer)

    def stop(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def serve(answer: Callable[..., Any]) -> None:
    """Answer every request until the input ends."""
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), flush=True)


class Stopwatch:
    """Seconds by the clock and of processor time since the last look: [wall, cpu]."""

    def __init__(self) -> None:
        self.look()

    def look(self) -> list[float]:
        """Seconds since the last look."""
        now = time.perf_counter(), time.process_time()
        last = getattr(self, "_last", now)
        self._last = now
        return [now[0] - last[0], now[1] - last[1]]
