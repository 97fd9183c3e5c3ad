"""The model port on this device against `transformers`' PyTorch model: seconds, share of the ceiling, memory.

    python benchmarks/card_models.py [--small]

Forward passes of 512, 2,048 and 8 × 2,048 tokens in float32 and bfloat16, PyTorch with its fused attention;
then one linear response and one leverage, in such passes.
"""

from __future__ import annotations

import argparse
from typing import Any

import forward
import jax
import jax.numpy as jnp
import linear_response
import numpy as np
import torch
from card_simulation import card, wait
from findings import say, seconds

from signmag_jax import measure, models

SHAPES = ((1, 512), (1, 2048), (8, 2048))
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
PRODUCT = (16384, 4096)
"""Rows and columns of the bare product whose rate is the ceiling."""


def ceiling(dtype: str, rows: int, columns: int) -> float:
    """Operations a second of the faster library's product."""
    x, w = (jax.random.normal(jax.random.key(0), (n, columns), dtype) for n in (rows, columns))
    multiply = jax.jit(lambda x, w: jnp.matmul(x, w, precision=jax.lax.Precision.HIGHEST))
    a, b = (torch.randn(n, columns, device=card(), dtype=TYPES[dtype]) for n in (rows, columns))
    both = (lambda: multiply(x, w).block_until_ready(), lambda: wait(a @ b))
    flops = 2 * rows * columns**2
    ours, theirs = (flops / seconds(run)[1] for run in both)
    say(f"product {dtype}", jax_tflops=ours / 1e12, torch_tflops=theirs / 1e12)
    return max(ours, theirs)


def passes(dtype: str, network: Any, tokens: np.ndarray, shapes: Any, peak: float) -> None:
    """Forward passes of each shape in both libraries."""
    model = models.load(dtype=dtype)
    theirs = network.to(card(), TYPES[dtype])
    for count, window in shapes:
        rows = np.resize(tokens, (count, window)).astype(np.int32)
        on_card = torch.from_numpy(rows.astype(np.int64)).to(card())
        nll: dict[str, float] = {}

        def ours(rows: Any = rows, nll: Any = nll) -> None:
            nll["ours"] = float(models.window_nll(model, rows, batch=len(rows)).mean())

        def other(on_card: Any = on_card, nll: Any = nll) -> None:
            with torch.inference_mode():
                nll["torch"] = theirs(on_card, labels=on_card, use_cache=False).loss.item()

        first, again = seconds(ours, repeats=7)
        say(
            f"pass {dtype} {count}x{window}",
            first_seconds=first,
            seconds=again,
            share_of_ceiling=count * sum(forward.flops(window).values()) / again / peak,
            torch_seconds=(each := seconds(other, repeats=7)[1]),
            times_torch=each / again,
            nll=nll,
            peak_mib=memory(),
        )


def memory() -> dict[str, float | None]:
    """Most that each library has held on the device so far, in MiB; None where it does not tell."""
    ours = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    theirs = torch.cuda.max_memory_allocated() if card() == "cuda" else None
    return {"jax": ours and ours / 2**20, "torch": theirs and theirs / 2**20}


def leverage(tokens: np.ndarray, small: bool) -> None:
    """A sweep of one rate in passes over its windows, the masks of every draw included."""
    count, window, draws = (8, 32, 2) if small else (8, 1024, 10)
    model = models.load()
    windows = np.resize(tokens, (2 + count, window))
    windows[:, 0] = np.arange(len(windows)) % model.config.vocabulary  # none equals another
    each = seconds(lambda: models.window_nll(model, windows[2:], batch=count), repeats=3)[1]
    first, again = seconds(
        lambda: measure.leverage(model, windows[:2], windows[2:], rates=(0.005,), draws=draws), repeats=1
    )
    evaluations = 2 + 2 * draws
    say(
        "leverage",
        evaluations=evaluations,
        first_seconds=first,
        seconds=again,
        passes_each=again / evaluations / each,
        peak_mib=memory(),
    )


def main() -> None:
    """Print a finding for each shape and measurement."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--small", action="store_true")
    small = parser.parse_args().small
    folder = forward.export()
    network, tokens = forward.network(folder), np.load(f"{folder}/tokens.npy")
    if small:
        torch.set_num_threads(1)  # several wait for each other where a machine is busy
    for dtype in ("float32",) if small else TYPES:
        peak = ceiling(dtype, *((256, 256) if small else PRODUCT))
        passes(dtype, network, tokens, ((1, 16), (2, 32)) if small else SHAPES, peak)
    network.to("cpu")
    leverage(tokens, small)
    sizes = {"windows": 1, "tokens": 32, "probes": 1, "singles": 0} if small else {}
    options = argparse.Namespace(
        **{"windows": 4, "tokens": 1024, "probes": 2, "singles": 12, "text": None} | sizes
    )
    say("linear response", **linear_response.measured(options))


if __name__ == "__main__":
    main()
