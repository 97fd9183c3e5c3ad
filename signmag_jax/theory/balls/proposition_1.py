"""Proposition 1 in ball arithmetic: one matrix without an activation."""

from flint import arb, fmpq

from .weights import Weights, of


def flip_matrix_radial_fraction(rate: fmpq, rows: fmpq) -> arb:
    """p + (1 − p)/m."""
    return arb(rate + (1 - rate) / rows)


def noise_matrix_radial_fraction(rows: fmpq) -> arb:
    """1/m."""
    return arb(1 / rows)


def noise_to_flip_ratio(rate: fmpq) -> arb:
    """1/(1 − p)."""
    return arb(1 / (1 - rate))


def flip_to_shift_ratio(rate: fmpq, weights: Weights | None = None) -> arb:
    """(1 − p)/(1 − b²)."""
    return (1 - rate) / (1 - of(weights).b ** 2)
