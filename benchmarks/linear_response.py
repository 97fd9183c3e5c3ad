"""The whole linear-response map of SmolLM2-135M in units of forward passes over the same tokens.

Every column of every matrix, 4 windows of 1,024 tokens: a gradient, probes of both parts of the Hessian, the
interaction of each pool, single flips, and the calibration that chooses outlier columns and single weights.
Forward passes are run between the steps, in the same process, and each step is stated in the median of those.
`standard_error` is relative: "probes" is what more probes on these tokens would remove, "windows too" takes
the text as a sample.

    python benchmarks/linear_response.py --quick
    python benchmarks/linear_response.py
"""

from __future__ import annotations

import argparse
import json
import os
import resource
from typing import Any

import numpy as np
import turns

WINDOWS, TOKENS, CALIBRATION = 4, 1024, 2
TARGET, AIM = 120, 60


def main() -> None:
    """Print the cost and the errors as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--windows", type=int, default=WINDOWS)
    parser.add_argument("--tokens", type=int, default=TOKENS)
    parser.add_argument("--probes", type=int, default=2)
    parser.add_argument("--singles", type=int, default=12)
    parser.add_argument("--text", help="a file; by default the package's own text")
    parser.add_argument("--quick", action="store_true", help="two windows of 128 tokens, 4 single flips")
    options = parser.parse_args()
    if options.quick:
        options.windows, options.tokens, options.singles = 2, 128, 4
    print(json.dumps(measured(options), indent=2))


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """The map twice, the first time to compile; then what each of its steps took."""
    from signmag_jax import measure, models
    from signmag_jax.measure import sweep

    model = models.load()
    text = models.text.load(options.text) if options.text else models.text.load()
    tokens = models.text.windows(
        model.tokenizer.encode(text.content), options.tokens, CALIBRATION + options.windows
    )
    calibration, evaluation = tokens[:CALIBRATION], tokens[CALIBRATION:]

    def forward() -> list[float]:
        watch = turns.Stopwatch()
        models.window_nll(model, evaluation[:1])
        return watch.look()

    passes: list[list[float]] = []
    steps: list[list[float]] = []
    plain = sweep._one

    def timed(*arguments: Any) -> Any:
        passes.append(forward())
        watch = turns.Stopwatch()
        row = plain(*arguments)
        steps.append(watch.look())
        return row

    def run(windows: Any) -> tuple[Any, list[float]]:
        watch = turns.Stopwatch()
        found = measure.linear_response(
            model, calibration, windows, probes=options.probes, singles=options.singles
        )
        return found, watch.look()

    forward()
    run(evaluation[:1])
    sweep._one = timed
    found, whole = run(evaluation)
    sweep._one = plain
    return judged(options, found, np.asarray(whole), np.asarray(passes), np.asarray(steps))


def judged(options: argparse.Namespace, found: Any, whole: Any, passes: Any, steps: Any) -> dict[str, Any]:
    """Everything in forward passes over all windows, by the clock and by processor time."""
    from signmag_jax.measure import ColumnMap

    unit = np.median(passes, axis=0) * options.windows
    calibration = whole - steps.sum(axis=0) - passes.sum(axis=0)
    names = ["gradient", *["gauss_newton"] * options.probes, *["residual"] * options.probes]
    names += ["interaction"] * 3 + ["single_flips"] * (options.singles > 0)
    by_name = {
        name: steps[[i for i in range(len(steps)) if names[i % len(names)] == name]].sum(axis=0) / unit
        for name in dict.fromkeys(names)
    }
    by_name["calibration and sums"] = calibration / unit
    total = np.sum(list(by_name.values()), axis=0)
    pools = {}
    for pool, slopes in found.pools.items():
        value = float(slopes.slope.value)
        pools[pool] = {
            "slope": value,
            "standard_error": {
                "probes": float(slopes.probe_error) / abs(value),
                "windows too": float(slopes.slope.standard_error) / abs(value),
            },
        }
    return {
        "windows": options.windows,
        "tokens": options.tokens,
        "probes": options.probes,
        "singles": options.singles,
        "load_average": os.getloadavg()[0],
        "seconds_of_a_pass_over_all_windows": float(unit[0]),
        "passes_by_the_clock": {name: float(cost[0]) for name, cost in by_name.items()},
        "passes_by_processor_time": {name: float(cost[1]) for name, cost in by_name.items()},
        "total_passes": {"clock": float(total[0]), "processor": float(total[1])},
        "target": TARGET,
        "aim": AIM,
        "pools": pools,
        "leverage": found.leverage.to_json(),
        "resolved_columns": ColumnMap.of(found).resolved_share(),
        "peak_resident_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    main()
