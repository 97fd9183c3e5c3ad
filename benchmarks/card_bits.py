"""Whether a simulation has the same bits in two processes, and when it is killed and resumed.

    python benchmarks/card_bits.py [--small]

On a GPU, kernels may be chosen by how fast they were when they were tried. What is found here is what README
may promise there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from findings import numbers, say

from signmag_jax import simulate
from signmag_jax.evidence.compiling import compiling_for

SIGNMAG = [sys.executable, "-m", "signmag_jax"]
BLOCKS = 4
PATIENCE = 120.0


def arguments(small: bool) -> list[str]:
    """A run of several blocks on a device."""
    import jax

    width = 64 if small else 256
    with compiling_for(jax.devices()[0].platform):
        experiment, _ = simulate.experiment("block").prepared(width=width, rate=0.02, networks=2)
        networks = BLOCKS * experiment.block
    sizes = ["--width", str(width), "--rate", "0.02", "--networks", str(networks)]
    return [*SIGNMAG, "simulate", "block", *sizes, "--json", "--quiet"]


def printed(command: list[str]) -> list[float]:
    """All estimates that a command prints."""
    # Programs that another process has kept would hide how this one chooses its kernels.
    with tempfile.TemporaryDirectory() as cold:
        done = subprocess.run(
            command, env={**os.environ, "XDG_CACHE_HOME": cold}, check=True, stdout=subprocess.PIPE
        )
    return numbers(json.loads(done.stdout))


def killed(command: list[str], folder: Path) -> int:
    """Kill a run as soon as it has kept a block; how many it had kept."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    began = time.monotonic()
    while not kept(folder) and process.poll() is None and time.monotonic() < began + PATIENCE:
        time.sleep(0.01)
    process.kill()
    process.wait()
    return kept(folder)


def kept(folder: Path) -> int:
    """Records in a folder."""
    return len(list(folder.glob("record-*.json")))


def main() -> int:
    """Print what is the same; the exit status says whether everything is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--small", action="store_true")
    command = arguments(parser.parse_args().small)
    first = printed(command)
    same: dict[str, Any] = {"two processes": printed(command) == first}
    say("two processes", same=same["two processes"], estimates=len(first))
    with tempfile.TemporaryDirectory() as folder:
        resumed = [*command, "--resume", folder]
        records = killed(resumed, Path(folder))
        same["killed and resumed"] = printed(resumed) == first
        say("killed and resumed", same=same["killed and resumed"], blocks=BLOCKS, kept_at_the_kill=records)
    return int(not all(same.values()))


if __name__ == "__main__":
    sys.exit(main())
