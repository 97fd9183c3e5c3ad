"""Correctness on this device, against the CPU of the same machine: the largest error of each thing.

    python benchmarks/card_correct.py [--small]

The other side is computed by a process without the device, at the same time: laws in float64, as here;
experiments in float32, from the same draws, which takes the device's precision: `crossings` draws the rows'
numbers in float64 on a CPU, and those are others; the model's programs in float64, those of bfloat16 too. The
products that they rest on are compared with float64 ones first: TF32 or bfloat16, which nobody asked for,
would be off by 3e-4 and more.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import IO, Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import programs
from findings import THREE_OF_TF32, largest_error, numbers, say

from signmag_jax import simulate, theory
from signmag_jax.evidence import provenance
from signmag_jax.evidence.compiling import in_force, jit, platform
from signmag_jax.models import attention_kernel
from signmag_jax.models.layers import apply_linear
from signmag_jax.perturb import SignFlip
from signmag_jax.simulate import crossing_drift, crossing_network
from signmag_jax.simulate.program import fixed_numerics

LAWS: dict[str, Callable[[Any], Any]] = {
    "transverse_ratio": theory.transverse_ratio,
    "finite_width_ratio": lambda rate: theory.finite_width_ratio(rate, 128),
    "depth_ratios": lambda rate: theory.depth_ratios(rate, 6),
    "radial_fraction": lambda rate: theory.radial_fraction(SignFlip(rate)),
    "flip_amplification": lambda alpha: theory.flip_amplification(alpha, 4096),
}
ARGUMENTS = np.geomspace(1e-6, 0.45, 50)
SIZES: dict[str, Any] = {"width": 512, "rate": [0.02, 0.1], "depth": 3, "inputs": 256, "networks": 32}
SMALL: dict[str, Any] = SIZES | {"width": 64, "inputs": 32, "networks": 7}
# Rounding alone: of float64 laws; of 32 networks' means; of sums in float32, against float64, where one
# that cancels to a hundredth of its terms may lose two digits. In bfloat16 a CPU's losses are off by up to
# 0.005; scores that are 10% too large, by more than 0.02.
LIMITS = {"law": 1e-10, "experiment": 2e-4, "model": 1e-3, "product": 1e-5, "half precision": 1e-2}
WINDOW = 512
# The others are these in other sizes, and take a minute to compile.
FEW = ("block", "block_fast", "depth", "column_pool")
# What a card does itself, and the CPU's process not.
PRODUCTS = ("highest", THREE_OF_TF32, "tensorfloat32", "default")


PATIENCE = 10.0
"""Seconds that the other process has to end after its last number."""


@contextlib.contextmanager
def rows_in(precision: Any) -> Iterator[None]:
    """Within, `crossings` draws and computes single rows in this precision, whatever the platform's is."""
    with (
        mock.patch.object(crossing_network, "per_row", return_value=precision),
        mock.patch.object(crossing_drift, "per_row", return_value=precision),
    ):
        yield


def values(small: bool, dtype: Any) -> Iterator[tuple[str, str, Any]]:
    """Kind, name and numbers of everything that is compared, on the default device."""
    with jax.enable_x64(True):
        for name, law in LAWS.items():
            yield "law", name, jax.jit(law)(jnp.asarray(ARGUMENTS))
    for name in FEW if small else simulate.EXPERIMENTS:
        yield "experiment", name, estimates(name, SMALL if small else SIZES)
    yield from of_model(small, dtype)


def estimates(name: str, sizes: dict[str, Any]) -> list[float]:
    """All estimates of an experiment and their errors, at a common seed."""
    entry = simulate.experiment(name)
    known = {"alpha": 0.3, "hidden": sizes["width"], **sizes}
    own = {key: value for key, value in known.items() if key in entry.arguments}
    if "hidden" not in entry.defaults:
        own.pop("hidden", None)
    return numbers(entry(**own).to_json())


