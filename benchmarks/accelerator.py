"""Everything that needs an accelerator, in three parts of four minutes: run by `accelerator.sh`.

    python benchmarks/accelerator.py one --out accelerator-one.json [--seconds 230] [--small]
    python benchmarks/accelerator.py SECTION ... --out FILE

Part one needs no model: `correct` (against the same machine's CPU), `bits` (two processes, killed and
resumed), `simulation` (networks a second, against PyTorch). Part two: `quick` (`signmag reproduce --quick`,
cold and warm) and `models` (passes and seconds, against PyTorch). Part three: `default` (`signmag reproduce`,
likewise), `precision` (float32 and three products of TF32 against float64), `tests`.

A section is a script that prints a line of JSON for each finding as soon as it has it. It ends at its own
time, and all of them at `--seconds`; what one leaves is the next one's. The file is written anew after every
finding, so that whatever ends this loses nothing: {"commit", "started", "part", "sections": {name:
{"ended": "done", "failed" or "out of time", "seconds", "findings": [{"at": seconds, ...}]}}}.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
# Script, arguments, and the seconds after which it is ended.
SECTIONS: dict[str, tuple[list[str], float]] = {
    "correct": (["card_correct.py"], 110),
    "bits": (["card_bits.py"], 60),
    "simulation": (["card_simulation.py"], 140),
    "quick": (["card_commands.py", "quick"], 170),
    "models": (["card_models.py"], 140),
    "default": (["card_commands.py", "default"], 230),
    "precision": (["simulate_precision.py"], 60),
    "tests": (["card_commands.py", "tests"], 120),
}
PARTS = {
    "one": ["correct", "bits", "simulation"],
    "two": ["quick", "models"],
    "three": ["default", "precision", "tests"],
}
GRACE = 2.0
"""Seconds after the end of a section in which its last lines may come."""
LIMIT = "SECTION_SECONDS"
"""The variable that tells a section when it is ended, for one that would rather end its commands itself."""


def main(arguments: list[str]) -> int:
    """Run sections and write what they found; the exit status says whether all of them ended well."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="+", choices=[*PARTS, *SECTIONS], metavar="SECTION")
    parser.add_argument("--seconds", type=float, default=230.0, help="for all of them together")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--small", action="store_true", help="small sizes, as on a CPU in a test")
    options = parser.parse_args(arguments)
    sections = [section for name in options.names for section in PARTS.get(name, [name])]
    report: dict[str, Any] = {
        "commit": commit(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "part": options.names,
        "sections": {},
    }
    deadline = time.monotonic() + options.seconds
    for name in sections:
        script, limit = SECTIONS[name]
        command = [sys.executable, str(HERE / script[0]), *script[1:], *["--small"] * options.small]
        entry = report["sections"][name] = {"ended": "running", "seconds": 0.0, "findings": []}
        print(f"== {name}", flush=True)
        left = deadline - time.monotonic()
        # How long small sizes take depends on what else the machine does.
        limit = left if options.small else min(limit, left)
        run(command, limit, entry, lambda: write(options.out, report))
        write(options.out, report)
        print(f"== {name}: {entry['ended']} after {entry['seconds']} s", flush=True)
    return any(entry["ended"] != "done" for entry in report["sections"].values())


def run(command: list[str], limit: float, entry: dict[str, Any], save: Any) -> None:
    """Run a section, print what it prints, and keep its findings in `entry`."""
    if limit <= 0:
        entry["ended"] = "out of time"
        return
    start, over = time.monotonic(), threading.Event()
    process = subprocess.Popen(
        command, env=environment(limit), stdout=subprocess.PIPE, text=True, start_new_session=True
    )

    def keep(lines: Iterable[str]) -> None:
        for line in lines:
            if over.is_set():
                return
            print(line, end="", flush=True)
            finding = parsed(line)
            if finding is not None:
                entry["findings"].append({"at": round(time.monotonic() - start, 1), **finding})
                save()

    assert process.stdout is not None
    # In a thread: what a section leaves behind may hold its output open for ever.
    reader = threading.Thread(target=keep, args=(process.stdout,), daemon=True)
    reader.start()
    try:
        entry["ended"] = "failed" if process.wait(limit) else "done"
    except subprocess.TimeoutExpired:
        entry["ended"] = "out of time"
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # with whatever it started
    reader.join(GRACE)
    over.set()
    entry["seconds"] = round(time.monotonic() - start, 1)


def parsed(line: str) -> dict[str, Any] | None:
    """A finding; None for any other line."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "name" in found else None


def environment(limit: float) -> dict[str, str]:
    """Of every section: JAX and PyTorch share the card, and nobody reads a compiler's warnings."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "2", "XLA_PYTHON_CLIENT_PREALLOCATE": "false", "PYTHONUNBUFFERED": "1"}
    return {**quiet, **os.environ, LIMIT: f"{limit:.0f}"}


def commit() -> str | None:
    """As `accelerator.sh pack` wrote it down, since a copy may have another history, or of this checkout."""
    packed = HERE.parent / "build" / "accelerator" / "commit"
    if packed.is_file():
        return packed.read_text().strip()
    asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True)
    return asked.stdout.strip() or None


def write(out: Path, report: dict[str, Any]) -> None:
    """Whole or not at all: a reader, and a kill, may come at any time."""
    staged = out.with_name(out.name + ".part")
    staged.write_text(json.dumps(report, indent=1) + "\n")
    staged.replace(out)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
