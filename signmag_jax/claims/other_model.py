"""Rows whose published figure is of another model than the measured one."""

from __future__ import annotations

from .claim import Claim, Route
from .measured import Measured
from .supply import Supply

OTHER = (
    "Published: TinyLlama-1.1B on WikiText-2. Measured: {model}. Both are shown, neither is the other's test."
)


def other(
    name: str, source: str, statement: str, routes: dict[Route, Supply], measured: Measured, note: str = ""
) -> Claim:
    """A row whose published figure is of another model."""
    remark = OTHER.format(model=measured.model)
    return Claim(name, "paper", source, statement, routes, kind="other", note=f"{note} {remark}".strip())
