"""Exported: what was measured, as options and files of the tools that quantise."""

from .decision import Decision
from .llama_cpp import TERNARY_TYPES
from .mask import THRESHOLD, NothingWhole, decide, read_mask
from .plan import Widths, read, read_plan
from .write import (
    FORMATS,
    IMATRIX,
    IMATRIX_NOTE,
    OF_PLANS,
    check_loaded,
    check_model,
    contents,
    write,
    write_imatrix,
)

__all__ = [
    "FORMATS",
    "IMATRIX",
    "IMATRIX_NOTE",
    "OF_PLANS",
    "TERNARY_TYPES",
    "THRESHOLD",
    "Decision",
    "NothingWhole",
    "Widths",
    "check_loaded",
    "check_model",
    "contents",
    "decide",
    "read",
    "read_mask",
    "read_plan",
    "write",
    "write_imatrix",
]
