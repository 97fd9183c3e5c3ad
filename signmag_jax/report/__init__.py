"""Tables, pictures and one self-contained page, made only from a saved run folder."""

from .page import FILE_NAME, render, write
from .table import claim_lines, print_ledger

__all__ = ["FILE_NAME", "claim_lines", "print_ledger", "render", "write"]
