"""The brute-force block simulation beside a plain PyTorch one, in one run.

    python benchmarks/simulate_block.py [--width 512 2048] [--repeats 5]

Both draw W, x and the flips, match the shift's Frobenius norm, multiply, and return the ratio of
transverse energies for the same number of inputs per network. PyTorch's is written as one would write it:
eager, inference mode, all threads. Reported are medians over repeats that alternate between the two, so
that a busy machine slows both; the matrix-multiply ceiling is measured in the same run.

Why the simulation is laid out as it is (2 cores, AVX2, float32):
- Threefry and not rbg: 1M words take 3.7 ms against 10.6 ms on a CPU, and its bits do not depend on
  the platform. A normal costs about 6 ns a core more than PyTorch's, paid back by many inputs a network.
- Inputs in antipodal pairs: W(−x) = −Wx, so half of the products and of the inputs' random numbers go.
- lax.map over rates, not vmap: 400 against 590 ms of CPU time at width 1024 and 4096 inputs.
- Columns are inputs: sums over rows take 42 ms there, against 147 ms with rows as inputs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import torch

from signmag_jax.simulate import pairs
from signmag_jax.simulate.block import BlockSample, default_inputs
from signmag_jax.simulate.gaussian import sphere, weights

RATE = 0.01


@torch.inference_mode()
def torch_network(width: int, inputs: int) -> float:
    """One network, as one would write it."""
    w = torch.randn(width, width)
    x = torch.randn(width, inputs)
    x /= x.norm(dim=0, keepdim=True)
    flipped = torch.where(torch.rand(width, width) < RATE, -w, w)
    shifted = w + (flipped - w).norm() / width * torch.sign(w)
    h = torch.relu(w @ x)
    square = (h * h).sum(0)
    parts = []
    for changed in (flipped, shifted):
        delta = torch.relu(changed @ x) - h
        across = delta - h * ((h * delta).sum(0) / square)
        parts.append((across * across).sum(0).mean())
    return float(parts[0] / parts[1])


def jax_network(width: int, inputs: int, antipodal: bool) -> Callable[[int], float]:
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


def random_numbers(width: int, inputs: int) -> Callable[[int], object]:
    """What one network draws: W, the inputs of an antipodal run, and the flips."""

    @jax.jit
    def draw(key: jax.Array) -> jax.Array:
        one, two, three = jax.random.split(key, 3)
        w = weights(one, width, width, "float32")
        x = sphere(two, width, inputs // 2, "float32")
        flipped, shifted = pairs.Matched().draw(jnp.asarray(RATE), three, w)
        return flipped[0, 0] + shifted[0, 0] + x[0, 0]

    return lambda seed: jax.block_until_ready(draw(jax.random.key(seed)))


def product(width: int, inputs: int) -> Callable[[int], object]:
    """One W @ x in JAX: the ceiling."""
    a, b = (
        jnp.asarray(np.random.default_rng(0).standard_normal(s, dtype=np.float32))
        for s in ((width, width), (width, inputs))
    )
    multiply = jax.jit(jnp.matmul)
    return lambda seed: jax.block_until_ready(multiply(a, b))


def compare(width: int, repeats: int) -> dict[str, float]:
    """Median seconds of each, and what they mean."""
    inputs = default_inputs(width)
    tasks: dict[str, Callable[[int], object]] = {
        "torch": lambda seed: torch_network(width, inputs),
        "jax": jax_network(width, inputs, True),
        "jax_without_antipodes": jax_network(width, inputs, False),
        "random_numbers": random_numbers(width, inputs),
        "product": product(width, inputs),
    }
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for repeat in range(repeats + 1):
        for name, task in tasks.items():
            start = time.perf_counter()
            task(repeat)
            if repeat:  # the first compiles
                seconds[name].append(time.perf_counter() - start)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "width": width,
        "inputs": inputs,
        **{f"{name}_seconds": value for name, value in median.items()},
        "speedup": median["torch"] / median["jax"],
        "ceiling_gflops": 2e-9 * width**2 * inputs / median["product"],
        "fraction_of_ceiling": 1.5 * median["product"] / median["jax"],
        "fraction_of_ceiling_without_antipodes": 3 * median["product"] / median["jax_without_antipodes"],
    }


def main() -> None:
    """Print one JSON object per width."""
    parser = argparse.ArgumentParser(description="The block simulation beside PyTorch.")
    parser.add_argument("--width", type=int, nargs="+", default=[512, 2048])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        for width in arguments.width:
            print(json.dumps(compare(width, arguments.repeats)))


if __name__ == "__main__":
    main()
