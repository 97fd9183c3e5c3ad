"""Everything that needs an accelerator, in three parts of four minutes: run by `accelerator.sh`.

    python benchmarks/accelerator.py one --out accelerator-one.json [--seconds 230] [--small]
    python benchmarks/accelerator.py SECTION ... --out FILE

Part one needs no model: `correct` (against the same machine's CPU), `bits` (two processes, killed and
resumed), `simulation` (networks a second, against PyTorch). Part two: `quick` (`signmag reproduce --quick`,
cold and warm) and `models` (passes and seconds, against PyTorch). Part three: `default` (`signmag reproduce`,
likewise), `precision` (float32 and three products of TF32 against float64), `tests`.

A section is a script that prints a line of JSON for each finding as soon as it has it. It ends at its own
time, and all of them at `--seconds`; what one leaves is the next one's. The file is written anew after every
finding, so that whatever ends this loses nothing: {"commit", "started", "machine", "part", "sections": {name:
{"ended", "seconds", "findings": [{"at": seconds, ...}]}}}. A section has "ended" as "not begun", "running",
"done", "failed", "out of time" or "stopped" (by who ended this); unless it is done, "last_lines" are its
last ones on standard error. A section that fails does not keep the next one from its time.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
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
END = "SECTION_END"
"""The variable that tells a section when it is ended, on the monotonic clock that all processes share."""
LAST = 40
"""Lines of a section's standard error that are kept."""
PACKAGES = ("jax", "jaxlib", "jax-cuda13-plugin", "nvidia-cudnn-cu13", "numpy", "torch", "transformers")


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
        "machine": machine(),
        "part": options.names,
        "sections": {name: {"ended": "not begun", "seconds": 0.0, "findings": []} for name in sections},
    }
    deadline = time.monotonic() + options.seconds
    # Whoever ends this ends the section too: left behind, it would keep the card from what comes next.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    for name, entry in report["sections"].items():
        script, limit = SECTIONS[name]
        command = [sys.executable, str(HERE / script[0]), *script[1:], *["--small"] * options.small]
        print(f"== {name}", flush=True)
        left = deadline - time.monotonic()
        # How long small sizes take depends on what else the machine does.
        limit = left if options.small else min(limit, left)
        run(command, limit, entry, lambda: write(options.out, report))
    # Together, at the end: of a long output, often no more than that is seen.
    for name, entry in report["sections"].items():
        found = len(entry["findings"])
        print(f"== {name}: {entry['ended']} after {entry['seconds']} s, {found} findings", flush=True)
    print(f"== {options.out}", flush=True)
    return any(entry["ended"] != "done" for entry in report["sections"].values())


def run(command: list[str], limit: float, entry: dict[str, Any], save: Callable[[], None]) -> None:
    """Run a section, print what it prints, and keep its findings in `entry`."""
    if limit <= 0:
        entry["ended"] = "out of time"
        return save()
    start, over = time.monotonic(), threading.Event()
    entry["ended"], last = "running", collections.deque[str](maxlen=LAST)
    save()
    # A group, but no session, of its own: who ends a session reaches it.
    process = subprocess.Popen(
        command,
        env=environment(start + limit),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        process_group=0,
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

    def pass_on(lines: Iterable[str]) -> None:
        for line in lines:
            print(line, end="", file=sys.stderr, flush=True)
            last.append(line.rstrip())

    # In threads: what a section leaves behind may hold its output open for ever.
    readers = [
        threading.Thread(target=read, args=(pipe,), daemon=True)
        for read, pipe in ((keep, process.stdout), (pass_on, process.stderr))
    ]
    for reader in readers:
        reader.start()
    try:
        entry["ended"] = "failed" if process.wait(limit) else "done"
    except subprocess.TimeoutExpired:
        entry["ended"] = "out of time"
    finally:
        if entry["ended"] == "running":
            entry["ended"] = "stopped"
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with whatever it started
        grace = time.monotonic() + GRACE
        for reader in readers:
            reader.join(max(grace - time.monotonic(), 0.0))
        over.set()
        entry["seconds"] = round(time.monotonic() - start, 1)
        if entry["ended"] != "done":
            entry["last_lines"] = list(last)
        save()


def parsed(line: str) -> dict[str, Any] | None:
    """A finding; None for any other line."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "name" in found else None


def environment(end: float) -> dict[str, str]:
    """Of every section: JAX and PyTorch share the card, and nobody reads a compiler's warnings."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "2", "XLA_PYTHON_CLIENT_PREALLOCATE": "false", "PYTHONUNBUFFERED": "1"}
    return {**quiet, **os.environ, END: f"{end:.1f}"}


def machine() -> dict[str, Any]:
    """The card, its driver and the libraries that a run depends on; None for what is not there."""
    asked = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        card = subprocess.run(asked, capture_output=True, text=True, timeout=20).stdout.strip() or None
    except (OSError, subprocess.TimeoutExpired):
        card = None
    return {
        "card": card,
        "processors": os.cpu_count(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def version(package: str) -> str | None:
    """The version of a package, if it is installed."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return None


def commit() -> str | None:
    """As `accelerator.sh pack` wrote it down, since a copy may have another history, or of this checkout."""
    packed = HERE.parent / "build" / "accelerator" / "commit"
    if packed.is_file():
        return packed.read_text().strip()
    try:
        asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True)
    except OSError:
        return None
    return asked.stdout.strip() or None


def write(out: Path, report: dict[str, Any]) -> None:
    """Whole or not at all: a reader, and a kill, may come at any time."""
    staged = out.with_name(out.name + ".part")
    staged.write_text(json.dumps(report, indent=1) + "\n")
    staged.replace(out)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
