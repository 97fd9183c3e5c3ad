"""How far derivatives in bfloat16 are from those in float32: SmolLM2-135M, one window after another.

    python benchmarks/half_precision.py --windows 2 --window 128

Prints one JSON object: {"windows", "window", "error": {what: {"all", "largest_matrix", "median_column"}}}:
relative errors of the slopes of the loss in the flip rate (gradient), of their Gauss–Newton part (the same
random signs) and of the cost of every weight, `2 G w²`: of the sum over all weights, of the matrix of one
layer that is farthest off among those of more than a hundredth of the sum, and of the median column (of the
cost, of the median of the thousand largest weights).
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from signmag_jax import models
from signmag_jax.evidence import keys
from signmag_jax.measure import curvature, singles
from signmag_jax.measure.stretch import Movable
from signmag_jax.models import MATRICES, text

LARGEST = 1000


def main() -> None:
    """Print the errors."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--windows", type=int, default=2)
    parser.add_argument("--window", type=int, default=128)
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float16"))
    options = parser.parse_args()
    plain = models.load()
    # The same weights: what is told apart is the arithmetic, and not what rounding the weights does.
    half = plain.replace(params=jax.tree.map(lambda w: w.astype(options.dtype), plain.params))
    plain = plain.replace(params=jax.tree.map(lambda w: w.astype(jnp.float32), half.params))
    content = text.load(None).content
    windows = text.windows(plain.tokenizer.encode(content), options.window, options.windows)
    ours, theirs = derivatives(plain, windows), derivatives(half, windows)
    error = {name: errors(ours[name], theirs[name]) for name in ours}
    costs = [singles.predicted_costs(m, windows, range(m.config.layers), MATRICES, 0) for m in (plain, half)]
    error["cost_of_a_weight"] = errors(*costs, largest=True)
    print(json.dumps({"windows": options.windows, "window": options.window, "error": error}, indent=1))


def derivatives(model: models.LanguageModel, windows: Any) -> dict[str, dict[str, np.ndarray]]:
    """By kind and matrix, of every column of every layer, summed over windows."""
    movable = Movable.of(model, MATRICES, range(model.config.layers))
    total: dict[str, dict[str, np.ndarray]] = {}
    for index, window in enumerate(windows):
        loss = curvature.WindowLoss.of(model, window)
        key = keys.fold(keys.root(0), index)
        found = {
            "gradient": curvature.slopes(loss, movable),
            "gauss_newton": curvature.fisher_probe(loss, movable, key),
        }
        for kind, tables in found.items():
            known = total.setdefault(kind, {})
            for name, table in tables.items():
                known[name] = known.get(name, 0.0) + np.asarray(table, np.float64)
    return total


def errors(ours: Any, theirs: Any, *, largest: bool = False) -> dict[str, float]:
    """Relative errors of the second tables."""
    a, b = ({n: np.asarray(x, np.float64) for n, x in each.items()} for each in (ours, theirs))
    whole = sum(x.sum() for x in a.values())
    layers = np.concatenate([x.reshape(len(x), -1).sum(axis=1) for x in a.values()])
    others = np.concatenate([x.reshape(len(x), -1).sum(axis=1) for x in b.values()])
    told = np.abs(layers) > abs(whole) / 100
    flat, flat_b = (np.concatenate([x.ravel() for x in each.values()]) for each in (a, b))
    part = np.argsort(-np.abs(flat))[:LARGEST] if largest else np.flatnonzero(flat)
    return {
        "all": float(abs(sum(x.sum() for x in b.values()) / whole - 1)),
        "largest_matrix": float(np.abs(others[told] / layers[told] - 1).max()),
        "median_column": float(np.median(np.abs(flat_b[part] / flat[part] - 1))),
    }


if __name__ == "__main__":
    main()
