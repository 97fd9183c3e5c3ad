"""JAX's own runtime for several processes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

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


def fault(error: Exception) -> str | None:
    """What to say where computing with other processes failed, as when one is lost; None for other errors."""
    if not isinstance(error, jax.errors.JaxRuntimeError) or jax.process_count() == 1:
        return None
    why = " ".join(str(error).split())[:200]
    return (
        f"computing with other processes failed ({why}): see what they say, mend it, and start them all again"
    )


def of_first(function: Callable[[], Any]) -> Any:
    """What a function returns in the first process, in all of them; none of the others calls it.

    Args:
      function: returns what JSON can hold.

    Raises:
      InvalidInput, MissingResource: in all processes, where the function raises it in the first.
    """
    answer: dict[str, Any] = {}
    if jax.process_index() == 0:
        try:
            answer = {"value": function()}
        except (InvalidInput, MissingResource) as error:
            answer = {"error": str(error), "missing": isinstance(error, MissingResource)}
    answer = json.loads(_sent(json.dumps(answer)))
    if "error" in answer:
        raise (MissingResource if answer["missing"] else InvalidInput)(answer["error"])
    return answer["value"]


def _sent(text: str) -> str:
    """The first process's text, in all of them."""
    from jax.experimental.multihost_utils import broadcast_one_to_all

    raw = text.encode()
    length = int(broadcast_one_to_all(np.asarray(len(raw), np.int32)))
    # Each length would be a program of its own.
    padded = np.zeros(1 << (length - 1).bit_length(), np.uint8)
    if jax.process_index() == 0:
        padded[:length] = np.frombuffer(raw, np.uint8)
    return broadcast_one_to_all(padded).tobytes()[:length].decode()


def _number(name: str) -> int | None:
    """The value of a variable that JAX does not read itself in every version; None where it is not set."""
    raw = os.environ.get(name)
    if raw is None:
        return None
    if not raw.isdecimal():
        raise InvalidInput(f"{name} is a whole number, not {raw!r}: count the processes from 0")
    return int(raw)
