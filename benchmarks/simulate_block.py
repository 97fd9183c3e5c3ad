"""The block simulation beside a plain PyTorch one, in one run.

    python benchmarks/simulate_block.py [--width 512 2048] [--rounds 5] [--target 1e-3] [--memory]

Both draw W, x and the flips, match the shift's Frobenius norm, multiply, and return the ratio of
transverse energies for the same number of inputs per network. PyTorch's is written as one would write it:
eager, inference mode, all threads. Every round runs each task once, in turn, so that a busy machine slows
all; reported are medians over rounds, of wall and of CPU seconds, and apart from them the first call, which
compiles. The ceiling is the faster of the two libraries' matrix products, of the same run.

The time to a standard error is a network's time × (deviation of networks/target)² for the two brute-force
estimators, however few networks that are, and a whole call of `simulate.crossings(width, 0.01,
standard_error=target)`, which takes a pilot of 32 networks and at least 32 more, for the fast one. Its
expectation is the ratio of means; brute force's mean of ratios differs from it by far less than an error.

Why the simulation is laid out as it is (2 cores, AVX2, float32):
- Threefry: `generators` shows normals and masks by each generator. Those of rbg cost more on a CPU, although
  its raw bits cost less, and its bits depend on platform and sharding, which the records exclude.
- Inputs in antipodal pairs: W(−x) = −Wx, so half of the products and of the inputs' random numbers go.
- lax.map over rates, not vmap: 400 against 590 ms of CPU time at width 1024 and 4096 inputs.
- Columns are inputs: sums over rows take 42 ms there, against 147 ms with rows as inputs.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch

from signmag_jax import simulate
from signmag_jax.simulate import pairs
from signmag_jax.simulate.block import default_inputs
from signmag_jax.simulate.block_network import BlockSample
from signmag_jax.simulate.gaussian import sphere, weights

RATE = 0.01
GENERATORS = ("threefry2x32", "rbg", "unsafe_rbg")
# Width, networks, inputs: the same width with four times the networks, and the largest width.
MEMORY = {
    "width_256": (256, 32, 1024),
    "four_times_the_networks": (256, 128, 1024),
    "width_8192": (8192, 2, 8192),
}
Task = Callable[[int], Any]


@torch.inference_mode()
def torch_network(width: int, inputs: int, device: str = "cpu") -> float:
    """One network, as one would write it."""
    w = torch.randn(width, width, device=device)
    x = torch.randn(width, inputs, device=device)
    x /= x.norm(dim=0, keepdim=True)
    flipped = torch.where(torch.rand(width, width, device=device) < RATE, -w, w)
    shifted = w + (flipped - w).norm() / width * torch.sign(w)
    h = torch.relu(w @ x)
    square = (h * h).sum(0)
    parts = []
    for changed in (flipped, shifted):
        delta = torch.relu(changed @ x) - h
        across = delta - h * ((h * delta).sum(0) / square)
        parts.append((across * across).sum(0).mean())
    return float(parts[0] / parts[1])


def jax_network(width: int, inputs: int, antipodal: bool) -> Task:
    """The package's network, compiled."""
    sample = BlockSample(
        width,
        width,
        width,
        inputs,
        jax.nn.relu,
        "integrated",
        "linear",
        "float32",
        antipodal,
        pairs.Matched(),
    )
    program = jax.jit(sample)
    rates = jnp.asarray([RATE])
    return lambda seed: float(program(rates, jax.random.key(seed))["ratio"][0])


