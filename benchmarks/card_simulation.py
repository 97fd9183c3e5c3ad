"""Networks a second of the simulations on this device, and their share of its bare float32 product.

    python benchmarks/card_simulation.py [--small]

Beside them plain PyTorch on the same device, eager and, on a GPU, compiled, with as many inputs for each
network. The package's inputs come in antipodal pairs, which takes half of the products: a share of the
ceiling counts those that are done.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import jax
import jax.numpy as jnp
import torch
from findings import say, seconds
from simulate_block import RATE, torch_network

from signmag_jax import simulate
from signmag_jax.evidence.compiling import compiling_for
from signmag_jax.simulate.block import default_inputs

WIDTHS, COMPILED = (256, 512, 1024, 2048, 4096, 8192), (512, 2048)
CHAINS = ("depth", "v2", "v3")
SIZE = 8192
# Of a timed call: long beside what starts it, short beside a section.
WORK = 4e12


def ceiling(size: int) -> float:
    """Operations a second of the faster library's square float32 product."""
    key = jax.random.key(0)
    a = jax.random.normal(key, (size, size), jnp.float32)
    multiply = jax.jit(lambda a: jnp.matmul(a, a, precision=jax.lax.Precision.HIGHEST))
    b = torch.randn(size, size, device=card())
    ours = seconds(lambda: multiply(a).block_until_ready())[1]
    theirs = seconds(lambda: wait(b @ b))[1]
    say("product", size=size, jax_tflops=2e-12 * size**3 / ours, torch_tflops=2e-12 * size**3 / theirs)
    return 2 * size**3 / min(ours, theirs)


def card() -> str:
    """Where PyTorch computes."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def wait(result: Any) -> Any:
    """Until PyTorch has computed it."""
    if card() == "cuda":
        torch.cuda.synchronize()
    return result


def networks_of(name: str, work: float, **sizes: Any) -> int:
    """As many networks as make a timed call, in whole blocks."""
    with compiling_for(jax.devices()[0].platform):
        experiment, _ = simulate.experiment(name).prepared(networks=2, **sizes)
        return max(2, experiment.block) * max(1, math.ceil(work / experiment.work / experiment.block))


def block(width: int, work: float, peak: float, compiled: bool) -> None:
    """The brute-force block, ours and PyTorch's."""
    inputs = default_inputs(width)
    count = networks_of("block", work, width=width, rate=RATE)
    seeds = iter(range(100))
    first, ours = seconds(
        lambda: simulate.block(width, RATE, networks=count, seed=next(seeds)),
        repeats=2 if width > 2048 else 3,
    )
    flops = 3 * width**2 * inputs  # three products with half of the inputs
    found: dict[str, Any] = {
        "networks": count,
        "inputs": inputs,
        "first_seconds": first,
        "networks_a_second": count / ours,
        "share_of_ceiling": flops * count / ours / peak,
    }
    eager = seconds(lambda: torch_network(width, inputs, card()), repeats=10 if width < 2048 else 3)[1]
    found |= {"torch_networks_a_second": 1 / eager, "times_torch": eager * count / ours}
    if compiled:
        quick = torch.compile(torch_network)
        first, each = seconds(lambda: quick(width, inputs, card()), repeats=5)
        found |= {"torch_compiled_first_seconds": first, "torch_compiled_networks_a_second": 1 / each}
    say(f"block {width}", **found)


def fast(width: int, target: float) -> None:
    """The whole time to a standard error, pilot included."""
    seeds = iter(range(100))
    first, again = seconds(
        lambda: simulate.crossings(width, RATE, standard_error=target, seed=next(seeds)), repeats=3
    )
    say(f"crossings {width}", standard_error=target, first_seconds=first, seconds=again)


def chain(name: str, work: float, **sizes: Any) -> None:
    """Networks a second of a chain of layers."""
    count = networks_of(name, work, **sizes)
    seeds = iter(range(100))
    entry = simulate.experiment(name)
    first, again = seconds(lambda: entry(networks=count, seed=next(seeds), **sizes), repeats=2)
    say(name, networks=count, first_seconds=first, networks_a_second=count / again)


def main() -> None:
    """Print networks a second, the most telling widths first."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--small", action="store_true")
    small = parser.parse_args().small
    if small:
        torch.set_num_threads(1)  # several wait for each other where a machine is busy
    peak, work = ceiling(256 if small else SIZE), 1e8 if small else WORK
    for width in (64,) if small else (512, 2048, 256, 1024):
        block(width, work, peak, compiled=False)
    for width in (64,) if small else (512, 2048):
        fast(width, 0.02 if small else 1e-3)
    sizes: dict[str, Any] = {"width": 64, "depth": 2, "inputs": 32} if small else {}
    for name in CHAINS[:1] if small else CHAINS:
        chain(name, work, **sizes)
    for width in () if small else (4096, 8192):
        block(width, work, peak, compiled=False)
    # The compiler of the other library last: it may take longer than all of this.
    for width in COMPILED if card() == "cuda" and not small else ():
        block(width, work, peak, compiled=True)


if __name__ == "__main__":
    main()
