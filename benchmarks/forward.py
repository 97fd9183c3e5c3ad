"""Tokens per second of the NLL forward pass: this port against `transformers`' PyTorch model, side by side.

Both read the same SmolLM2-135M weights in float32 and the same 2,048 tokens; they run in two processes
that take turns, so that what else the machine does hits both, and each reports its own peak memory.

Each worker also times its library's bare products of the model's own shapes. The faster of the two is
the machine's ceiling; the products of one pass at that rate are a floor under the time of any float32
implementation, and `speedup_at_the_ceiling` is what a port that did nothing else could reach.

    python benchmarks/forward.py --rounds 7
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

TOKENS = 2048


def main() -> None:
    """Alternate the two workers and print medians as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=TOKENS)
    parser.add_argument("--worker", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        serve(options.worker, options.tokens)
    else:
        print(json.dumps(compare(options.rounds, options.tokens), indent=2))


def compare(rounds: int, tokens: int) -> dict:
    """Medians over `rounds` alternating runs, after one that warms up."""
    workers = {name: Worker(name, tokens) for name in ("ours", "theirs")}
    runs: dict[str, list[dict]] = {name: [] for name in workers}
    rates: dict[str, list[float]] = {name: [] for name in workers}
    for _ in range(rounds):
        for name, worker in workers.items():
            runs[name].append(worker.run())
        for name, worker in workers.items():
            rates[name].append(worker.products(shape_of_model()["matrices"]))
    memory = {name: worker.stop() for name, worker in workers.items()}
    table = {
        name: {
            "tokens_per_second": tokens / statistics.median(run["wall"] for run in found),
            "wall_seconds": statistics.median(run["wall"] for run in found),
            "cpu_seconds": statistics.median(run["cpu"] for run in found),
            "nll": found[-1]["nll"],
            "peak_resident_mib": memory[name],
            "products_gflops": statistics.median(rates[name]),
        }
        for name, found in runs.items()
    }
    ceiling = max(statistics.median(found) for found in rates.values())
    floor = sum(flops(tokens).values()) / 1e9 / ceiling
    paired = [b["wall"] / a["wall"] for a, b in zip(runs["ours"], runs["theirs"], strict=True)]
    return {
        "tokens": tokens,
        "rounds": rounds,
        "threads": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
        **table,
        "speedup_median_of_pairs": statistics.median(paired),
        "speedup_in_cpu_seconds": table["theirs"]["cpu_seconds"] / table["ours"]["cpu_seconds"],
        "gflop_in_products": {name: number / 1e9 for name, number in flops(tokens).items()},
        "ceiling_gflops": ceiling,
        "share_of_ceiling": floor / table["ours"]["wall_seconds"],
        "speedup_at_the_ceiling": table["theirs"]["wall_seconds"] / floor,
    }


class Worker:
    """A process that runs one forward pass for each line it is sent."""

    def __init__(self, name: str, tokens: int):
        command = [sys.executable, __file__, "--worker", name, "--tokens", str(tokens)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.run()

    def run(self) -> dict:
        """One timed pass."""
        return json.loads(self._ask("run"))

    def products(self, matrices: list[tuple[int, int]]) -> float:
        """GFLOP/s of the products with matrices of these (outputs, inputs) alone."""
        return float(self._ask(f"products {json.dumps(matrices)}"))

    def stop(self) -> float:
        """End the process; its peak resident memory in MiB."""
        peak = float(self._ask("stop"))
        self._process.wait()
        return peak

    def _ask(self, word: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the worker ended with status {self._process.wait()}")
        return answer


def serve(name: str, tokens: int) -> None:
    """Answer each line: "run" with seconds and mean NLL, "products" with GFLOP/s, "stop" with peak memory."""
    forward = {"ours": ours, "theirs": theirs}[name](tokens)
    multiply = {"ours": our_product, "theirs": their_product}[name]
    peaks: list[float] = []
    multiplied = False
    for line in sys.stdin:
        if line.strip() == "stop":
            print(max(peaks), flush=True)
            return
        if line.startswith("products"):
            multiplied = True
            print(rate_of_products(multiply, tokens, json.loads(line.split(" ", 1)[1])), flush=True)
            continue
        wall, cpu = time.perf_counter(), time.process_time()
        nll = forward()
        passed = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "nll": nll}
        if not multiplied:  # the bare products would count towards the peak
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        print(json.dumps(passed), flush=True)


def flops(tokens: int) -> dict[str, float]:
    """Floating-point operations of one pass: linear layers, head, and the lower triangle of attention."""
    config = shape_of_model()
    layer = sum(outputs * inputs for outputs, inputs in config["matrices"])
    return {
        "linear": 2.0 * tokens * config["layers"] * layer,
        "head": 2.0 * (tokens - 1) * config["vocabulary"] * config["hidden"],
        "attention": 2.0 * tokens * (tokens + 1) * config["layers"] * config["width"],
    }


@functools.cache
def shape_of_model() -> dict:
    """Layers, vocabulary, and the (outputs, inputs) of the seven matrices, of the embedded model."""
    from signmag_jax import models

    c = models.load().config
    return {
        "layers": c.layers,
        "vocabulary": c.vocabulary,
        "hidden": c.hidden,
        "width": c.heads * c.head_dim,
        "matrices": [shape for name, shape in c.shapes().items() if name.endswith("_proj")],
    }


def rate_of_products(
    multiply: Callable[..., Callable[[], object]], tokens: int, matrices: list[tuple[int, int]]
) -> float:
    """GFLOP/s over the products of one layer, each timed five times after one that warms up."""
    work = seconds = 0.0
    for outputs, inputs in matrices:
        run = multiply(tokens, outputs, inputs)
        run()
        times = []
        for _ in range(5):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        seconds += statistics.median(times)
        work += 2.0 * tokens * outputs * inputs
    return work / 1e9 / seconds


def our_product(tokens: int, outputs: int, inputs: int) -> Callable[[], object]:
    """`x Wᵀ` in XLA."""
    import jax
    import jax.numpy as jnp

    from signmag_jax.models.layers import apply_linear

    x, weight = (jax.random.normal(jax.random.key(0), (rows, inputs)) for rows in (tokens, outputs))
    run = jax.jit(apply_linear)
    return lambda: jnp.asarray(run(x, weight)).block_until_ready()


def their_product(tokens: int, outputs: int, inputs: int) -> Callable[[], object]:
    """`x Wᵀ` in PyTorch."""
    import torch

    x, weight = torch.randn(tokens, inputs), torch.randn(outputs, inputs)

    def run() -> object:
        with torch.inference_mode():
            return torch.nn.functional.linear(x, weight)

    return run


def ours(tokens: int) -> Callable[[], float]:
    """This port, compiled by XLA."""
    import jax
    import jax.numpy as jnp

    from signmag_jax import models

    model = models.load()
    window = jnp.asarray(models.text.windows(model.tokenizer.encode(models.text.load().content), tokens, 1))
    run = jax.jit(models.token_nll, static_argnums=0)
    return lambda: float(jnp.mean(run(model.config, model.params, window)))


def theirs(tokens: int) -> Callable[[], float]:
    """`transformers` in inference mode, all threads, scaled-dot-product attention, the same weights."""
    import numpy as np
    import torch

    folder = export()
    model = network(folder)
    window = torch.from_numpy(np.load(f"{folder}/tokens.npy")[None, :tokens].astype(np.int64))

    def forward() -> float:
        with torch.inference_mode():
            return model(window, labels=window, use_cache=False).loss.item()

    return forward


def network(folder: str) -> Any:
    """The PyTorch model of `export`."""
    import torch
    import transformers
    from safetensors.torch import load_file

    config = transformers.LlamaConfig.from_pretrained(folder)
    config._attn_implementation = "sdpa"
    model = transformers.LlamaForCausalLM(config).eval()
    model.load_state_dict(load_file(f"{folder}/model.safetensors"), strict=False)
    model.tie_weights()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    return model


def export() -> str:
    """Write the weights as this port reads them to a hub folder, in a process of its own."""
    import atexit
    import shutil
    import tempfile

    folder = tempfile.mkdtemp(prefix="signmag-benchmark-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run(
        [sys.executable, "-c", f"from forward import write; write({folder!r})"], check=True, cwd=HERE
    )
    return folder


HERE = os.path.dirname(os.path.abspath(__file__))


def write(folder: str) -> None:
    """config.json, model.safetensors and tokens.npy of the embedded model."""
    import numpy as np
    from safetensors.numpy import save_file

    from signmag_jax import models
    from signmag_jax.models.names import layer_tensor, outer_tensor

    model = models.load()
    c = model.config
    tensors = {outer_tensor(name, "hub"): np.asarray(model.params[name]) for name in c.outer_shapes()}
    for name, stack in model.params["blocks"].items():
        tensors |= {layer_tensor(name, layer, "hub"): np.asarray(stack[layer]) for layer in range(c.layers)}
    save_file(tensors, f"{folder}/model.safetensors")
    np.save(f"{folder}/tokens.npy", model.tokenizer.encode(models.text.load().content))
    plain = {
        "model_type": "llama",
        "vocab_size": c.vocabulary,
        "hidden_size": c.hidden,
        "intermediate_size": c.intermediate,
        "num_hidden_layers": c.layers,
        "num_attention_heads": c.heads,
        "num_key_value_heads": c.kv_heads,
        "rms_norm_eps": c.eps,
        "rope_parameters": {"rope_type": "default", "rope_theta": c.rope.theta},
        "max_position_embeddings": c.positions,
        "tie_word_embeddings": c.tied,
    }
    with open(f"{folder}/config.json", "w") as file:
        json.dump(plain, file)


if __name__ == "__main__":
    main()
