"""How many networks make a block, and how many of them are computed side by side.

Both follow from the platform and from the work of a network alone, so that the bits of a run depend
neither on how many devices it has nor on where it was interrupted.
"""

from __future__ import annotations

import numpy as np

from signmag_jax.evidence.compiling import platform

# A record holds a block: it is what an interruption costs, and what may be discarded at a target.
CPU_BLOCK_WORK = 4e9
CPU_BLOCK_RANGE = (2, 64)  # a loop of one is compiled away

# An accelerator waits for the host when it begins a block: a hundredth of a second of work hides it. A run to
# a standard error may take a hundred networks, and what a block holds beyond them is lost.
BLOCK_WORK = 1e12
BLOCK_NETWORKS = 512
# A step is 50 kernels, each launched in 3 microseconds, and the host is asked whether it is to be computed:
# beside the 5 milliseconds' work of as many networks, that is no matter. They take up to 4 GiB of memory.
SIDE_BY_SIDE_WORK = 2.5e11
SIDE_BY_SIDE_RANGE = (1, 256)


def side_by_side(work: float) -> int:
    """Networks side by side in one step: one on a CPU, whose cores a single network fills.

    Args:
      work: floating-point operations of one network, roughly.
    """
    return 1 if platform() == "cpu" else _clipped(SIDE_BY_SIDE_WORK, work, SIDE_BY_SIDE_RANGE)


def block(work: float) -> int:
    """Networks in a block, a multiple of those that are computed side by side.

    Args: as of `side_by_side`.
    """
    if platform() == "cpu":
        return _clipped(CPU_BLOCK_WORK, work, CPU_BLOCK_RANGE)
    count = side_by_side(work)
    steps = _clipped(BLOCK_WORK, work * count, (1, BLOCK_NETWORKS // count))
    return count * max(steps, 2 // count)


def ahead() -> int:
    """Steps of blocks that are begun before the last one is fetched; none on a CPU, whose cores are busy."""
    return 0 if platform() == "cpu" else 1


def _clipped(whole: float, part: float, limits: tuple[int, int]) -> int:
    return int(np.clip(whole // part, *limits))
