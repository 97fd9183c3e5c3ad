"""The pieces of a run, simulated or measured, and their results, to which rows refer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from signmag_jax.evidence import Incomplete, timings

from .claim import Evidence, Missing, Supply

R = TypeVar("R")


@dataclass(frozen=True)
class Piece(Generic[R]):
    """A piece of a run with a result of its own. Two of one name are the same.

    Args:
      name: from it follow the piece's random numbers and the folder of its records.
    """

    name: str


@dataclass(frozen=True)
class Simulated(Piece[R]):
    """A piece that is simulated.

    Args:
      simulate: a function of `simulate` with its arguments bound, but for networks, seed and records.
      networks: how many; 0 leaves the experiment out.
      variant: tells apart simulations that share a name.
    """

    simulate: Callable[..., R] = field(compare=False)
    networks: int = field(compare=False)
    variant: str = ""

    @property
    def title(self) -> str:
        """The name of the piece, with its variant."""
        return ".".join(filter(None, (self.name, self.variant)))

    def run(self, seed: int, resume: Path | None) -> R | Missing:
        """The simulation's result, or why there is none."""
        if not self.networks:
            return Missing("NOT RUN", f"this level leaves the simulation {self.name} out")
        seed, folder = subseed(seed, self.name), records(resume, self.name)
        if self.variant:
            seed, folder = subseed(seed, self.variant), folder and f"{folder}.{self.variant}"
        try:
            with timings.part(self.title):
                return self.simulate(networks=self.networks, seed=seed, resume=folder)
        except Incomplete as reason:
            return Missing("UNRESOLVED", str(reason))


class Results:
    """What the pieces of a run gave, or why they gave nothing.

    Args:
      results: by piece; a row that refers to another piece is a mistake, and a `KeyError`.
      model: name of the measured model.
    """

    def __init__(self, results: Mapping[Any, Any], model: str = "no model") -> None:
        self._results = results
        self.model = model

    def __getitem__(self, piece: Piece[R]) -> R | Missing:
        return self._results[piece]

    def evidence(self, piece: Piece[R], read: Callable[[R], Evidence]) -> Evidence:
        """What `read` takes from the piece's result, or why there is none."""
        result = self[piece]
        return result if isinstance(result, Missing) else read(result)

    def supply(self, piece: Piece[R], read: Callable[[R], Evidence]) -> Supply:
        """`evidence` for the route of a row."""
        evidence = self.evidence(piece, read)
        return lambda: evidence


def subseed(seed: int, name: str) -> int:
    """A seed for one piece of a run: pieces that share a root seed must not share random numbers."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:4], "big")


def records(resume: Path | None, name: str) -> Path | None:
    """The folder of records of one piece of a run."""
    return None if resume is None else resume / name
