"""The kernel that makes facts, and the tactics that find them."""

from .expansions import expansion
from .kernel import Claim, Refused, by, genuine, written
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
    "least",
    "limit",
    "settle",
    "settled_by",
    "sign",
    "weakened",
    "written",
]
