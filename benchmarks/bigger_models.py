"""Peak memory of `columns`, `protect` and `quantization-report` on a checkpoint of TinyLlama-1.1B's shape.

    python benchmarks/bigger_models.py > benchmarks/results/bigger_models.json
    python benchmarks/bigger_models.py columns --layers 4 --dtype bfloat16 float32

The weights are random, written in bfloat16 a shard for each layer, one in memory at a time. Each verb reads a
few short windows in a process of its own. Prints one JSON object: {"shape", "versions", "runs": [{"verb",
"dtype", "stated_gib", "peak_gib", "cpu_s"}]}: what `--dry-run` stated, the largest resident memory, and
processor seconds of all threads. What it measures of such a model means nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import tokenizers
from safetensors.numpy import save_file

from signmag_jax.evidence import provenance
from signmag_jax.models.config_hub import config_from_hub
from signmag_jax.models.names import layer_tensor, outer_tensor

TINYLLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 32000,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}
"""config.json of TinyLlama-1.1B."""

VERBS = {
    "columns": ["measure", "columns", "--calibration", "2", "--windows", "2", "--probes", "2"],
    "protect": ["protect", "--calibration", "2", "--budget", "0.5%", "--compare", "random,size"],
    "quantization-report": [
        *("measure", "quantization-report", "--calibration", "2", "--quantizers", "ternary"),
        *("--layers", "0,3", "--matrices", "o_proj,down_proj"),
    ],
}
DTYPES = ("bfloat16", "float16", "float32")
GIB = 2**30


def main() -> None:
    """Print what every verb takes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("verbs", nargs="*", help=f"some of {', '.join(VERBS)}; by default all")
    parser.add_argument("--layers", type=int, default=TINYLLAMA["num_hidden_layers"])
    parser.add_argument("--dtype", nargs="+", default=["bfloat16"], choices=DTYPES)
    parser.add_argument("--window", type=int, default=16)
    parser.add_argument(
        "--folder", type=Path, help="a checkpoint that is kept, and written if it is not there"
    )
    options = parser.parse_args()
    shape, verbs = TINYLLAMA | {"num_hidden_layers": options.layers}, options.verbs or VERBS
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch, "model")
        if not folder.exists():
            write(folder, shape)
        runs = [measured(verb, folder, dtype, options.window) for dtype in options.dtype for verb in verbs]
    print(json.dumps({"shape": shape, "versions": provenance.versions(), "runs": runs}, indent=1))


def write(folder: Path, shape: dict[str, Any]) -> None:
    """A checkpoint in hub format: config, tokenizer, index, and random weights shard by shard."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(shape))
    save_tokenizer(folder)
    config = config_from_hub(folder)
    rng = np.random.default_rng(1)
    weight_map: dict[str, str] = {}

    def shard(file: str, shapes: dict[str, tuple[int, ...]]) -> None:
        tensors = {name: drawn(rng, each) for name, each in shapes.items()}
        save_file(tensors, folder / file)
        weight_map.update(dict.fromkeys(tensors, file))

    shard("outer.safetensors", {outer_tensor(n, "hub"): s for n, s in config.outer_shapes().items()})
    for layer in range(config.layers):
        shapes = {layer_tensor(n, layer, "hub"): s for n, s in config.shapes().items()}
        shard(f"layer-{layer}.safetensors", shapes)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def drawn(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Normal entries that keep sizes as they are; gains around 1."""
    values = rng.standard_normal(shape, np.float32) * np.float32(shape[-1] ** -0.5)
    return (np.float32(1) + values if len(shape) == 1 else values).astype(ml_dtypes.bfloat16)


def save_tokenizer(folder: Path) -> None:
    """One token for each printable character of ASCII."""
    vocabulary = {chr(code): index for index, code in enumerate(range(33, 127))}
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.save(str(folder / "tokenizer.json"))


SIGNMAG = [sys.executable, "-m", "signmag_jax"]
RUN = """
import pathlib, sys
from signmag_jax.cli import run
code = run(sys.argv[1:])
# Not `ru_maxrss`: that of a child starts at its parent's.
status = pathlib.Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in status if line.startswith("VmHWM:")))
sys.exit(code)
"""
"""A command, and in the last line of what it prints the KiB that it took at its peak."""


def measured(verb: str, folder: Path, dtype: str, window: int) -> dict[str, Any]:
    """Run a verb in a process of its own, first dry."""
    sizes = ["--model", str(folder), "--text", "text.txt", "--window", str(window), "--dtype", dtype]
    typed = [*VERBS[verb], *sizes]
    with tempfile.TemporaryDirectory() as out:
        # Random characters: no passage comes twice, however short the windows are.
        codes = np.random.default_rng(2).integers(33, 127, 32 * window, dtype=np.uint8)
        Path(out, "text.txt").write_bytes(codes.tobytes())
        stated = subprocess.run(
            [*SIGNMAG, *typed, "--dry-run", "--json"], cwd=out, stdout=subprocess.PIPE, check=True
        )
        with Path(out, "said").open("w+") as said:
            running = subprocess.Popen([sys.executable, "-c", RUN, *typed, "--quiet"], cwd=out, stdout=said)
            _, status, used = os.wait4(running.pid, 0)
            said.seek(0)
            lines = said.read().splitlines()
    if status:
        raise SystemExit(f"{verb} ended with status {os.waitstatus_to_exitcode(status)}")
    found = {
        "verb": verb,
        "dtype": dtype,
        "stated_gib": json.loads(stated.stdout).get("peak_memory_gib"),
        "peak_gib": round(1024 * int(lines[-1]) / GIB, 2),
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
    }
    print(found, file=sys.stderr, flush=True)
    return found


if __name__ == "__main__":
    main()
