"""The ledger: every claim, its routes side by side, its verdict."""

from typing import TYPE_CHECKING, Any

from .diff import diff
from .ledger import read, schema
from .levels import Level, level

if TYPE_CHECKING:
    from .run import check as check
    from .run import cost as cost
    from .run import reproduce as reproduce

__all__ = ["Level", "check", "cost", "diff", "level", "read", "reproduce", "schema"]


def __getattr__(name: str) -> Any:
    # Reading a saved ledger needs neither the model nor the theory.
    if name in ("check", "cost", "reproduce"):
        from . import run

        return getattr(run, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
