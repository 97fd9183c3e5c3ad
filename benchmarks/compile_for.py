"""Compile this package's programs for an accelerator, on a machine that has none.

    python benchmarks/compile_for.py tpu  [NAME ...]     # pip install 'jax[tpu]'
    python benchmarks/compile_for.py h200 [NAME ...]     # pip install 'jax[cuda13]'

Every simulated experiment (a whole block of networks, as it is run), and of the model port the loss, its
gradient and Hessian products, quantisers and flips, for one TPU v5e and for meshes of 2 × 2 and 4 × 4 of
them, or for one NVIDIA H200. Names select programs by their beginning. Nothing is run: this shows that a
program compiles, how long that takes, and its memory; not that it runs, nor how fast.

Prints one JSON object: {"target", "versions", "programs": {name: {"compile_s", "temporary_mib", "kernels",
"loops", "error"}}}. `compile_s` are CPU seconds of all threads, tracing apart; `temporary_mib` is what a
device needs besides arguments and results; `kernels` are calls of a kernel in the compiled text, each loop's
body once; `error` is null where the program compiled.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

# Both look for a device when they are loaded; there is none, and none is needed.
os.environ["TPU_SKIP_MDS_QUERY"] = "1"
os.environ["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "1"  # it would be the only process with a TPU
os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if "h200" in sys.argv[1:2]:  # to choose kernels by their speed, XLA would run them
    os.environ["XLA_FLAGS"] = f"--xla_gpu_autotune_level=0 {os.environ.get('XLA_FLAGS', '')}"

import jax
import jax.numpy as jnp
import numpy as np
import programs
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from signmag_jax import models, simulate
from signmag_jax.evidence import provenance
from signmag_jax.evidence.compiling import compiling_for, in_force
from signmag_jax.models.sharding import parameter_shardings
from signmag_jax.simulate import batch, program

H200 = """
gpu_device_info {
  threads_per_block_limit: 1024  threads_per_warp: 32  threads_per_core_limit: 2048
  shared_memory_per_block: 49152  shared_memory_per_core: 233472  shared_memory_per_block_optin: 232448
  core_count: 132  fpus_per_core: 128  block_dim_limit_x: 2147483647  block_dim_limit_y: 65535
  block_dim_limit_z: 65535  memory_bandwidth: 4800000000000  l2_cache_size: 62914560  clock_rate_ghz: 1.98
  device_memory_size: 150754820096  cuda_compute_capability { major: 9 }
  registers_per_core_limit: 65536  registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 }
runtime_version { major: 13 minor: 0 patch: 0 }
device_description_str: "NVIDIA H200"
"""
"""What XLA's compiler reads of the card, from NVIDIA's data sheet."""

WINDOWS = (512, 2048)
TYPES = {"float32": "", "bfloat16": " in bfloat16"}
KERNEL = re.compile(r" (fusion|custom-call|convolution|dot|sort|scatter|all-reduce|all-gather)\(")
INSIDE = re.compile(
    r" (?:fusion|reduce|reduce-window|scatter|sort|map|all-reduce)\(.*?(?:calls|to_apply)=%([\w.-]+)"
)
"""What a kernel is made of, by the name of its computation; a loop's body is none."""
COMPUTATION = re.compile(r"^(?:ENTRY )?%([\w.-]+) .*?^}", re.MULTILINE | re.DOTALL)

Lower = Callable[[], Any]


def devices(target: str, shape: str) -> list[Any]:
    """Devices of a topology that is only described."""
    if target == "h200":
        return topologies.get_topology_desc(platform="cuda", target_config=H200, topology="1x1x1").devices
    found = topologies.get_topology_desc(f"v5e:{shape}", platform="tpu").devices
    jax.config.update("jax_platforms", "cpu")  # what is computed while tracing
    return found


def described(tree: Any, sharding: Any) -> Any:
    """Shapes and types of a tree of arrays, placed."""

    def one(leaf: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf), sharding=sharding)

    return jax.tree.map(one, tree)


def experiments(device: Any) -> Iterator[tuple[str, Lower]]:
    """A block of networks of every simulated experiment."""
    mesh = Mesh(np.array([device]), (program.AXIS,))
    whole, split = NamedSharding(mesh, P()), NamedSharding(mesh, P(program.AXIS))
    for name, experiment in simulate.EXPERIMENTS.items():

        def lower(experiment: Any = experiment) -> Any:
            prepared, _ = experiment.prepared(networks=16)
            with program.fixed_numerics():
                block = program.block_program(
                    prepared.sample, mesh, prepared.block, batch.side_by_side(prepared.work)
                )
                key = jax.eval_shape(lambda: jax.random.key(0))
                arguments = (
                    described(prepared.parameters, whole),
                    jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=whole),
                    jax.ShapeDtypeStruct((1,), jnp.int32, sharding=split),
                    jax.ShapeDtypeStruct((), jnp.int32, sharding=whole),
                )
                return jax.jit(block).lower(*arguments)

        yield name, lower


