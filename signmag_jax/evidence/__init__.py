"""What every number needs: estimates, keys, moments, intervals, records, provenance, errors, progress."""

from .bootstrap import ConfidenceInterval
from .errors import Incomplete, InvalidInput, MissingResource, SignmagError, invalid
from .estimate import Estimate
from .moments import Moments, merge_all
from .ratio import Ratio, ratio_of_means
from .records import Records
from .result import Picture, Result

__all__ = [
    "ConfidenceInterval",
    "Estimate",
    "Incomplete",
    "InvalidInput",
    "MissingResource",
    "Moments",
    "Picture",
    "Ratio",
    "Records",
    "Result",
    "SignmagError",
    "invalid",
    "merge_all",
    "ratio_of_means",
]
