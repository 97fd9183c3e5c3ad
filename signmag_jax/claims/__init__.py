"""The ledger: every claim, its routes side by side, its verdict."""

from .diff import diff
from .ledger import read, schema
from .levels import Level, level

__all__ = ["Level", "diff", "level", "read", "schema"]
