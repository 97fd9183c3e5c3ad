"""Independent networks over any number of devices and processes, with the same bits.

Each network is keyed by its index. A device computes one block of consecutive networks at a time by
`lax.map`; how many make a block depends on the experiment alone, so a network's program, and with it
every rounding, is the same for 1 and for 8 devices. (A vmap over networks would change the shapes of
the matrix products, and with them their bits, with the number of devices.)

What holds: the result is the same to the last bit for any number of devices and processes, and for a run
that was killed anywhere and resumed, because every network is computed by the same program and merged on
the host in float64, in the order of its index. Where that ends: on another platform or processor, with
other versions of JAX, or with one thread instead of at least two, a matrix product may be summed in
another order; records and processes that differ in one of these are refused by name. A stop at a time
depends on how fast the machine was, and the result says so.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray

from signmag_jax.evidence import Incomplete, keys
from signmag_jax.evidence.progress import progress

from . import processes
from .identity import identity_of, provenance_of
from .kept import Kept
from .network import Experiment, Row
from .program import check_mesh, compute, fixed_numerics, flat
from .stop import FEWEST, Stop
from .tally import Tally


class Options(TypedDict, total=False):
    """What every experiment takes besides its own arguments.

    Memory does not grow with the number of networks, and time grows in proportion to it.

    Args:
      networks: how many; 64 if no other target is given.
      standard_error: stop when the primary estimate (its worst element) has this standard error, after
        32 networks at the earliest. What was computed beyond the network that met it is discarded.
      max_networks: raise Incomplete rather than simulate more for a standard error, or stop there before a
        time; 100,000 by default.
      seconds: stop at this wall time (the result says that it is not reproducible).
      seed: root of all random keys, 0 by default.
      resume: folder that keeps finished networks; what it holds is not computed again.
      mesh: devices, of any shape; all local ones by default. The numbers do not depend on it.
    """

    networks: int | None
    standard_error: float | None
    max_networks: int | None
    seconds: float | None
    seed: int
    resume: str | Path | None
    mesh: Mesh | None


def run(
    experiment: Experiment,
    *,
    networks: int | None = None,
    standard_error: float | None = None,
    max_networks: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    resume: str | Path | None = None,
    mesh: Any = None,
) -> tuple[Tally, dict[str, Any]]:
    """Simulate until a target is met; returns the merged statistics and their provenance.

    After `simulate.connect`, the work is shared with the other processes and each returns the same.

    Args: as in `Options`.

    Raises:
      InvalidInput: if a target is impossible, `resume` holds another run, or another process was asked
        for another one.
      Incomplete: if the target is out of reach, or another process has stopped; the records are kept.
    """
    stop = Stop(networks, standard_error, max_networks, seconds)
    check_mesh(mesh)
    keys.check_seed(seed)
    if _planning.get():
        raise _Planned(experiment, stop)
    mesh = flat(mesh)
    tally = Tally()
    ended = "time (not reproducible)" if stop.seconds is not None else "target"
    with fixed_numerics(), progress(experiment.name, stop.total) as advance, processes.meet() as meeting:
        root = keys.fold(keys.root(seed), experiment.name)
        identity = identity_of(experiment, seed, mesh)
        kept = Kept(experiment, resume, identity, stop.limit)
        span = _span(meeting, mesh, identity, stop)
        for first, rows in _blocks(experiment, root, mesh, stop, kept, meeting, span):
            before = tally.count
            finished = _merge(experiment, tally, stop, first, rows)
            note = _note(experiment, tally)
            advance(tally.count - before, note)
            meeting.watch(tally.count, note)
            if finished:
                ended = "target"
                break
        _agree(meeting, tally)
    return tally, provenance_of(experiment, seed, mesh, meeting.count, tally.count, ended)


class _Planned(Exception):
    """Not an error: how `run` hands over what it would simulate."""

    def __init__(self, experiment: Experiment, stop: Stop) -> None:
        super().__init__()
        self.experiment, self.stop = experiment, stop


_planning: ContextVar[bool] = ContextVar("planning", default=False)


def plan(call: Callable[[], Any]) -> tuple[Experiment, Stop]:
    """What `call` would simulate and when it would stop, all arguments checked and nothing computed.

    Raises:
      InvalidInput: as `call` does.
    """
    token = _planning.set(True)
    try:
        call()
    except _Planned as planned:
        return planned.experiment, planned.stop
    finally:
        _planning.reset(token)
    raise AssertionError("a call that simulates nothing has no plan")


def _merge(experiment: Experiment, tally: Tally, stop: Stop, first: int, rows: list[Row]) -> bool:
    """Merge a block network by network until the target is met; says whether it is."""
    for network, row in enumerate(rows, start=first):
        tally.add(network, row)
        if stop.standard_error is not None and tally.count >= FEWEST:
            _, error = experiment.target(tally)
            if stop.reached(error):
                return True
            stop.require_within_reach(tally.count, error, _note(experiment, tally))
    return tally.count >= stop.limit


Meeting = processes.Meeting | processes.Alone


def _span(meeting: Meeting, mesh: Mesh, identity: dict[str, Any], stop: Stop) -> int:
    """Blocks between two steps of the processes, once they have agreed on what they do.

    Raises:
      InvalidInput: if they were asked for different runs.
    """
    asked = {**identity, **dataclasses.asdict(stop), "processes": meeting.count}
    found = meeting.gather({"asked": asked, "devices": mesh.size})
    processes.same([one["asked"] for one in found])
    meeting.watch(0, "")
    return meeting.count * max(one["devices"] for one in found)


def _agree(meeting: Meeting, tally: Tally) -> None:
    """Make sure that all processes end with the same bits, which also keeps the first until the last."""
    if len(set(meeting.gather(tally.digest()))) > 1:
        raise Incomplete(
            "the processes have merged the same networks to different bits: run all of them on the same kind "
            "of processor, or one alone"
        )


def _blocks(
    experiment: Experiment,
    root: PRNGKeyArray,
    mesh: Mesh,
    stop: Stop,
    kept: Kept,
    meeting: Meeting,
    span: int,
) -> Iterator[tuple[int, list[Row]]]:
    """Every block in order, computed or read by one process: its first network and their statistics."""
    size, deadline = experiment.block, time.monotonic() + (stop.seconds or np.inf)
    blocks = -(-stop.limit // size)
    for start in range(0, blocks, span):
        step = range(start, min(start + span, blocks))
        mine = [block for block in step if block % meeting.count == meeting.index]
        done: dict[int, list[Row]] = {}
        for few in range(0, len(mine), mesh.size):
            done.update(_obtain(experiment, root, mesh, mine[few : few + mesh.size], stop.limit, kept))
        found = meeting.gather({"rows": [done[block] for block in mine], "late": time.monotonic() > deadline})
        for block in step:
            rows = found[block % meeting.count]["rows"]
            yield block * size, rows[(block - start) // meeting.count]
        # The first one's clock counts for all.
        if found[0]["late"] and step.stop * size >= FEWEST:
            return


def _obtain(
    experiment: Experiment, root: PRNGKeyArray, mesh: Mesh, blocks: list[int], limit: int, kept: Kept
) -> dict[int, list[Row]]:
    """Statistics of as many blocks as there are devices at most, from their records where there are any."""
    done = kept.read(blocks)
    missing = [block for block in blocks if block not in done]
    if missing:
        done.update(compute(experiment, root, mesh, missing, limit))
    for block in missing:
        kept.write(block, done[block])
    return done


def _note(experiment: Experiment, tally: Tally) -> str:
    try:
        value, error = experiment.target(tally)
    except Incomplete:
        return ""  # too few networks so far for a standard error
    worst = int(np.argmax(error))
    return f"{np.ravel(value)[worst]:.5g} ± {np.ravel(error)[worst]:.2g}"
