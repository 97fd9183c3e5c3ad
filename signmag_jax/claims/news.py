"""What a run has found so far: parts that have ended, and claims of the abstract as they are decided."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from . import families
from .abstract import ABSTRACT, BESIDE, Sentence
from .claim import Claim, Missing
from .ledger import row_of, sampled_comparisons
from .levels import Level
from .pieces import Piece, Results
from .tails import threshold

PENDING = Missing("NOT RUN", "it is being computed")


@runtime_checkable
class Listener(Protocol):
    """Whoever wants to hear of a run before its end."""

    def part(self, name: str, seconds: float) -> None:
        """A part of the run has ended; parts run at the same time, and may wait for others."""

    def claim(self, sentence: Sentence, row: Mapping[str, Any]) -> None:
        """A claim of the abstract is decided: its row is that of the ledger."""


class _SoFar(Results):
    """The results that are there, and the pieces that were asked for in vain."""

    def __init__(self, known: Mapping[Any, Any], model: str) -> None:
        super().__init__(known, model)
        self.awaited: set[Any] = set()

    def __getitem__(self, piece: Piece[Any]) -> Any:
        if piece not in self._results:
            self.awaited.add(piece)
            return PENDING
        return super().__getitem__(piece)


class News:
    """Tells a listener what a run finds, from whichever thread finds it.

    Args:
      level: of the run.
      model: name of the measured model.
      listener: None: nobody hears.
    """

    def __init__(self, level: Level, model: str, listener: Listener | None) -> None:
        self._level, self._model, self._listener = level, model, listener
        self._results: dict[Any, Any] = {}
        self._proved: dict[str, bool] = {}
        # By the row of each claim that is open, the pieces and proofs that it is known to wait for.
        self._open: dict[str, set[Any]] = {}
        self._family: dict[str, families.Family] = {}
        self._sentences = {each.row: each for each in (*ABSTRACT, *BESIDE) if each.row is not None}
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Decide what waits for nothing, and what has been told until now: all laws are asked for once."""
        if self._listener is None:
            return
        with self._lock:
            claims = []
            for family in families.FAMILIES:
                own = [
                    families.at_level(self._level, claim)
                    for claim in family.rows(self._level, self._so_far())
                ]
                self._family |= {claim.name: family for claim in own if claim.name in self._sentences}
                claims += own
            self._open = {name: set() for name in self._family}
            self._critical = threshold(sampled_comparisons(claims))
            self._look()

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[dict[Any, Any]]:
        """A part of the run, which enters its results by piece, or by the name of a proof."""
        results: dict[Any, Any] = {}
        begin = time.perf_counter()
        yield results
        if self._listener is not None:
            self._listener.part(name, time.perf_counter() - begin)
            self.tell(results)

    def tell(self, results: Mapping[Any, Any]) -> None:
        """Tell results by piece, or whether a proof holds by its name."""
        if self._listener is None:
            return
        with self._lock:
            for name, result in results.items():
                known = self._proved if isinstance(name, str) else self._results
                known[name] = result
            self._look()

    def _so_far(self) -> _SoFar:
        return _SoFar(self._results, self._model)

    def _look(self) -> None:
        """Decide what no longer waits for anything, in the order of the abstract."""
        known = {*self._results, *self._proved}
        ready = [row for row, awaited in self._open.items() if awaited <= known]
        if not ready or self._listener is None:
            return
        decided = {}
        for claim, so_far in self._claims(ready):
            missing = {name for name in claim.proofs if name not in self._proved} | so_far.awaited
            row = None if missing else row_of(claim, self._proved, self._critical)
            # A claim may ask for more only while it is judged.
            if row is None or so_far.awaited:
                self._open[claim.name] = missing | so_far.awaited
            else:
                decided[claim.name] = row
        for name in [name for name in self._open if name in decided]:
            del self._open[name]
            self._listener.claim(self._sentences[name], decided[name])

    def _claims(self, names: list[str]) -> Iterator[tuple[Claim, _SoFar]]:
        """The claims of these names, each with what its family has asked for in vain up to it.

        Not the claim alone: a family may read a result once for several of its rows.
        """
        for family in {id(self._family[name]): self._family[name] for name in names}.values():
            so_far = self._so_far()
            for claim in family.rows(self._level, so_far):
                if claim.name in names:
                    yield families.at_level(self._level, claim), so_far
