"""Run in a process of its own: anonymous memory while a model is loaded and read, as JSON.

Usage: python memory_of.py FOLDER DTYPE WINDOW
"""

import contextlib
import json
import sys
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from signmag_jax import measure, models

PERIOD = 0.001  # seconds


def anonymous():
    """Bytes of this process's pages that no file backs (RssAnon)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


@contextlib.contextmanager
def peak():
    """Yields a list that holds the largest `anonymous` of the block once it has ended."""
    found, done = [anonymous()], threading.Event()

    def watch():
        while not done.is_set():
            found[0] = max(found[0], anonymous())
            time.sleep(PERIOD)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def report(folder, dtype, window):
    jax.block_until_ready(jnp.zeros(8) + 1)  # the backend is there before anything is counted
    baseline = anonymous()
    start = time.perf_counter()
    with peak() as loading:
        model = models.load(folder, dtype=dtype)
    seconds = time.perf_counter() - start
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(model.params))
    before = anonymous()
    with peak() as ballast:
        np.ones(held // 2, np.uint8)
    tokens = np.random.default_rng(0).integers(0, model.config.vocabulary, (1, window)).astype(np.int32)
    with peak() as reading:
        loss = measure.nll(model, tokens)
    return {
        "baseline": baseline,
        "weights": held,
        "parameters": model.report.parameters,
        "dtypes": model.report.dtypes,
        "files": len(model.report.files),
        "loading": loading[0] - baseline,
        "seconds": seconds,
        "ballast": ballast[0] - before,
        "reading": reading[0],
        "loss": loss.value,
    }


if __name__ == "__main__":
    print(json.dumps(report(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
