"""Tables, pictures and one self-contained page, made only from a saved run folder."""

from .page import render, write
from .table import print_ledger

__all__ = ["print_ledger", "render", "write"]
