"""Several processes that share one simulation and all end with its result.

Networks are split by the index of their block. What a process finds, it tells the others as bytes through
the key-value store of JAX's coordination service, and each merges everything in network order. No float
passes through a collective, whose sums would depend on how many processes there are.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import socket
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import jax

from signmag_jax.evidence import Incomplete, MissingResource
from signmag_jax.evidence.errors import invalid
from signmag_jax.evidence.records import different

from .place import PATIENCE, Place, check_place, find

# How long a process that gives up waits for the others to read why.
FAREWELL_MS = 5_000
# How long the first process, when it has failed, serves each of the others until that has said all, too.
SERVICE_MS = 15_000
# Between two looks at a key, so that Ctrl-C is heard.
LOOK_MS = 1_000

Watch = Callable[[int, str], None]


def _unwatched(networks: int, estimate: str) -> None:
    pass


@dataclass
class Crew:
    """The processes that this one works with.

    Args:
      index: of this process, from 0.
      count: of all.
      client: of the coordination service.
      watch: told after each step how many networks are merged, and the estimate so far.
    """

    index: int
    count: int
    client: Any
    watch: Watch = _unwatched
    _meetings: Iterator[int] = field(default_factory=itertools.count)
    _left: bool = False

    def meet(self) -> Meeting:
        """Begin the next simulation. All processes run the same ones, in the same order."""
        return Meeting(self, f"signmag/{next(self._meetings)}")

    def leave(self, error: BaseException) -> None:
        """Tell the others, in the simulation that they begin next, why this process takes no part."""
        if not self._left:
            self.meet().leave(error)

    def go(self) -> None:
        """The last act of a process that has said all: the first, if it failed, awaits that of the others.

        Else JAX would end them from C++ before their own last words.
        """
        gone = "signmag/gone/{}".format
        with contextlib.suppress(jax.errors.JaxRuntimeError):  # some are lost, or wait no longer
            if self.index > 0:
                self.client.key_value_set_bytes(gone(self.index), b"", allow_overwrite=True)
            for process in range(1, self.count) if self.index == 0 else ():
                self.client.blocking_key_value_get_bytes(gone(process), SERVICE_MS)


_crew: Crew | None = None


def connect(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    *,
    timeout: float = PATIENCE,
    watch: Watch = _unwatched,
) -> Crew:
    """Let every later simulation of this process be shared with others, started in the same way.

    Call it once, before JAX computes anything, in each process. All must then run the same simulations in
    the same order, one at a time; each ends with the same result, the bits that one process alone gets
    (same platform and processor, same versions, at least two threads each: what differs is refused by
    name). If a process raises, the others raise Incomplete with its reason. If one dies or falls silent, JAX
    ends the rest from C++: only a parent process can say so in words, as `signmag simulate` does.

    Args:
      coordinator: HOST:PORT at which process 0 listens. Without it, Slurm, Open MPI 4, Cloud TPU or
        Kubernetes tell all three; Open MPI 5 and MPICH tell the other two.
      processes: how many there are.
      process: which one this is, from 0.
      timeout: seconds until an absent process is given up, and until a silent one counts as lost.
      watch: told after each step how many networks are merged, and the estimate so far.

    Raises:
      InvalidInput: for a place that cannot be, or if JAX has already computed something.
      MissingResource: if nothing tells where the others are, or they cannot be reached.
    """
    global _crew
    check_place(coordinator, processes, process, timeout)
    if not jax.distributed.is_initialized():
        _initialize(find(coordinator, processes, process, timeout), math.ceil(timeout))
    from jax._src import distributed

    state = distributed.global_state
    _crew = Crew(state.process_id, state.num_processes, state.client, watch)
    return _crew


def _initialize(place: Place, seconds: int) -> None:
    # Gloo writes to standard output, and nothing here is ever summed over processes.
    jax.config.update("jax_cpu_collectives_implementation", None)
    # It would take SIGTERM away from whoever runs this.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        if place.process == 0:
            _require_free(place.coordinator)
        jax.distributed.initialize(
            place.coordinator,
            place.processes,
            place.process,
            place.devices,
            cluster_detection_method="deactivate",
            initialization_timeout=seconds,
            heartbeat_timeout_seconds=seconds,
            shutdown_timeout_seconds=min(seconds, 10),
        )
    except (jax.errors.JaxRuntimeError, OSError) as error:
        why = getattr(error, "strerror", None) or _first_line(error)
        raise MissingResource(
            f"processes cannot meet at {place.coordinator!r} ({why}): give an address of process 0 that is "
            "free and reachable"
        ) from None
    except RuntimeError as error:
        raise invalid(
            "connect before JAX computes", _first_line(error), "let it be the first call after the import"
        ) from None


def _require_free(coordinator: str) -> None:
    """Make sure that this process can listen: JAX's service crashes where it cannot.

    It would also share the port with another run's, and answer each other's processes.

    Raises:
      OSError: if it cannot.
    """
    port = int(coordinator.rpartition(":")[2])
    double = socket.has_dualstack_ipv6()
    with socket.socket(socket.AF_INET6 if double else socket.AF_INET) as probe:
        # As the service does: connections of an earlier run that fade away are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if double:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        probe.bind(("::" if double else "", port))


def crew() -> Crew | None:
    """The processes that this one is connected with, if it is."""
    return _crew


class Meeting:
    """One simulation of several processes: they gather, step by step, what each has found."""

    def __init__(self, crew: Crew, name: str) -> None:
        self.index, self.count, self.watch = crew.index, crew.count, crew.watch
        self._crew, self._client, self._name, self._step = crew, crew.client, name, 0

    def __enter__(self) -> Meeting:
        return self

    def __exit__(self, _: Any, error: BaseException | None, __: Any) -> None:
        if error is not None:
            self.leave(error)

    def gather(self, mine: Any) -> list[Any]:
        """What every process brings to this step, in their order; JSON, floats exact to the last bit.

        Raises:
          Incomplete: if one of them has left, with its reason.
        """
        self._put({"brings": mine}, self._step)
        brought = []
        for process in range(self.count):
            found = {"brings": mine} if process == self.index else self._get(process)
            if "left" in found:
                raise Incomplete(
                    f"process {process} of {self.count} stopped ({found['left']}); what is recorded is kept"
                )
            brought.append(found["brings"])
        # Who has brought something to this step has read all of the one before: the store stays small.
        if self._step > 0:
            self._client.key_value_delete(self._key(self.index, self._step - 1))
        self._step += 1
        return brought

    def leave(self, error: BaseException) -> None:
        """Tell the others why this process brings nothing more; wait a little until they have read it."""
        self._crew._left = True
        reason = _first_line(error) or "it was interrupted"
        try:
            # Over what it had brought to this step, and at the next for those who have read that already.
            for step in (self._step, self._step + 1):
                self._put({"left": reason}, step)
            self._client.wait_at_barrier(f"{self._name}/left", FAREWELL_MS)
        except jax.errors.JaxRuntimeError:
            pass  # they have left already, or are too busy to hear it

    def _key(self, process: int, step: int) -> str:
        return f"{self._name}/{step}/{process}"

    def _put(self, plain: Any, step: int) -> None:
        content = zlib.compress(json.dumps(plain).encode(), 1)
        self._client.key_value_set_bytes(self._key(self.index, step), content, allow_overwrite=True)

    def _get(self, process: int) -> Any:
        while True:
            try:
                content = self._client.blocking_key_value_get_bytes(self._key(process, self._step), LOOK_MS)
            except jax.errors.JaxRuntimeError as error:
                if "DEADLINE_EXCEEDED" not in str(error):
                    raise Incomplete(f"the other processes are lost: {_first_line(error)}") from None
            else:
                return json.loads(zlib.decompress(content))


class Alone:
    """The meeting of one process."""

    index, count = 0, 1

    def __enter__(self) -> Alone:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def gather(self, mine: Any) -> list[Any]:
        """What it brings."""
        return [mine]

    def watch(self, networks: int, estimate: str) -> None:
        """Nobody watches."""


def meet() -> Meeting | Alone:
    """The meeting of the next simulation: with the crew, or alone where nothing is connected."""
    return Alone() if _crew is None else _crew.meet()


def same(descriptions: list[dict[str, Any]]) -> None:
    """Refuse processes that were not asked for the same, or cannot compute the same bits.

    Raises:
      InvalidInput: with the names of what differs from process 0.
    """
    first = descriptions[0]
    for process, other in enumerate(descriptions):
        changed = different(first, other)
        if changed:
            pairs = "; ".join(f"{name}: {mine!r} and {theirs!r}" for name, (mine, theirs) in changed.items())
            raise invalid(
                "all processes run the same simulation",
                f"processes 0 and {process} with different {pairs}",
                "give all the same options on the same hardware and versions",
            )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]
