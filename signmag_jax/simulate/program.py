"""Blocks of networks on the devices of a mesh: one compiled program, whatever their number."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, PRNGKeyArray

from signmag_jax.evidence import keys
from signmag_jax.evidence.compiling import jit
from signmag_jax.evidence.errors import invalid
from signmag_jax.evidence.memory import memory_told

from . import batch
from .network import Columns, Experiment, Sample, Statistics, part

AXIS = "networks"
PRODUCTS = "highest"
"""Precision of matrix products. Three of TF32 may be faster on a GPU than one of float32, but cost some
experiments more than half of their accuracy: `benchmarks/simulate_precision.py`."""


@contextlib.contextmanager
def fixed_numerics() -> Iterator[None]:
    """What a result may not inherit from the caller's flags: widths, precision, generator.

    Threefry, because its bits are the same on every platform and under any sharding; rbg's are neither,
    and are no faster on a CPU.
    """
    with (
        jax.enable_x64(True),
        jax.default_matmul_precision(PRODUCTS),
        jax.default_prng_impl("threefry2x32"),
        jax.threefry_partitionable(True),
    ):
        yield


def check_mesh(mesh: Any) -> None:
    """Refuse what is neither a mesh nor None.

    Raises:
      InvalidInput: if it is something else.
    """
    if mesh is not None and not isinstance(mesh, Mesh):
        raise invalid("mesh is a jax.sharding.Mesh or None", mesh, "use jax.make_mesh")


def flat(mesh: Mesh | None) -> Mesh:
    """The devices of a mesh in one row; all local ones by default."""
    devices = np.asarray(jax.local_devices()) if mesh is None else mesh.devices.ravel()
    return Mesh(devices, (AXIS,))


def dispatch(
    experiment: Experiment, root: PRNGKeyArray, mesh: Mesh, blocks: list[int], limit: int
) -> Callable[[], dict[int, Columns]]:
    """Begin to compute the networks of as many blocks as there are devices at most.

    Returns:
      What waits for their statistics, by block.

    Raises:
      MissingResource: here or in what is returned, if not even one network fits in memory.
    """
    size = experiment.block
    # A device without a block of its own gets networks beyond the limit, which cost nothing.
    first = np.full(mesh.size, limit, dtype=np.int32)
    first[: len(blocks)] = np.asarray(blocks, dtype=np.int32) * size
    program = block_program(experiment.sample, mesh, size, batch.side_by_side(experiment.work))
    full = f"one network of {experiment.name!r} does not fit in memory: lower the width, rows or inputs"
    with memory_told(full):
        begun = program(experiment.parameters, root, first, np.int32(limit))

    def fetch() -> dict[int, Columns]:
        with memory_told(full):
            result = jax.device_get(begun)
        starts = ((position * size, block) for position, block in enumerate(blocks))
        return {
            block: part(result, slice(start, start + min(size, limit - block * size)))
            for start, block in starts
        }

    return fetch


# Kept by what is compiled in. Rates and other numbers are arguments, so that new ones compile nothing. Each
# program takes about 10 MB of memory.
@functools.lru_cache(maxsize=16)
def block_program(sample: Sample, mesh: Mesh, size: int, side_by_side: int) -> Callable[..., dict[str, Any]]:
    def one(parameters: Any, root: PRNGKeyArray, network: Array) -> Statistics:
        return sample(parameters, keys.fold(root, network))

    def step(parameters: Any, root: PRNGKeyArray, networks: Array, limit: Array) -> Statistics:
        """The networks of one step, computed if the first is within the limit, and zeros otherwise."""
        # Without a batch where there is one network: products of another shape would have other bits.
        each = one if side_by_side == 1 else jax.vmap(one, (None, None, 0))
        run = functools.partial(each, parameters, root, networks)
        return lax.cond(networks.min() < limit, run, lambda: jax.tree.map(_zeros, jax.eval_shape(run)))

    # Not vmap: the shapes of the matrix products, and with them their bits, would follow the block's size.
    def device(parameters: Any, root: PRNGKeyArray, first: Array, limit: Array) -> Statistics:
        networks = first[0] + jnp.arange(size, dtype=first.dtype)
        if side_by_side == 1:
            return lax.map(lambda network: step(parameters, root, network, limit), networks)
        steps = networks.reshape(-1, side_by_side)
        result = lax.map(lambda some: step(parameters, root, some, limit), steps)
        return jax.tree.map(lambda leaf: leaf.reshape(size, *leaf.shape[2:]), result)

    return jit(
        jax.shard_map(
            device,
            mesh=mesh,
            in_specs=(P(), P(), P(AXIS), P()),
            out_specs=P(AXIS),
            check_vma=False,  # the two branches of the cond differ in what they vary over
        )
    )


def _zeros(leaf: jax.ShapeDtypeStruct) -> Array:
    return jnp.zeros(leaf.shape, leaf.dtype)
