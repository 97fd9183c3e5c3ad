"""One process's part of a run that several processes share through a folder.

The processes need not run at the same time, nor know of each other: each computes blocks of its own and reads
what the folder holds. The result is that of a last run without a share, which reads all the records, computes
what is missing, and gives the bits of a single process.
"""

from __future__ import annotations

from typing import Any

from signmag_jax.evidence import Incomplete
from signmag_jax.evidence.errors import invalid

from .network import Experiment
from .stop import Stop, pilot
from .tally import Tally


class ShareDone(Incomplete):
    """A share has done its part. There is no estimate: only a run without a share makes one.

    Args:
      share: the process's index and the number of processes.
      done: blocks of this share that the folder now holds.
      missing: blocks before the last of all recorded ones that other shares, or the last run, still compute.
      why: what ended the share.
    """

    def __init__(self, share: tuple[int, int], done: list[int], missing: list[int], why: str) -> None:
        self.share, self.done, self.missing, self.why = share, done, missing, why
        super().__init__(
            f"share {share[0]}/{share[1]}: {len(done)} blocks done ({why}); {len(missing)} blocks of other "
            "shares are still missing: a run without --share reads the folder and gives the result"
        )

    def to_json(self) -> dict[str, Any]:
        """A strict-JSON object."""
        return {
            "share": f"{self.share[0]}/{self.share[1]}",
            "done": self.done,
            "missing": self.missing,
            "ended": self.why,
        }


def check_share(share: Any, resume: Any) -> None:
    """Refuse a share that cannot be, or that has no folder.

    Raises:
      InvalidInput: naming what must hold.
    """
    if share is None:
        return
    whole = isinstance(share, tuple) and len(share) == 2 and all(type(number) is int for number in share)
    if not whole or not 0 <= share[0] < share[1]:
        raise invalid("share is I/N with 0 <= I < N", share, "count the shares from 0: 0/4 to 3/4")
    if resume is None:
        raise invalid("a folder with a share", resume, "name one that all shares see (--resume DIR)")


def parse_share(text: str) -> tuple[int, int]:
    """I/N as it is typed.

    Raises:
      InvalidInput: for anything else.
    """
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise invalid("share is I/N with 0 <= I < N", text, "count the shares from 0: 0/4 to 3/4")
    return int(index), int(count)


def has_enough(experiment: Experiment, stop: Stop, own: Tally, count: int) -> bool:
    """Whether `count` shares like this one, all together, would meet a target standard error.

    A share whose predecessors in the order are not there yet cannot apply the stopping rule. Its own networks
    are a fair sample of all, and say how many networks the target takes. With as many among `count` shares
    like it, it stops; the rule itself is left to the last run, which computes the few that may be missing.
    """
    if stop.standard_error is None or own.rarest < pilot(experiment):
        return False
    try:
        _, error = experiment.target(own)
    except Incomplete:
        return False
    enough = max(stop.planned(own, error), experiment.fewest) + pilot(experiment)
    return own.count * count >= enough