def drawn(width: int, inputs: int, generator: str) -> Task:
    """What one network draws: W, the inputs of an antipodal run, and the flips."""

    @jax.jit
    def draw(key: jax.Array) -> jax.Array:
        one, two, three = jax.random.split(key, 3)
        w = weights(one, width, width, "float32")
        x = sphere(two, width, inputs // 2, "float32")
        flipped, shifted = pairs.Matched().draw(jnp.asarray(RATE), three, w)
        return flipped[0, 0] + shifted[0, 0] + x[0, 0] + flipped.sum() + x.sum()

    return lambda seed: jax.block_until_ready(draw(jax.random.key(seed, impl=generator)))


@torch.inference_mode()
def torch_drawn(width: int, inputs: int) -> float:
    """The same in PyTorch, with all inputs."""
    w, x = torch.randn(width, width), torch.randn(width, inputs)
    return float(torch.where(torch.rand(width, width) < RATE, -w, w).sum() + x.sum())


def products(width: int, inputs: int) -> dict[str, Task]:
    """One W @ x in each library: the ceiling."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(s, dtype=np.float32) for s in ((width, width), (width, inputs)))
    multiply = jax.jit(jnp.matmul)
    ours, theirs = (jnp.asarray(a), jnp.asarray(b)), (torch.from_numpy(a), torch.from_numpy(b))
    return {
        "product_jax": lambda seed: jax.block_until_ready(multiply(*ours)),
        "product_torch": lambda seed: torch.matmul(*theirs),
    }


class Rounds(NamedTuple):
    """Medians of wall and of CPU seconds, the seconds of the first call, and what each round returned."""

    wall: dict[str, float]
    cpu: dict[str, float]
    first: dict[str, float]
    results: dict[str, list[Any]]


def rounds(tasks: Mapping[str, Task], count: int) -> Rounds:
    """Run every task once a round, `count` rounds after the first."""
    first: dict[str, float] = {}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in tasks}
    results: dict[str, list[Any]] = {name: [] for name in tasks}
    for number in range(count + 1):
        for name, task in tasks.items():
            start, used = time.perf_counter(), time.process_time()
            result = task(number)
            elapsed = time.perf_counter() - start, time.process_time() - used
            if number == 0:  # compiles
                first[name] = elapsed[0]
                continue
            seconds[name].append(elapsed)
            results[name].append(result)
    wall, cpu = (
        {name: statistics.median(pair[clock] for pair in values) for name, values in seconds.items()}
        for clock in (0, 1)
    )
    return Rounds(wall, cpu, first, results)


def compare(width: int, count: int, target: float) -> dict[str, Any]:
    """Median seconds of each, and what they mean."""
    inputs = default_inputs(width)
    tasks: dict[str, Task] = {
        "torch": lambda seed: torch_network(width, inputs),
        "jax": jax_network(width, inputs, True),
        "jax_without_antipodes": jax_network(width, inputs, False),
        "crossings": lambda seed: (
            simulate.crossings(width, RATE, standard_error=target, seed=seed).transverse_ratio
        ),
        "random_numbers": drawn(width, inputs, GENERATORS[0]),
        **products(width, inputs),
    }
    torch.manual_seed(0)
    median, cpu, first, results = rounds(tasks, count)
    brute = results["torch"] + results["jax"]
    # Within each library: the two use different inputs for a ratio's two halves.
    deviation = math.sqrt(statistics.mean(statistics.variance(results[name]) for name in ("torch", "jax")))
    product = min(median["product_jax"], median["product_torch"])
    needed = (deviation / target) ** 2
    fast = results["crossings"]
    error = math.hypot(
        statistics.stdev(brute) / math.sqrt(len(brute)), fast[0].standard_error / len(fast) ** 0.5
    )
    return {
        "width": width,
        "inputs": inputs,
        "seconds": median,
        "cpu_seconds": cpu,
        "speedup": median["torch"] / median["jax"],
        "speedup_in_cpu_seconds": cpu["torch"] / cpu["jax"],
        "ceiling_gflops": 2e-9 * width**2 * inputs / product,
        "fraction_of_ceiling": 1.5 * product / median["jax"],
        "fraction_of_ceiling_without_antipodes": 3 * product / median["jax_without_antipodes"],
        "torch_fraction_of_ceiling": 3 * product / median["torch"],
        "random_numbers_share": median["random_numbers"] / median["jax"],
        "to_standard_error": {
            "target": target,
            "deviation_of_a_network": deviation,
            "relative_error_of_that": 1 / math.sqrt(2 * (len(brute) - 2)),
            "networks_of_brute_force": needed,
            "torch_seconds": needed * median["torch"],
            "jax_seconds": needed * median["jax"],
            "crossings_seconds": median["crossings"],
            "crossings_first_call_seconds": first["crossings"],
            "crossings_networks": fast[0].n,
            "crossings_standard_error": fast[0].standard_error,
            "crossings_over_torch": needed * median["torch"] / median["crossings"],
            "crossings_over_torch_in_cpu_seconds": needed * cpu["torch"] / cpu["crossings"],
        },
        "expectation": {
            "brute_force": statistics.mean(brute),
            "crossings": statistics.mean(one.value for one in fast),
            "difference_in_standard_errors": (
                statistics.mean(one.value for one in fast) - statistics.mean(brute)
            )
            / error,
        },
    }


def generators(width: int, count: int) -> dict[str, float]:
    """Median seconds for the random numbers of one network, by generator."""
    tasks: dict[str, Task] = {name: drawn(width, width, name) for name in GENERATORS}
    return rounds({**tasks, "torch": lambda seed: torch_drawn(width, width // 2)}, count).wall


def growth(count: int) -> dict[str, Any]:
    """Exponents of the cost: in networks (1 is linear), and in width for a fixed number of inputs (2)."""
    networks, widths, inputs = (4, 8, 16, 32), (512, 1024, 2048), 2048
    many = rounds(
        {str(n): lambda seed, n=n: simulate.block(256, RATE, networks=n, seed=seed) for n in networks}, count
    ).wall
    wide = rounds({str(n): jax_network(n, inputs, True) for n in widths}, count).wall
    slope = lambda xs, seconds: float(  # noqa: E731
        np.polyfit(np.log(xs), np.log([seconds[str(x)] for x in xs]), 1)[0]
    )
    return {
        "exponent_in_networks": slope(networks, many),
        "exponent_in_width_per_input": slope(widths, wide),
        "seconds_by_networks": many,
        "seconds_by_width": wide,
    }


def peak() -> float:
    """Peak resident MiB of this process alone: `ru_maxrss` of a child starts at its parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def memory() -> dict[str, float]:
    """Peak resident MiB of fresh processes."""
    found = {}
    for name, (width, networks, inputs) in MEMORY.items():
        command = [sys.executable, __file__, "--one", str(width), str(networks), str(inputs)]
        found[name] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description="The block simulation beside PyTorch.")
    parser.add_argument("--width", type=int, nargs="+", default=[512, 2048])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--target", type=float, default=1e-3)
    parser.add_argument("--memory", action="store_true", help="also peak memory, up to width 8192")
    parser.add_argument("--one", type=int, nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        width, networks, inputs = arguments.one
        simulate.block(width, RATE, networks=networks, inputs=inputs)
        print(peak())
        return
    torch.set_num_threads(os.cpu_count() or 1)
    with jax.enable_x64(True), jax.default_matmul_precision("highest"), jax.threefry_partitionable(True):
        report = {
            "blocks": [compare(width, arguments.rounds, arguments.target) for width in arguments.width],
            "generators": generators(max(arguments.width), arguments.rounds),
            "growth": growth(arguments.rounds),
        }
    if arguments.memory:
        report["peak_memory_mib"] = memory()
    report["load"] = os.getloadavg()
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
