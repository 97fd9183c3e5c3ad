"""What the sections of `accelerator.py` share: findings as lines of JSON, times, and numbers to compare."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

THREE_OF_TF32 = "TF32_TF32_F32_X3"
"""A float32 product as three of TF32, by JAX's name for it; GPUs alone have it."""


def say(name: str, **found: Any) -> None:
    """Print a finding at once: a section that runs out of its time keeps what it has said."""
    print(json.dumps(_strict({"name": name, **found}), allow_nan=False), flush=True)


def _strict(found: Any) -> Any:
    """The same with None for every number that strict JSON cannot hold."""
    if isinstance(found, dict):
        return {name: _strict(one) for name, one in found.items()}
    if isinstance(found, list | tuple):
        return [_strict(one) for one in found]
    return None if isinstance(found, float) and not math.isfinite(found) else found


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
