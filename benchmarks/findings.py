"""What the sections of `accelerator.py` share: findings as lines of JSON, times, and numbers to compare."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def say(name: str, **found: Any) -> None:
    """Print a finding at once: a section that runs out of its time keeps what it has said."""
    print(json.dumps({"name": name, **found}, allow_nan=False), flush=True)


def seconds(run: Callable[[], Any], repeats: int = 5) -> tuple[float, float]:
    """Of the first call, which compiles, and the median of those after it. `run` waits for its result."""
    times = []
    for _ in range(1 + repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times[0], statistics.median(times[1:])


def numbers(plain: Any) -> list[float]:
    """Value and standard error of every estimate in the JSON form of a result."""
    if isinstance(plain, list):
        return [number for one in plain for number in numbers(one)]
    if not isinstance(plain, dict):
        return []
    if "standard_error" in plain:
        return np.concatenate([np.ravel(plain[name]) for name in ("value", "standard_error")]).tolist()
    return [number for one in plain.values() for number in numbers(one)]


def largest_error(found: Any, right: Any) -> float:
    """Of any number, relative to the largest of its array; a huge one where something is not finite."""
    scale = np.abs(right).max()
    error = np.abs(np.asarray(found, np.float64) - right).max() / (scale if scale else 1.0)
    return float(np.nan_to_num(error, nan=np.finfo(float).max))
