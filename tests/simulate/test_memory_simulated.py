"""Memory does not grow with the number of networks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = """
import pathlib, sys
from signmag_jax import simulate
from signmag_jax.simulate.tally import Tally
if sys.argv[2] == "hoards":
    add, kept = Tally.add, []
    def hoard(self, first, columns):
        kept.append(b"x" * (2**14 * len(next(iter(columns.values())))))
        add(self, first, columns)
    Tally.add = hoard
simulate.block(32, [0.05, 0.1], inputs=32, networks=int(sys.argv[1]), resume=sys.argv[3] or None)
# Not `ru_maxrss`: that of a child starts at its parent's, and a worker of the suite can be larger.
status = pathlib.Path("/proc/self/status").read_text().splitlines()
print(next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM:")))
"""
FEW = 512


def peak(networks, how="", folder=""):
    """Bytes of a fresh process, which compiles: a program from the suite's cache takes 0.1 GB less."""
    command = [sys.executable, "-c", RUN, str(networks), how, str(folder)]
    environment = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    return int(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the process's peak memory on Linux")
def test_peak_memory_is_that_of_a_block(tmp_path):
    few, grown = peak(FEW), 16 * FEW * 2**14
    # Without records, with them, and with those read again, for which nothing is compiled.
    for folder in ("", tmp_path, tmp_path):
        assert peak(16 * FEW, folder=folder) - few < grown / 4
    # Control: 16 KiB kept of each network.
    assert peak(16 * FEW, "hoards") - few > 3 * grown / 4
