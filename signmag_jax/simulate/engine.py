"""Independent networks over any number of devices, and of processes that share a folder: the same bits.

Each network is keyed by its index. A device computes one block of consecutive networks at a time by
`lax.map`, on an accelerator many in each step; how many make a block and a step depends on the platform and
the experiment alone, so a network's program, and with it every rounding, is the same for 1 and for 8 devices.
(A batch that followed the number of devices would change the shapes of the matrix products, and with them
their bits.) An accelerator is given its next block before the last is fetched, and never waits for the host.

What holds: the result is the same to the last bit for any number of devices and processes, and for a run
that was killed anywhere and resumed, because every network is computed by the same program and merged on
the host in float64, in the order of its index. Where that ends: on another platform or processor, with
other versions of JAX, or with one thread instead of at least two, a matrix product may be summed in
another order; records that differ in one of these are refused by name. A stop at a time
depends on how fast the machine was, and the result says so.
"""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray

from signmag_jax.evidence import Incomplete, keys
from signmag_jax.evidence.compiling import compiling_for
from signmag_jax.evidence.progress import progress

from . import batch
from .block_records import BlockRecords
from .identity import identity_of, provenance_of
from .network import Columns, Experiment, networks_in
from .prefix import Prefix
from .program import check_mesh, dispatch, fixed_numerics, flat
from .share import ShareDone, check_share, has_enough
from .stop import FEWEST, Stop
from .tally import Tally


class Options(TypedDict, total=False):
    """What every experiment takes besides its own arguments.

    Memory does not grow with the number of networks, and time grows in proportion to it.

    Args:
      networks: number of networks; 64 if no other target is given.
      standard_error: simulate as many networks as bring the primary estimate (its worst element) to this
        standard error, 32 at least; how many, a pilot of 32 others says, which then are left out. What was
        computed beyond is discarded.
      max_networks: number of networks at which the run ends in any case, as incomplete where a standard error
        was asked for; 100,000 by default.
      seconds: stop after this wall time, in seconds (the result says that it is not reproducible).
      seed: root of all random keys, 0 by default.
      resume: folder that keeps finished networks; what it holds is not computed again.
      share: (I, N) for one of N processes that share the folder: compute the blocks of networks that are I
        modulo N, counted from 0, and end with `ShareDone` in place of a result. With a standard error, a
        share stops when the records without a gap meet it, or when N times its own networks would. A last
        run without a share gives the result, with the bits of one process.
      mesh: devices, of any shape; all local ones by default. The numbers do not depend on it.
    """

    networks: int | None
    standard_error: float | None
    max_networks: int | None
    seconds: float | None
    seed: int
    resume: str | Path | None
    share: tuple[int, int] | None
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
    share: tuple[int, int] | None = None,
    mesh: Any = None,
) -> tuple[Tally, dict[str, Any]]:
    """Simulate until a target is met; returns the merged statistics and their provenance.

    Args: as in `Options`.

    Raises:
      InvalidInput: if a target is impossible, or `resume` holds another run.
      Incomplete: if the target is out of reach; the records are kept.
      ShareDone: at the end of a share.
    """
    stop = Stop(networks, standard_error, max_networks, seconds)
    stop.check(experiment)
    check_mesh(mesh)
    check_share(share, resume)
    keys.check_seed(seed)
    if _preparing.get():
        raise _Prepared(experiment, stop)
    mesh = flat(mesh)
    prefix, deadline = Prefix(experiment, stop), _deadline(stop)
    ended = "time (not reproducible)" if stop.seconds is not None else "target"
    with (
        compiling_for(mesh.devices.flat[0].platform),
        fixed_numerics(),
        progress(experiment.name, stop.total) as advance,
    ):
        # By name, so that experiments of one seed are independent of each other.
        root = keys.fold(keys.root(seed), experiment.name)
        kept = BlockRecords(experiment, resume, identity_of(experiment, seed, mesh), stop.limit)
        begin = functools.partial(_begin, experiment, root, mesh, limit=stop.limit, kept=kept)
        if share is not None:
            raise _work_through(experiment, mesh, stop, kept, share, begin, advance)
        for first, rows in _blocks(experiment, mesh, stop, begin):
            before = prefix.count
            finished = prefix.add(first, rows)
            advance(prefix.count - before, prefix.note())
            if finished:
                ended = "target"
                break
            # However short the time, there are as many networks as a standard error takes.
            if time.monotonic() > deadline and prefix.tally.count >= FEWEST:
                _require_flips(experiment, prefix)
                break
    return prefix.tally, provenance_of(experiment, seed, mesh, prefix, ended)


