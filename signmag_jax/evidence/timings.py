"""Where a run's time goes: by part, in clock and CPU seconds, and how much of it is JAX's compiler's."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

STAGES = {
    "/jax/core/compile/jaxpr_trace_duration": "tracing",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "tracing",
    "/jax/core/compile/backend_compile_duration": "compiling",
}
"""What JAX reports of a program on its way to the device. Reading a kept program counts as compiling it."""
COMPILED = "/jax/core/compile/backend_compile_duration"


@dataclass
class Part:
    """What one part took, in seconds; a part within it does not count.

    Args:
      clock: on the wall.
      cpu: of all cores together, with the processes that ended in it.
      tracing, compiling: of the clock's, on the way from Python to a program.
      programs: how many were compiled or read.
    """

    clock: float = 0.0
    cpu: float = 0.0
    tracing: float = 0.0
    compiling: float = 0.0
    programs: int = 0


@dataclass
class Timings:
    """The parts of a run, one after another: of two at a time, nobody could say whose a CPU second is."""

    parts: dict[str, Part] = field(default_factory=dict)
    _within: list[str] = field(default_factory=list)
    _since: tuple[float, float] = (0.0, 0.0)
    _stages: list[tuple[float, float]] = field(default_factory=list)

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """The part of that name; one that comes again goes on."""
        self._charge()
        self.parts.setdefault(name, Part())
        self._within.append(name)
        try:
            yield
        finally:
            self._charge()
            self._within.pop()

    def to_json(self) -> dict[str, dict[str, Any]]:
        """The seconds of each part, to a hundredth."""
        return {
            name: {what: round(value, 2) for what, value in asdict(part).items()}
            for name, part in self.parts.items()
        }

    def _charge(self) -> None:
        """Time since the last change is that of the innermost part."""
        times = os.times()  # of processes that ended, to a hundredth of a second
        now = time.perf_counter(), time.process_time() + times.children_user + times.children_system
        if self._within:
            part = self.parts[self._within[-1]]
            part.clock += now[0] - self._since[0]
            part.cpu += now[1] - self._since[1]
        self._since = now

    def stage(self, event: str, seconds: float) -> None:
        """What JAX reports at the end of a stage, less the stages within it that it reported before."""
        if not self._within or event not in STAGES:
            return
        begin, inside = time.perf_counter() - seconds, 0.0
        while self._stages and self._stages[-1][0] >= begin:
            inside += self._stages.pop()[1]
        self._stages.append((begin, seconds))
        part = self.parts[self._within[-1]]
        setattr(part, STAGES[event], getattr(part, STAGES[event]) + seconds - inside)
        part.programs += event == COMPILED


_active: Timings | None = None
_listening = False


@contextlib.contextmanager
def recorded(wanted: bool = True) -> Iterator[Timings | None]:
    """A context in which `part` records what it took; yields None where that is not wanted."""
    global _active, _listening
    if not wanted:
        yield None
        return
    if not _listening:
        import jax

        # Once and for good: older versions of JAX cannot take a listener back.
        jax.monitoring.register_event_duration_secs_listener(_heard)
        _listening = True
    _active = Timings()
    try:
        yield _active
    finally:
        _active = None


def part(name: str) -> contextlib.AbstractContextManager[None]:
    """What is done within belongs to the part of that name, where somebody records."""
    return contextlib.nullcontext() if _active is None else _active.part(name)


def _heard(event: str, duration_secs: float, **_: str | int) -> None:
    if _active is not None:
        _active.stage(event, duration_secs)


def lines(parts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A table for people, the dearest part first, with the sum at its end."""
    names = list(Part.__dataclass_fields__)
    total = {what: sum(part[what] for part in parts.values()) for what in names}
    dearest = sorted(parts.items(), key=lambda item: -item[1]["cpu"])
    wide = max(len(name) for name in ("part", "total", *parts))
    head = f"{'part':{wide}}" + "".join(f"{what:>11}" for what in names)
    rows = [_line(name, part, wide) for name, part in (*dearest, ("total", total))]
    return [head, *rows]


def _line(name: str, part: Mapping[str, Any], wide: int) -> str:
    cells = (f"{value:>11}" if isinstance(value, int) else f"{value:>11.1f}" for value in part.values())
    return f"{name:{wide}}" + "".join(cells)
