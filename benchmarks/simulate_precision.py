"""What float32 costs each simulated experiment: the same networks in float32 and in float64.

    python benchmarks/simulate_precision.py [--width 256] [--networks 16] [NAME ...]

Random numbers are drawn in float32 and, for the float64 run, widened, so that what differs is rounding
alone. Float32 has two kinds of products: those of this package (HIGHEST), and three products of TF32. A GPU
has them; elsewhere they are emulated: each factor is the sum of two numbers of 11 bits, and the product of
the two small parts is left out. The sums are then this machine's own, and a tensor core adds otherwise.

A line of JSON for each experiment: of the statistic that three products spoil most, the errors of both kinds,
as root mean squares over networks relative to the statistic's own, and their ratio; and the primary estimate
in float64, its standard error, and the bias of both kinds in standard errors.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from findings import THREE_OF_TF32, say

from signmag_jax import simulate
from signmag_jax.evidence import keys
from signmag_jax.evidence.compiling import jit, platform
from signmag_jax.simulate.program import fixed_numerics
from signmag_jax.simulate.tally import Tally

SMALLER: dict[str, Any] = {"depth": 4, "hidden": 512, "inputs": 256}
# Where `@` and `jnp.matmul` find it, whoever has imported what.
DOT = "jax._src.lax.lax.dot_general"
Product = Callable[..., jax.Array]


@contextmanager
def products(kind: str) -> Iterator[None]:
    """Within, matrix products in float32 are of this kind: "highest" or `THREE_OF_TF32`."""
    exact: Product = jax.lax.dot_general
    with ExitStack() as stack:
        if kind == THREE_OF_TF32 and platform() == "gpu":
            stack.enter_context(jax.default_matmul_precision(kind))
        elif kind == THREE_OF_TF32:
            stack.enter_context(mock.patch(DOT, functools.partial(three, exact)))
        jax.clear_caches()  # a product of these shapes may have been traced as the other kind
        yield
    jax.clear_caches()


def three(exact: Product, a: jax.Array, b: jax.Array, *how: Any, **named: Any) -> jax.Array:
    """A product of float32 arrays as three of TF32, the small ones first."""
    if a.dtype != jnp.float32:
        return exact(a, b, *how, **named)
    (a, a_rest), (b, b_rest) = parts(a), parts(b)
    small = exact(a_rest, b, *how, **named) + exact(a, b_rest, *how, **named)
    return small + exact(a, b, *how, **named)


def parts(a: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What TF32 holds of a number, and what it holds of the rest."""
    large = jax.lax.reduce_precision(a, 8, 10)
    return large, jax.lax.reduce_precision(a - large, 8, 10)


def run(name: str, width: int, networks: int, dtype: str) -> tuple[dict[str, np.ndarray], Any]:
    """Statistics of an experiment's networks, at a common seed, and its primary estimate with its error."""
    named = simulate.experiment(name)
    smaller = {key: value for key, value in SMALLER.items() if key in named.defaults or key == "inputs"}
    experiment, _ = named.prepared(width=width, dtype=dtype, networks=networks, **smaller)
    sample: Any = experiment.sample
    if hasattr(sample, "law"):
        law = dataclasses.replace(sample.law, draw=widened(sample.law.draw))
        sample = dataclasses.replace(sample, law=law)
    with mock.patch.object(jax.random, "normal", widened(jax.random.normal)):
        root = jax.random.split(keys.root(0), networks)
        program = jit(lambda every: jax.lax.map(lambda key: sample(experiment.parameters, key), every))
        statistics = {key: np.asarray(leaf) for key, leaf in program(root).items()}
    tally = Tally(experiment.optional)
    tally.add(0, statistics)
    return statistics, [np.ravel(one) for one in experiment.target(tally)]


def widened(draw: Any) -> Any:
    """The same numbers in any precision."""
    return lambda key, shape=(), dtype=float, **how: draw(key, shape, jnp.float32, **how).astype(dtype)


def error(found: np.ndarray, right: np.ndarray) -> float:
    """Root mean square of the differences, relative to that of the numbers."""
    return float(np.sqrt(np.nanmean((found - right) ** 2) / np.nanmean(right**2)))


def measured(name: str, width: int, networks: int) -> dict[str, Any]:
    """What both kinds of products cost one experiment."""
    with products("highest"):
        right, (value, deviation) = run(name, width, networks, "float64")
        ours, (single, _) = run(name, width, networks, "float32")
    with products(THREE_OF_TF32):
        theirs, (triple, _) = run(name, width, networks, "float32")
    errors = {key: (error(ours[key], right[key]), error(theirs[key], right[key])) for key in right}
    ratios = {key: both[1] / both[0] for key, both in errors.items() if both[0] > 0}
    worst = max(ratios, key=lambda key: ratios[key])
    return {
        "statistic": worst,
        "error_highest": errors[worst][0],
        "error_tf32_x3": errors[worst][1],
        "ratio": ratios[worst],
        "value": value.tolist(),
        "standard_error": deviation.tolist(),
        "bias_highest": float(np.max(np.abs(single - value) / deviation)),
        "bias_tf32_x3": float(np.max(np.abs(triple - value) / deviation)),
    }


def main() -> None:
    """Print a finding for each experiment."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--networks", type=int, default=16)
    parser.add_argument("names", nargs="*", default=list(simulate.EXPERIMENTS), metavar="NAME")
    parser.add_argument("--small", action="store_true", help="one experiment of small matrices")
    options = parser.parse_args()
    if options.small:
        options.width, options.networks, options.names = 64, 4, ["quantizer"]
    with fixed_numerics():
        for name in options.names:
            say(f"precision: {name}", **measured(name, options.width, options.networks))


if __name__ == "__main__":
    main()
