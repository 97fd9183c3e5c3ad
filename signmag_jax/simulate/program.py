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

from signmag_jax.evidence import MissingResource, keys
from signmag_jax.evidence.errors import invalid

from .network import Experiment, Row, Sample, Statistics

AXIS = "networks"


@contextlib.contextmanager
def fixed_numerics() -> Iterator[None]:
    """What a result may not inherit from the caller's flags: widths, precision, generator.

    Threefry, because its bits are the same on every platform and under any sharding; rbg's are neither,
    and are no faster on a CPU.
    """
    with (
        jax.enable_x64(True),
        jax.default_matmul_precision("highest"),
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


def compute(
    experiment: Experiment, root: PRNGKeyArray, mesh: Mesh, blocks: list[int], limit: int
) -> dict[int, list[Row]]:
    """Statistics of the networks of as many blocks as there are devices at most, by block.

    Raises:
      MissingResource: if not even one network fits in memory.
    """
    size = experiment.block
    # A device without a block of its own gets networks beyond the limit, which cost nothing.
    first = np.full(mesh.size, limit, dtype=np.int32)
    first[: len(blocks)] = np.asarray(blocks, dtype=np.int32) * size
    program = _program(experiment.sample, mesh, size)
    try:
        result = jax.device_get(program(experiment.parameters, root, first, np.int32(limit)))
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise MissingResource(
            f"one network of {experiment.name!r} does not fit in memory: lower the width, rows or inputs"
        ) from None
    plain = {name: _plain(leaf, name in experiment.optional) for name, leaf in result.items()}
    rows = {}
    for position, block in enumerate(blocks):
        inside = range(position * size, position * size + min(size, limit - block * size))
        rows[block] = [{name: values[i] for name, values in plain.items()} for i in inside]
    return rows


def _plain(leaf: np.ndarray, optional: bool) -> list[Any]:
    """One value for each network; None, which JSON can hold, where one may lack it and it is no number."""
    if optional and not np.isfinite(leaf).all():
        lacking, leaf = ~np.isfinite(leaf), leaf.astype(object)
        leaf[lacking] = None
    return leaf.tolist()


@functools.lru_cache(maxsize=256)
def _program(sample: Sample, mesh: Mesh, size: int) -> Callable[..., dict[str, Any]]:
    def one(parameters: Any, root: PRNGKeyArray, network: Array, limit: Array) -> Statistics:
        shapes = jax.eval_shape(sample, parameters, root)
        return lax.cond(
            network < limit,
            lambda: sample(parameters, keys.fold(root, network)),
            lambda: {name: jnp.zeros(leaf.shape, leaf.dtype) for name, leaf in shapes.items()},
        )

    def device(parameters: Any, root: PRNGKeyArray, first: Array, limit: Array) -> Statistics:
        return lax.map(
            lambda network: one(parameters, root, network, limit),
            first[0] + jnp.arange(size, dtype=first.dtype),
        )

    return jax.jit(
        jax.shard_map(
            device,
            mesh=mesh,
            in_specs=(P(), P(), P(AXIS), P()),
            out_specs=P(AXIS),
            check_vma=False,  # the two branches of the cond differ in what they vary over
        )
    )
