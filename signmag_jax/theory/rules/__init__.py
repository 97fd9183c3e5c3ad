"""Ways to check that one expression equals another: the methods a proof's steps are verified by."""

from .facts import Algebra, Derivative, Differentiate, Fact, Refused, Rule, Using, written
from .integrals import Antiderivatives, Linearity, Polar, Product, SplitArc, SplitLine
from .series import Series

__all__ = [
    "Algebra",
    "Antiderivatives",
    "Derivative",
    "Differentiate",
    "Fact",
    "Linearity",
    "Polar",
    "Product",
    "Refused",
    "Rule",
    "Series",
    "SplitArc",
    "SplitLine",
    "Using",
    "written",
]