def placed(mesh: Mesh, dtype: str) -> dict[str, Any]:
    """Parameters that are only described, where `models.load` would place them."""
    return jax.tree.map(
        lambda shape, sharding: jax.ShapeDtypeStruct(shape, dtype, sharding=sharding),
        programs.shapes_of(programs.SMOLLM2),
        parameter_shardings(programs.SMOLLM2, mesh),
        is_leaf=lambda leaf: isinstance(leaf, tuple),
    )


def model_programs(found: list[Any], data: int, tensor: int) -> Iterator[tuple[str, Lower]]:
    """Programs of the model port on a mesh, four windows for each of its rows."""
    grid = np.array(found[: data * tensor]).reshape(data, tensor)
    mesh = Mesh(grid, (models.sharding.DATA, models.sharding.TENSOR), axis_types=(AxisType.Auto,) * 2)
    windows = NamedSharding(mesh, P(models.sharding.DATA))
    key = described(jax.eval_shape(lambda: jax.random.key(0)), NamedSharding(mesh, P()))
    for window in WINDOWS:
        tokens = jax.ShapeDtypeStruct((4 * data, window), jnp.int32, sharding=windows)
        for name, run in programs.of_model(programs.SMOLLM2).items():
            # Compile time must not grow with the window; one program shows it.
            if window == WINDOWS[0] or name == "loss":
                for dtype, suffix in TYPES.items() if name == "loss" else [("float32", "")]:
                    parameters = placed(mesh, dtype)
                    yield (
                        f"{name} of {window} tokens on {data}x{tensor}{suffix}",
                        lambda run=run, parameters=parameters, tokens=tokens: jax.jit(run).lower(
                            parameters, tokens, key
                        ),
                    )


def every_program(target: str) -> Iterator[tuple[str, Lower]]:
    """Everything that is compiled for a target, by name."""
    found = devices(target, "2x2")
    yield from experiments(found[0])
    yield from model_programs(found, 1, 1)
    if target == "tpu":
        yield from model_programs(found, 2, 2)
        yield from model_programs(devices(target, "4x4"), 4, 4)


def compiled(lower: Lower) -> dict[str, Any]:
    """What the compiler made of one program; what it says where it refuses is an entry too."""
    report: dict[str, Any] = dict.fromkeys(("compile_s", "temporary_mib", "kernels", "loops", "error"))
    try:
        lowered = lower()
        began = time.process_time()
        executable = lowered.compile(compiler_options=in_force() or None)
    except Exception as error:  # what a compiler raises differs between platforms
        return report | {"error": f"{type(error).__name__}: {str(error)[:500]}"}
    report["compile_s"] = round(time.process_time() - began, 2)
    text = executable.as_text()
    report["temporary_mib"] = round(executable.memory_analysis().temp_size_in_bytes / 2**20, 1)
    report["kernels"], report["loops"] = kernels(text), text.count(" while(")
    return report


def kernels(text: str) -> int:
    """Calls of a kernel, those within fused computations left out."""
    inside = set(INSIDE.findall(text))
    outside = (one[0] for one in COMPUTATION.finditer(text) if one[1] not in inside)
    return sum(len(KERNEL.findall(one)) for one in outside)


def main(target: str, chosen: list[str]) -> int:
    """Compile and print; the exit status says whether everything compiled."""
    compiler = "libtpu" if target == "tpu" else "jax-cuda13-plugin"
    versions = provenance.versions() | {compiler: importlib.metadata.version(compiler)}
    report: dict[str, Any] = {"target": target, "versions": versions, "programs": {}}
    with compiling_for("tpu" if target == "tpu" else "gpu"):
        for name, lower in every_program(target):
            if not chosen or name.startswith(tuple(chosen)):
                report["programs"][name] = compiled(lower)
                print(name, report["programs"][name], file=sys.stderr, flush=True)
    print(json.dumps(report, indent=1))
    return any(one["error"] for one in report["programs"].values())


if __name__ == "__main__":
    if sys.argv[1:2] not in (["tpu"], ["h200"]):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2:]))
