"""Memory does not grow with the number of networks."""

import subprocess
import sys

import pytest

RUN = """
import resource, sys
from signmag_jax import simulate
from signmag_jax.simulate.tally import Tally
if sys.argv[2] == "hoards":
    add, kept = Tally.add, []
    Tally.add = lambda self, network, row: kept.append(bytes(2**14)) or add(self, network, row)
simulate.block(32, [0.05, 0.1], inputs=32, networks=int(sys.argv[1]), resume=sys.argv[3] or None)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""
FEW = 512


def peak(networks, how="", folder=""):
    """Bytes of a fresh process."""
    command = [sys.executable, "-c", RUN, str(networks), how, str(folder)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.slow
def test_peak_memory_is_that_of_a_block(tmp_path):
    few, grown = peak(FEW), 16 * FEW * 2**14
    # Without records, with them, and with those read again, for which nothing is compiled.
    for folder in ("", tmp_path, tmp_path):
        assert peak(16 * FEW, folder=folder) - few < grown / 4
    # Control: 16 KiB kept of each network.
    assert peak(16 * FEW, "hoards") - few > 3 * grown / 4
