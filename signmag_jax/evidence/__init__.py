"""What every number needs: estimates, keys, moments, records, provenance, errors, progress."""

from .errors import Incomplete, InvalidInput, MissingResource, SignmagError, invalid
from .estimate import Estimate
from .moments import Moments, merge_all
from .records import Records

__all__ = [
    "Estimate",
    "Incomplete",
    "InvalidInput",
    "MissingResource",
    "Moments",
    "Records",
    "SignmagError",
    "invalid",
    "merge_all",
]
