"""Exported: what was measured, as options and files of the tools that quantise."""

from .decision import Decision
from .mask import Mask, read_mask
from .plan import Widths, read, read_plan
from .write import FORMATS, IMATRIX, IMATRIX_NOTE, OF_PLANS, check_model, contents, write, write_imatrix

__all__ = [
    "FORMATS",
    "IMATRIX",
    "IMATRIX_NOTE",
    "OF_PLANS",
    "Decision",
    "Mask",
    "Widths",
    "check_model",
    "contents",
    "read",
    "read_mask",
    "read_plan",
    "write",
    "write_imatrix",
]
