"""Exported: what was measured, as options and files of the tools that quantise."""

from .decision import Decision
from .mask import Mask, read_mask
from .write import FORMATS, IMATRIX_NOTE, check_model, write, write_imatrix

__all__ = [
    "FORMATS",
    "IMATRIX_NOTE",
    "Decision",
    "Mask",
    "check_model",
    "read_mask",
    "write",
    "write_imatrix",
]
