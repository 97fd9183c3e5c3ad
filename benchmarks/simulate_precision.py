"""What float32 costs each simulated estimate: the same networks in float32 and in float64.

    python benchmarks/simulate_precision.py [--width 512] [--networks 32]

Weights, inputs and masks are drawn in float32 and, for the float64 run, widened, so that what differs is
rounding alone. One JSON line an experiment: the primary estimate in float64, its standard error from these
networks, and the bias of float32, the difference of the two estimates, of the element where it is worst.
Proposition 1's noise is drawn in the precision of the weights, which makes it another sample: left out.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack
from typing import Any
from unittest import mock

import jax
import numpy as np

from signmag_jax import simulate
from signmag_jax.evidence import keys
from signmag_jax.simulate.tally import Tally

SKIPPED = ("proposition_1",)
MODULES = ("block", "crossings", "depth", "quantizer", "single_flip", "column_pool")
SMALLER: dict[str, Any] = {"depth": 4, "hidden": 1024, "inputs": 256}


def estimate(name: str, width: int, networks: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """The primary estimate of an experiment and its standard error, at a common seed."""
    named = simulate.experiment(name)
    smaller = {key: value for key, value in SMALLER.items() if key in named.defaults or key == "inputs"}
    experiment, _ = named.prepared(width=width, dtype=dtype, networks=networks, **smaller)
    with ExitStack() as stack:
        for module in (sys.modules[f"signmag_jax.simulate.{one}"] for one in MODULES):
            for drawn in ("weights", "sphere"):
                if hasattr(module, drawn):
                    stack.enter_context(mock.patch.object(module, drawn, widened(getattr(module, drawn))))
        root = jax.random.split(keys.root(0), networks)
        program = jax.jit(
            lambda every: jax.lax.map(lambda key: experiment.sample(experiment.parameters, key), every)
        )
        statistics = {key: np.asarray(leaf) for key, leaf in program(root).items()}
    tally = Tally()
    for network in range(networks):
        tally.add(network, {key: leaf[network] for key, leaf in statistics.items()})
    value, error = experiment.target(tally)
    return np.ravel(value), np.ravel(error)


def widened(draw: Any) -> Any:
    """The same numbers in any precision."""
    return lambda key, rows, columns, dtype: draw(key, rows, columns, "float32").astype(dtype)


def main() -> None:
    """Print one JSON line an experiment."""
    parser = argparse.ArgumentParser(description="Float32 against float64, estimate by estimate.")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--networks", type=int, default=32)
    arguments = parser.parse_args()
    with jax.enable_x64(True), jax.default_matmul_precision("highest"), jax.threefry_partitionable(True):
        for name in simulate.EXPERIMENTS:
            if name in SKIPPED:
                continue
            single, _ = estimate(name, arguments.width, arguments.networks, "float32")
            double, error = estimate(name, arguments.width, arguments.networks, "float64")
            worst = int(np.argmax(np.abs(single - double) / error))
            found = {
                "experiment": name,
                "width": arguments.width,
                "networks": arguments.networks,
                "value": double[worst],
                "standard_error": error[worst],
                "bias": single[worst] - double[worst],
                "bias_in_standard_errors": (single[worst] - double[worst]) / error[worst],
            }
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
