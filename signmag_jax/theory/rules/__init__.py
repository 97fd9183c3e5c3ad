"""The kernel that makes facts, and the tactics that find them."""

from .derived import inside, join
from .expansions import expansion
from .kernel import Claim, Refused, by, written
from .signs import above, equal, least, limit, settle, settled_by, sign
from .tactics import (
    Algebra,
    Antiderivatives,
    Differentiate,
    Equal,
    Polar,
    Product,
    Split,
    Using,
    increase,
    weakened,
)

genuine = by.genuine

__all__ = [
    "Algebra",
    "Antiderivatives",
    "Claim",
    "Differentiate",
    "Equal",
    "Polar",
    "Product",
    "Refused",
    "Split",
    "Using",
    "above",
    "by",
    "equal",
    "expansion",
    "genuine",
    "increase",
    "inside",
    "join",
    "least",
    "limit",
    "settle",
    "settled_by",
    "sign",
    "weakened",
    "written",
]