class _Prepared(Exception):
    """Carries what `run` would simulate out of a call; it is no error."""

    def __init__(self, experiment: Experiment, stop: Stop) -> None:
        super().__init__()
        self.experiment, self.stop = experiment, stop


_preparing: ContextVar[bool] = ContextVar("preparing", default=False)


def prepared(call: Callable[[], Any]) -> tuple[Experiment, Stop]:
    """What `call` would simulate and when it would stop, all arguments checked and nothing computed.

    Raises:
      InvalidInput: as `call` does.
    """
    token = _preparing.set(True)
    try:
        call()
    except _Prepared as raised:
        return raised.experiment, raised.stop
    finally:
        _preparing.reset(token)
    raise AssertionError("a call that simulates nothing prepares none")


def _require_flips(experiment: Experiment, prefix: Prefix) -> None:
    if prefix.tally.count < experiment.fewest:
        raise Incomplete(
            f"{prefix.tally.count} networks at the end of the time, {experiment.fewest} are needed for "
            f"{experiment.fewest_flips:g} flips: raise the time, the rate or the sizes"
        )


# Statistics of as many blocks as there are devices at most, once they are waited for.
Fetch = Callable[[], dict[int, Columns]]
Begin = Callable[[list[int]], Fetch]


def _blocks(experiment: Experiment, mesh: Mesh, stop: Stop, begin: Begin) -> Iterator[tuple[int, Columns]]:
    """Every block in order: its first network and the statistics of all of them."""
    size = experiment.block
    blocks = range(-(-stop.limit // size))
    steps = [list(blocks[start : start + mesh.size]) for start in range(0, len(blocks), mesh.size)]
    for step, done in _in_order(steps, begin):
        for block in step:
            yield block * size, done[block]


def _in_order(steps: Iterable[list[int]], begin: Begin) -> Iterator[tuple[list[int], dict[int, Columns]]]:
    """Steps of blocks and their statistics, the next one begun before the last is waited for.

    What is begun and never fetched, since the run has ended, is in no record and in no result.
    """
    begun = deque[tuple[list[int], Fetch]]()
    for step in steps:
        begun.append((step, begin(step)))
        if len(begun) > batch.ahead():
            first, fetch = begun.popleft()
            yield first, fetch()
    for step, fetch in begun:
        yield step, fetch()


def _work_through(
    experiment: Experiment,
    mesh: Mesh,
    stop: Stop,
    kept: BlockRecords,
    share: tuple[int, int],
    begin: Begin,
    advance: Callable[..., None],
) -> ShareDone:
    """Do a share's blocks in order, until the prefix or its own networks say that there are enough.

    The stopping rule reads what all shares have recorded up to the first gap, so that whatever it raises or
    decides is what one process alone would have.
    """
    (index, count), size, deadline = share, experiment.block, _deadline(stop)
    blocks = range(-(-stop.limit // size))
    mine, done = blocks[index::count], list[int]()
    prefix, own, position = Prefix(experiment, stop), Tally(experiment.optional), 0
    why = "all of its blocks"
    # No block at first: what is recorded already may be enough.
    starts = range(-mesh.size, len(mine), mesh.size)
    steps = [list(mine[max(start, 0) : start + mesh.size]) for start in starts]
    for step, rows in _in_order(steps, begin):
        try:
            for block in step:
                own.add(block * size, rows[block])
                done.append(block)
                advance(networks_in(rows[block]))
        # Whether the run needs that network is for the stopping rule to say, in the last run.
        except Incomplete as undefined:
            why = str(undefined)
            break
        finished = False
        while not finished and position < len(blocks) and (known := kept.read([position])):
            finished = prefix.add(position * size, known[position])
            position += 1
        if finished and prefix.count < stop.limit:
            why = "the target is met"
            break
        if has_enough(experiment, stop, own, count):
            why = "as many shares like this one meet the target"
            break
        if time.monotonic() > deadline:
            why = "time"
            break
    recorded = range(position, max(done, default=-1) + 1)
    missing = [block for block in recorded if block % count != index and not kept.read([block])]
    return ShareDone(share, done, missing, why)


def _deadline(stop: Stop) -> float:
    return time.monotonic() + (stop.seconds or np.inf)


def _begin(
    experiment: Experiment,
    root: PRNGKeyArray,
    mesh: Mesh,
    blocks: list[int],
    *,
    limit: int,
    kept: BlockRecords,
) -> Fetch:
    """Begin to compute the blocks that have no records; the others are read."""
    done = kept.read(blocks)
    missing = [block for block in blocks if block not in done]
    if not missing:
        return lambda: done
    computed = dispatch(experiment, root, mesh, missing, limit)

    def fetch() -> dict[int, Columns]:
        done.update(computed())
        for block in missing:
            kept.write(block, done[block])
        return done

    return fetch
