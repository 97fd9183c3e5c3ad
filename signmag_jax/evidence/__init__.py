"""What every number needs: estimates, keys, moments, intervals, records, provenance, errors, progress."""

from .bootstrap import ConfidenceInterval
from .errors import Incomplete, InvalidInput, MissingResource, SignmagError, invalid
from .estimate import Estimate
from .ratio import Ratio, ratio_of_means
from .records import Records
from .result import Picture, Result
from .sample_moments import SampleMoments

__all__ = [
    "ConfidenceInterval",
    "Estimate",
    "Incomplete",
    "InvalidInput",
    "MissingResource",
    "Picture",
    "Ratio",
    "Records",
    "Result",
    "SampleMoments",
    "SignmagError",
    "invalid",
    "ratio_of_means",
]