def of_model(small: bool, dtype: Any) -> Iterator[tuple[str, str, Any]]:
    """A random model of SmolLM2's widths, four layers deep."""
    sizes: dict[str, Any] = {"layers": 4, "vocabulary": 4096}
    if small:
        sizes = {"layers": 2, "vocabulary": 64, "hidden": 32, "intermediate": 64}
        sizes |= {"heads": 4, "kv_heads": 2, "head_dim": 8}
    config, window = dataclasses.replace(programs.SMOLLM2, **sizes), 16 if small else WINDOW
    rng = np.random.default_rng(0)

    def drawn(shape: tuple[int, ...]) -> Any:
        values = rng.standard_normal(shape, np.float32)
        # Norms' gains are vectors; a matrix keeps the size of what it multiplies.
        wide = (
            values / np.sqrt(np.float32(shape[-1]))
            if len(shape) > 1 and min(shape[-2:]) > 4
            else 1 + values / 8
        )
        return jnp.asarray(wide, dtype)

    # x64 on both sides: random signs are drawn alike.
    with fixed_numerics():
        params = jax.tree.map(drawn, programs.shapes_of(config), is_leaf=lambda leaf: isinstance(leaf, tuple))
        tokens = jnp.asarray(rng.integers(0, config.vocabulary, (2, window)), jnp.int32)
        key = jax.random.key(1)
        for name, program in programs.of_model(config).items():
            found = jit(program)(params, tokens, key)
            yield "model", name, np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(found)])
        # Some cards have a kernel of their own for it; the other side takes the same weights in float64.
        half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), params)
        if dtype != jnp.float32:
            half = jax.tree.map(lambda x: x.astype(dtype), half)
        yield "half precision", "loss", np.ravel(jit(programs.of_model(config)["loss"])(half, tokens, key))


def products(small: bool) -> bool:
    """The error of a bare product as the package asks for it, and as it could have been."""
    rng = np.random.default_rng(0)
    size = 128 if small else 2048
    a, b = (rng.standard_normal((size, size), np.float32) for _ in range(2))
    right = a.astype(np.float64) @ b.T.astype(np.float64)
    good = say_error("product", "the package's", jit(lambda x, w: apply_linear(x, w))(a, b), right)
    for precision in PRODUCTS:
        if precision == THREE_OF_TF32 and platform() != "gpu":
            continue
        with jax.default_matmul_precision(precision):
            found = jit(lambda x, w: jnp.matmul(x, w.T))(a, b)
        say(f"product: {precision}", largest_error=largest_error(found, right))
    return good


def say_error(kind: str, name: str, found: Any, right: Any) -> bool:
    """Print one comparison; says whether it is within its limit."""
    error = largest_error(found, right)
    within = error <= LIMITS[kind]
    say(f"{kind}: {name}", largest_error=error, limit=LIMITS[kind], within=bool(within))
    return within


def read(pipe: IO[bytes], shape: tuple[int, ...]) -> np.ndarray:
    """The next array of the other process, which sends the same ones in the same order."""
    return np.frombuffer(pipe.read(8 * math.prod(shape)), np.float64).reshape(shape)


def main() -> int:
    """Print an error for each thing; the exit status says whether one is beyond rounding."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--reference", metavar="ROWS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.reference:
        with rows_in(jnp.dtype(options.reference)):
            for _, _, found in values(options.small, jnp.float64):
                sys.stdout.buffer.write(np.asarray(found, np.float64).tobytes())
                sys.stdout.buffer.flush()
        return 0
    device = jax.devices()[0]
    say("device", kind=device.device_kind, options=in_force(), versions=provenance.versions())
    c = programs.SMOLLM2
    shape = (2, WINDOW, c.heads, c.head_dim)
    if platform() == "gpu":
        fault = attention_kernel.fault(shape, c.kv_heads, jnp.dtype("bfloat16"), False)
        say("bfloat16: attention in one kernel", fault=fault)
    product = products(options.small)
    rows = jnp.dtype(crossing_drift.per_row()).name
    command = [sys.executable, __file__, "--reference", rows, *["--small"] * options.small]
    other = subprocess.Popen(
        command, env={**os.environ, "JAX_PLATFORMS": "cpu"}, stdout=subprocess.PIPE, bufsize=-1
    )
    assert other.stdout is not None
    good = [
        say_error(kind, name, found, read(other.stdout, np.shape(found)))
        for kind, name, found in values(options.small, jnp.float32)
    ]
    # Said at once: what comes after it is how long processes take to end.
    say("everything was compared", within=product and all(good))
    try:
        status = other.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        other.kill()
        status = other.wait()
    say("the other process", status=status)
    return int(not (product and all(good))) or int(status != 0)


if __name__ == "__main__":
    sys.exit(main())
