"""Where a process stands among those that share a simulation: as it was told, or as it was started.

JAX detects launchers, too (`jax._src.clusters`), and knows the address of process 0 under each of them; it
is asked for that. It does not see Open MPI 5 and MPICH, nor that a single task of an allocation is alone,
and what is set by half it answers with a traceback: counts and indices are read here.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from signmag_jax.evidence import MissingResource
from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.errors import invalid

PATIENCE = 120.0
ALONE = "or ask for one process to run this one alone (--processes 1)"
BY_HAND = "name coordinator, processes and process (--coordinator, --processes, --process)"


@dataclass(frozen=True)
class Place:
    """One process among several.

    Args:
      coordinator: HOST:PORT at which process 0 listens.
      processes: how many there are.
      process: which one this is, from 0.
      devices: numbers of the accelerators of its machine that are its own; None for all.
    """

    coordinator: str
    processes: int
    process: int
    devices: list[int] | None = None


@dataclass(frozen=True)
class Started:
    """What a launcher tells the processes that it started.

    Args:
      by: the launcher.
      processes, process, devices: as in `Place`.
      cluster: what JAX knows of it, by the name of its class; empty where it knows nothing.
    """

    by: str
    processes: int
    process: int
    devices: list[int] | None
    cluster: str

    def address(self, timeout: float) -> str:
        """HOST:PORT at which process 0 listens.

        Raises:
          MissingResource: if the launcher does not tell.
        """
        if not self.cluster:
            raise MissingResource(
                f"{self.by} started {self.processes} processes, but does not tell where process 0 is: give "
                f"the address of its machine to all (--coordinator HOST:PORT), {ALONE}"
            )
        return str(_asked(self.by, lambda: _address(self.cluster, timeout)))


def find(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    timeout: float = PATIENCE,
) -> Place:
    """The place of this process; what is not given, its launcher tells.

    Raises:
      InvalidInput: for a place that cannot be.
      MissingResource: if nothing tells what is not given, or its launcher tells only half.
    """
    check_place(coordinator, processes, process, timeout)
    if coordinator is not None and processes is not None and process is not None:
        return Place(coordinator, processes, process)
    found = started() or _kubernetes()
    if found is None:
        raise MissingResource(
            "no Slurm, Open MPI, Cloud TPU or Kubernetes tells where the other processes are: " + BY_HAND
        )
    place = Place(
        found.address(timeout) if coordinator is None else coordinator,
        found.processes if processes is None else processes,
        found.process if process is None else process,
        found.devices,
    )
    check_place(place.coordinator, place.processes, place.process)
    return place


def check_place(
    coordinator: str | None, processes: int | None, process: int | None, timeout: float = PATIENCE
) -> None:
    """Refuse a place among processes that cannot be.

    Raises:
      InvalidInput: for an address without host or port, a process out of range, or no time at all.
    """
    if coordinator is not None:
        host, _, port = coordinator.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise invalid("coordinator is HOST:PORT", coordinator, "for instance 10.0.0.1:1234")
    for name, value, least in (("processes", processes, 1), ("process", process, 0)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise invalid(f"{name} is an integer >= {least}", value, "count processes from 0")
    if process is not None and processes is not None and process >= processes:
        raise invalid("process < processes", f"{process} of {processes}", "count processes from 0")
    if coordinator is None and (process is not None or (processes or 1) > 1):
        raise invalid(
            "coordinator with processes and process", None, "pass the address of process 0, HOST:PORT"
        )
    Interval(1.0, fix="wait at least a second for the others").require("timeout", timeout)


def started() -> Started | None:
    """What the launcher of this process tells it, if one has started several of them.

    Raises:
      MissingResource: if it tells only half, or nonsense.
    """
    return _open_mpi() or _slurm() or _mpich() or _cloud_tpu()


def _open_mpi() -> Started | None:
    by = "Open MPI"
    count = _number(by, "OMPI_COMM_WORLD_SIZE", 1)
    if count == 1:
        return None
    local = _number(by, "OMPI_COMM_WORLD_LOCAL_RANK")
    crowded = _number(by, "OMPI_COMM_WORLD_LOCAL_SIZE", 2) > 1
    # Version 5 no longer says where its first process is.
    cluster = "OmpiCluster" if "OMPI_MCA_orte_hnp_uri" in os.environ else ""
    return Started(by, count, _rank(by, "OMPI_COMM_WORLD_RANK", count), _own(local, crowded), cluster)


def _slurm() -> Started | None:
    # A batch script, too, has a number of tasks; only a step has its own list of nodes.
    if "SLURM_STEP_NODELIST" not in os.environ:
        return None
    by = "Slurm"
    # The shell of an allocation is a step of one task, whatever number the allocation has.
    count = _number(by, "SLURM_STEP_NUM_TASKS", _number(by, "SLURM_NTASKS", 1))
    if count == 1:
        return None
    _number(by, "SLURM_JOB_ID")
    local, nodes = _number(by, "SLURM_LOCALID"), _number(by, "SLURM_STEP_NUM_NODES", 1)
    return Started(by, count, _rank(by, "SLURM_PROCID", count), _own(local, count > nodes), "SlurmCluster")


def _mpich() -> Started | None:
    by = "MPICH"
    count = _number(by, "PMI_SIZE", 1)
    if count == 1:
        return None
    local, crowded = _number(by, "MPI_LOCALRANKID", 0), _number(by, "MPI_LOCALNRANKS", 1) > 1
    return Started(by, count, _rank(by, "PMI_RANK", count), _own(local, crowded), "")


def _cloud_tpu() -> Started | None:
    from jax._src import clusters

    by = "Cloud TPU"
    names = "TPU_PROCESS_ADDRESSES" if os.environ.get("TPU_PROCESS_ADDRESSES") else "TPU_WORKER_HOSTNAMES"
    workers = os.environ.get(names, "").count(",") + 1
    if workers > 1:
        _number(by, "TPU_WORKER_ID")
    for cluster in ("GkeTpuCluster", "GceTpuCluster"):
        known = getattr(clusters, cluster)
        # Without a metadata server, which rented notebooks lack, a machine is alone.
        with contextlib.suppress(Exception) if workers == 1 else contextlib.nullcontext():
            if _asked(by, known.is_env_present):
                count = _asked(by, known.get_process_count)
                if count == 1:
                    return None
                return Started(by, count, _asked(by, known.get_process_id), None, cluster)
    if workers > 1:
        raise MissingResource(
            f"{names} names {workers} workers, but JAX finds no TPU here: install jax[tpu], {BY_HAND}, "
            f"{ALONE}"
        )
    return None


def _kubernetes() -> Started | None:
    """An indexed job, whose pods may also be meant to work alone: taken only by who asks to be connected."""
    if "KUBERNETES_SERVICE_HOST" not in os.environ or "JOB_COMPLETION_INDEX" not in os.environ:
        return None
    from jax._src import clusters

    by = "Kubernetes"
    if not _asked(by, clusters.K8sCluster.is_env_present):
        return None
    count = _asked(by, clusters.K8sCluster.get_process_count)
    return Started(by, count, _asked(by, clusters.K8sCluster.get_process_id), None, "K8sCluster")


def _address(cluster: str, timeout: float) -> str:
    from jax._src import clusters

    return getattr(clusters, cluster).get_coordinator_address(
        timeout_secs=timeout, override_coordinator_port=os.environ.get("JAX_COORDINATOR_PORT")
    )


def _asked(by: str, question: Callable[[], Any]) -> Any:
    """What JAX answers, whose complaints are of many kinds."""
    try:
        return question()
    except Exception as error:
        said = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise MissingResource(f"{by} does not tell where the processes are ({said}): {BY_HAND}") from None


def _number(by: str, name: str, default: int | None = None) -> int:
    """A whole number of the environment, which must be there if it has no default."""
    text = os.environ.get(name)
    if text is None and default is not None:
        return default
    if text is None or not text.isdecimal():
        found = "is not set" if text is None else f"is {text!r}, which is no whole number"
        raise MissingResource(f"{by} started this process, but {name} {found}: {BY_HAND}, {ALONE}")
    return int(text)


def _rank(by: str, name: str, count: int) -> int:
    rank = _number(by, name)
    if rank >= count:
        raise MissingResource(
            f"{by} started this process, but {name} is {rank} of {count} processes, which count from 0: "
            f"{BY_HAND}, {ALONE}"
        )
    return rank


def _own(local: int, crowded: bool) -> list[int] | None:
    """Processes that share a machine take one accelerator each, as with JAX; all, where it shows one only."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    bound = seen is not None and "," not in seen
    return [local] if crowded and not bound else None
