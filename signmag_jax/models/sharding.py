"""Parameters and windows over a mesh of devices: data and tensor parallel, by named axes.

The axis "tensor" splits the rows of q, k, v, gate and up and the columns of o and down, so that a layer needs
two sums over devices (Megatron-LM's layout, arXiv:1909.08053), and the vocabulary of embedding and head. The
axis "data" splits the windows. XLA inserts the communication.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from signmag_jax.evidence import invalid
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.precision import is_traced

from .config import ModelConfig

DATA, TENSOR = "data", "tensor"


@counting
def make_mesh(data: int = 1, tensor: int = 1) -> Mesh:
    """A mesh of the first `data` · `tensor` devices of all processes, with the axes "data" and "tensor".

    Raises:
      InvalidInput: if there are not that many devices, or if a process has none of them.
    """
    devices = jax.devices()
    if data < 1 or tensor < 1 or data * tensor > len(devices):
        raise invalid(
            f"data >= 1, tensor >= 1 and data * tensor <= {len(devices)} devices",
            (data, tensor),
            "JAX sees no more of them",
        )
    grid = np.asarray(devices[: data * tensor]).reshape(data, tensor)
    idle = jax.process_count() - len({device.process_index for device in grid.flat})
    if idle:
        raise invalid(
            f"a mesh with devices of all {jax.process_count()} processes",
            (data, tensor),
            f"{idle} of them would have none: take all {len(devices)} devices, or fewer processes",
        )
    return Mesh(grid, (DATA, TENSOR), axis_types=(AxisType.Auto, AxisType.Auto))


def check_mesh(mesh: Mesh) -> Mesh:
    """The given mesh, with its communication left to XLA.

    Raises:
      InvalidInput: if its axes are not "data" and "tensor" (either may be absent).
    """
    names = tuple(mesh.axis_names)
    if not names or not set(names) <= {DATA, TENSOR}:
        raise invalid(f"axes of the mesh in {(DATA, TENSOR)}", names, "build it with `models.make_mesh`")
    return Mesh(mesh.devices, names, axis_types=(AxisType.Auto,) * len(names))


def parameter_shardings(config: ModelConfig, mesh: Mesh) -> dict[str, Any]:
    """Where each parameter lies: a nested dict like the parameters.

    Attention is split between heads, never within one. What does not divide by the size of "tensor", such
    as fewer key/value heads than devices, lies whole on every device; so do gains and the biases of sums.
    """
    shardings: dict[str, Any] = {
        name: _sharding(config, mesh, name, len(shape)) for name, shape in config.outer_shapes().items()
    }
    shardings["blocks"] = {
        name: _sharding(config, mesh, name, len(shape), stacked=True)
        for name, shape in config.shapes().items()
    }
    return shardings


def replicated_over_tensor(config: ModelConfig, mesh: Mesh) -> tuple[str, ...]:
    """Parameters that could be split, were their number of heads, features or tokens a multiple."""
    names = (*config.outer_shapes(), *config.shapes())
    size = mesh.shape.get(TENSOR, 1)
    pieces = {name: _divisible(config, name) for name in names}
    return tuple(name for name, split in pieces.items() if split is not None and split[1] % size)


def describe(config: ModelConfig, mesh: Mesh) -> str:
    """The mesh in words, with what is not split although its axis could be."""
    shape = ", ".join(f"{name}={size}" for name, size in mesh.shape.items())
    whole = replicated_over_tensor(config, mesh)
    return f"mesh {shape}" + (f"; whole on every device: {', '.join(whole)}" if whole else "")


def bytes_per_device(config: ModelConfig, itemsize: int, mesh: Mesh) -> int:
    """Bytes of the parameters that each device holds."""
    shardings = parameter_shardings(config, mesh)
    numbers = sum(
        math.prod(shardings[name].shard_shape(shape)) for name, shape in config.outer_shapes().items()
    )
    for name, shape in config.shapes().items():
        numbers += math.prod(shardings["blocks"][name].shard_shape((config.layers, *shape)))
    return numbers * itemsize


def data_devices(params: dict[str, Any]) -> int:
    """Over how many devices the windows of a batch are spread."""
    sharding = getattr(params["embed"], "sharding", None)
    return sharding.mesh.shape.get(DATA, 1) if isinstance(sharding, NamedSharding) else 1


def spans_processes(params: dict[str, Any]) -> bool:
    """Whether parameters lie on the devices of several processes, which then compute together."""
    return not getattr(params["embed"], "is_fully_addressable", True)


def over_data(x: jax.Array, like: jax.Array, axis: int = 0) -> jax.Array:
    """Inside jit: `x` split along `axis` over the axis "data" of the mesh on which `like` lies.

    As it is outside of jit, without such a mesh, or where it does not divide.
    """
    mesh = jax.typeof(like).sharding.mesh
    size = dict(mesh.shape).get(DATA, 1) if is_traced(like, x) else 1
    if size == 1 or x.shape[axis] % size:
        return x
    spec = PartitionSpec(*(None,) * axis, DATA)
    return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, spec))


def fetch(x: Any) -> Any:
    """An array, or a pytree of them, on the host of every process, wherever its pieces lie."""

    def one(leaf: Any) -> np.ndarray:
        if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable or leaf.is_fully_replicated:
            return np.asarray(leaf)
        from jax.experimental import multihost_utils

        return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))

    return jax.tree.map(one, x)


def _sharding(config: ModelConfig, mesh: Mesh, name: str, rank: int, stacked: bool = False) -> NamedSharding:
    split = _divisible(config, name)
    if TENSOR not in mesh.axis_names or split is None or split[1] % mesh.shape[TENSOR]:
        return NamedSharding(mesh, PartitionSpec())
    spec = [TENSOR if axis == split[0] else None for axis in range(rank)]
    return NamedSharding(mesh, PartitionSpec(*(None,) * stacked, *spec))


def _divisible(config: ModelConfig, name: str) -> tuple[int, int] | None:
    """Along which axis a parameter may be split, and into how many equal pieces at most; None for no axis."""
    units = {
        "embed": config.vocabulary,
        "head": config.vocabulary,
        "q": config.heads,
        "k": config.kv_heads,
        "v": config.kv_heads,
        "o": config.heads,
        "gate": config.intermediate,
        "up": config.intermediate,
        "down": config.intermediate,
    }
    stem, _, kind = name.partition("_")
    if stem not in units or kind == "norm":
        return None
    if stem in ("o", "down"):
        # Split by their inputs: outputs are sums over devices, and a bias is added to them whole.
        return (1, units[stem]) if kind == "proj" else None
    return 0, units[stem]
