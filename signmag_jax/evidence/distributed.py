"""JAX's own runtime for several processes."""

from __future__ import annotations

import os

import jax

from .errors import InvalidInput, MissingResource


def start() -> tuple[int, int]:
    """Connect this process with the others; its index, from 0, and how many there are.

    To be called before JAX computes anything. Who the others are is what JAX detects (Slurm, Open MPI, Cloud
    TPU, Kubernetes), or what the variables JAX_COORDINATOR_ADDRESS (HOST:PORT of process 0),
    JAX_NUM_PROCESSES and JAX_PROCESS_ID say. A process that is lost ends the others, without a result.

    Raises:
      InvalidInput: for variables that are no numbers, or if JAX has already computed something.
      MissingResource: if nothing tells where the others are, or they cannot be reached.
    """
    if not jax.distributed.is_initialized():
        count, index = _number("JAX_NUM_PROCESSES"), _number("JAX_PROCESS_ID")
        try:
            jax.distributed.initialize(num_processes=count, process_id=index)
        # What JAX raises differs between launchers and versions.
        except (RuntimeError, ValueError, OSError, KeyError) as error:
            why = (str(error).splitlines() or [type(error).__name__])[0]
            raise MissingResource(
                f"JAX cannot connect the processes ({why}): start them under Slurm or Open MPI, or set "
                "JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, before anything is computed"
            ) from None
    return jax.process_index(), jax.process_count()


def _number(name: str) -> int | None:
    """The value of a variable that JAX does not read itself in every version; None where it is not set."""
    raw = os.environ.get(name)
    if raw is None:
        return None
    if not raw.isdecimal():
        raise InvalidInput(f"{name} is a whole number, not {raw!r}: count the processes from 0")
    return int(raw)
