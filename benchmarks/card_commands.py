"""A user's commands on this device: `signmag reproduce`, cold, warm and against a CPU's ledger; the tests.

    python benchmarks/card_commands.py quick|default|tests [--small]

`accelerator.sh pack` brings ledgers of a CPU as build/accelerator/ledger-quick and ledger-default, where it
finds the runs; without one, nothing is compared, and the finding says so.
"""

from __future__ import annotations

import argparse
import collections
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from findings import say

from signmag_jax.models.embedded import FILE, embedded

ROOT = Path(__file__).parents[1]
SIGNMAG = [sys.executable, "-m", "signmag_jax"]
LEVELS = {"quick": ["--quick"], "default": []}
LAST = 80
"""Lines of a command's output that are kept: what each part took, or why it failed."""
SPARE = 5.0
"""Seconds before this section is ended, at which it ends its command and says how far that had come."""
ROUNDING, TOO_FAR, EXACT = 0.1, 4.0, 1e-6
"""Standard errors that rounding may move an estimate by, and other draws; of what has none, its part."""
END = float(os.environ.get("SECTION_END", time.monotonic() + 1e6)) - SPARE


def home(folder: Path) -> dict[str, str]:
    """An environment in which nothing is compiled yet, and the model is there."""
    cache = folder / "signmag_jax"
    cache.mkdir()
    (cache / FILE).symlink_to(embedded().path)
    return {**os.environ, "XDG_CACHE_HOME": str(folder)}


def timed(name: str, command: list[str], environment: dict[str, str] | None = None) -> int:
    """Run a command for as long as there is time; say how long it took, how it ended and what it said."""
    start = time.monotonic()
    process = subprocess.Popen(
        command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    last = collections.deque[str](maxlen=LAST)

    def read(lines: Iterable[str]) -> None:
        for line in lines:
            print(line, end="", file=sys.stderr, flush=True)
            last.append(f"{time.monotonic() - start:.1f} {line.rstrip()}")

    # In a thread: a process that the command leaves behind may hold its output open.
    reader = threading.Thread(target=read, args=(process.stdout,), daemon=True)
    reader.start()
    out_of_time = False
    try:
        status = process.wait(max(END - start, 0.0))
    except subprocess.TimeoutExpired:
        out_of_time, status = True, ended(process)
    reader.join(1.0)
    took = round(time.monotonic() - start, 1)
    say(name, seconds=took, status=status, out_of_time=out_of_time, last_lines=list(last))
    return status


def ended(process: subprocess.Popen[str]) -> int:
    """The status of a command that is asked to end, and made to if it does not."""
    process.terminate()
    try:
        return process.wait(SPARE / 2)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def reproduce(level: str, small: bool) -> int:
    """Cold, compared with a CPU, and once more with what the first has compiled."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        environment, status = home(folder), 0
        for again in ("cold", "warm"):
            out = folder / again
            command = [*SIGNMAG, "reproduce", *LEVELS[level], "--out", str(out)]
            status |= timed(f"{level}, {again}", [*command, *["--dry-run"] * small], environment)
            if again == "cold" and not small and not status:
                status |= compare(level, out)
        return status


def compare(level: str, out: Path) -> int:
    """What `signmag diff` sees between a CPU's run and this one."""
    ledger = ROOT / "build" / "accelerator" / f"ledger-{level}"
    if not ledger.is_dir():
        say(f"{level}: diff", compared=False, why=f"no {ledger.relative_to(ROOT)}")
        return 0
    command = [*SIGNMAG, "diff", str(ledger), str(out), "--json"]
    changes = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    judged = judge(changes)
    say(f"{level}: diff", compared=True, **judged, **changes)
    return int(bool(judged["other_verdicts"] or judged["too_far"]))


def judge(changes: dict[str, Any]) -> dict[str, list[str]]:
    """Rows with another verdict, and rows with an estimate that moved by more than rounding, and too far.

    `crossings` draws single rows in float32 on an accelerator and in float64 on a CPU: its rows move as far
    as other draws do, and are named here.
    """
    far = {row["name"]: max(map(_distance, row["moved"].values()), default=0.0) for row in changes["changed"]}
    return {
        "other_verdicts": [row["name"] for row in changes["changed"] if len(set(row["verdict"])) > 1],
        "beyond_rounding": [name for name, distance in far.items() if distance > ROUNDING],
        "too_far": [name for name, distance in far.items() if distance > TOO_FAR],
    }


def _distance(move: dict[str, Any]) -> float:
    """In standard errors; an exact number may move by `EXACT`, and none may become something else."""
    if move.get("standard_errors") is not None:
        return abs(move["standard_errors"])
    old, new = move["from"], move["to"]
    if not all(isinstance(each, int | float) for each in (old, new)):
        return math.inf
    return abs(new - old) / max(abs(old), abs(new)) / EXACT * ROUNDING


def tests(small: bool) -> int:
    """Rooms one after another, those without a model first."""
    rooms = ["evidence", "perturb", "frechet", "theory", "simulate", "models", "measure", "claims", "cli"]
    status = 0
    for room in rooms[:1] if small else rooms:
        some = "test_moment_merge.py" if small else ""
        workers = ["-n", "0"] if small else ["-n", "8"]
        # A plugin that is there and not of these tests would ask for arguments of its own.
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:benchmark", *workers]
        status |= timed(f"tests: {room}", [*command, str(Path("tests") / room / some)])
    return status


def main() -> int:
    """Print findings; the exit status says whether everything ended well."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=(*LEVELS, "tests"))
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    if options.what == "tests":
        return tests(options.small)
    return reproduce(options.what, options.small)


if __name__ == "__main__":
    sys.exit(main())
