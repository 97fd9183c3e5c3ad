"""One Gaussian matrix without a ReLU: what equal Frobenius norm does and does not equalise."""

import sympy as sp

from .perturbations import GAUSSIAN, error_energy
from .symbols import growth, overlap, rate, rows


def matrix_radial(c: sp.Expr = overlap, v: sp.Expr = growth, m: sp.Expr = rows) -> sp.Expr:
    """E⟨y, δy⟩²/‖y‖² = m (c − 1)² + (v − c²), for m rows and E y_i² = 1."""
    return m * (c - 1) ** 2 + (v - c**2)


def matrix_transverse(c: sp.Expr = overlap, v: sp.Expr = growth, m: sp.Expr = rows) -> sp.Expr:
    """E‖P⊥ δy‖² = (m − 1)(v − c²)."""
    return (m - 1) * (v - c**2)


def matrix_radial_fraction(c: sp.Expr = overlap, v: sp.Expr = growth, m: sp.Expr = rows) -> sp.Expr:
    """Ratio of means of radial and total energy."""
    return matrix_radial(c, v, m) / (m * error_energy(c, v))


def flip_matrix_radial_fraction(rate: sp.Expr = rate, m: sp.Expr = rows) -> sp.Expr:
    """p + (1 − p)/m."""
    return rate + (1 - rate) / m


def noise_matrix_radial_fraction(m: sp.Expr = rows) -> sp.Expr:
    """1/m."""
    return 1 / m


def noise_to_flip_ratio(rate: sp.Expr = rate) -> sp.Expr:
    """Transverse ratio noise/flip at equal Frobenius norm, 1/(1 − p)."""
    return 1 / (1 - rate)


def flip_to_shift_ratio(rate: sp.Expr = rate, b: sp.Expr = GAUSSIAN) -> sp.Expr:
    """Transverse ratio flip/shift at equal Frobenius norm, (1 − p)/(1 − b²)."""
    return (1 - rate) / (1 - b**2)
