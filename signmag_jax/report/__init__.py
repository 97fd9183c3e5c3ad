"""Tables, pictures and one self-contained page, made only from a saved run folder."""

from .page import render, write
from .table import claim_lines, print_ledger

__all__ = ["claim_lines", "print_ledger", "render", "write"]
