"""Proposition 1 in ball arithmetic: one matrix without an activation."""

from flint import arb, fmpq


def flip_matrix_radial_fraction(rate: fmpq, rows: fmpq) -> arb:
    """p + (1 − p)/m."""
    return arb(rate + (1 - rate) / rows)


def noise_matrix_radial_fraction(rows: fmpq) -> arb:
    """1/m."""
    return arb(1 / rows)


def noise_to_flip_ratio(rate: fmpq) -> arb:
    """1/(1 − p)."""
    return arb(1 / (1 - rate))


def flip_to_shift_ratio(rate: fmpq) -> arb:
    """(1 − p)π/(π − 2)."""
    return (1 - rate) * arb.pi() / (arb.pi() - 2)
