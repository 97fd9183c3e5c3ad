"""What the numbers of a run depend on, and what is written beside them."""

from __future__ import annotations

import functools
from typing import Any

from jax.sharding import Mesh

from signmag_jax.evidence.compiling import in_force
from signmag_jax.evidence.provenance import processor, threads, versions

from .network import Experiment
from .prefix import Prefix


def identity_of(experiment: Experiment, seed: int, mesh: Mesh) -> dict[str, Any]:
    """What a record's numbers depend on: no number of devices, no target."""
    device = mesh.devices.flat[0]
    return {
        "experiment": experiment.name,
        "arguments": dict(experiment.arguments),
        "seed": seed,
        "block": experiment.block,
        "device": f"{device.platform}: {device.device_kind}",
        # Vector units and caches decide how a processor's matrix products are split.
        "processor": processor() if device.platform == "cpu" else "any",
        # Matrix products are split differently only between one thread and more than one.
        "threads": "1" if threads() == 1 else "2 or more",
        "compiled": in_force(),
        "versions": _versions("signmag_jax", "jax", "jaxlib"),
    }


def provenance_of(
    experiment: Experiment, seed: int, mesh: Mesh, prefix: Prefix, ended: str
) -> dict[str, Any]:
    """What is written beside the estimates."""
    device = mesh.devices.flat[0]
    return {
        "experiment": experiment.name,
        **experiment.arguments,
        "seed": seed,
        "networks": prefix.tally.count,
        # Those that were left out, before them in the order.
        **({"pilot": prefix.pilot} if prefix.pilot else {}),
        "stopped_by": ended,
        "device": {"kind": device.device_kind, "platform": device.platform, "count": mesh.size},
        "processor": processor(),
        "threads": threads(),
        "versions": _versions("signmag_jax", "jax", "jaxlib", "numpy", "python"),
    }


@functools.cache
def _versions(*names: str) -> dict[str, str]:
    known = versions()
    return {name: known[name] for name in names}
