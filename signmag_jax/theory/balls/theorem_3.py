"""Theorem 3 in ball arithmetic: the transverse energy of flips over that of the shift of equal norm."""

from flint import arb, fmpq

from .energies import transverse
from .pairs import flip, matched
from .weights import Weights, of


def transverse_ratio(rate: fmpq, weights: Weights | None = None) -> arb:
    """A(p)."""
    return transverse(flip(rate)) / transverse(matched(rate, weights))


def transverse_ratio_limit(weights: Weights | None = None) -> arb:
    """A(0⁺) = 1/(1 − b²)."""
    return 1 / (1 - of(weights).b ** 2)


def transverse_ratio_root_coefficient(weights: Weights | None = None) -> arb:
    """Coefficient of √p in A(p)/A(0⁺)."""
    return -4 / (3 * arb.pi()) * (1 - (1 - of(weights).b ** 2).sqrt())


def transverse_ratio_rate_coefficient(weights: Weights | None = None) -> arb:
    """Coefficient of p in A(p)/A(0⁺)."""
    b = of(weights).b
    k = (1 - b**2).sqrt()
    return -1 - 8 / (3 * arb.pi()) * b * k - 16 / (9 * arb.pi() ** 2) * k * (1 - k)


def transverse_ratio_expansion(rate: fmpq, weights: Weights | None = None) -> arb:
    """The first three terms of A(p) in √p."""
    return transverse_ratio_limit(weights) * (
        1
        + transverse_ratio_root_coefficient(weights) * arb(rate).sqrt()
        + transverse_ratio_rate_coefficient(weights) * rate
    )


def paper_transverse_ratio(rate: fmpq) -> arb:
    """The paper's closed form."""
    return arb.pi() / (arb.pi() - 2) * (1 - rate) * (1 - 4 * arb(rate).sqrt() / (3 * arb.pi()))


def paper_transverse_ratio_as_printed(rate: fmpq) -> arb:
    """The expression behind the paper's printed column."""
    contraction = 4 * arb(rate).sqrt() / (3 * arb.pi())
    return (1 - rate + rate * contraction) / (1 - 2 / arb.pi()) * (1 - contraction)


def paper_transverse_ratio_error(rate: fmpq) -> arb:
    """The paper's closed form less A(p)."""
    return paper_transverse_ratio(rate) - transverse_ratio(rate)
