"""A finite number m of rows: the hidden vector has a length and a direction of its own."""

import sympy as sp

from .energies import kappa
from .gaussian import angle
from .symbols import growth, overlap, rows


def realignment(c: sp.Expr = overlap, v: sp.Expr = growth) -> sp.Expr:
    """Var(hδ − (μ/ν)h²)/ν = 2E h²(h' − 2κh)² = 2(K₂₂ − 4κK₃₁ + 6κ²): m rows add it/m to the radial energy.

    K₂₂ = E h²h'² = v(3 sin θ cos θ + (π − θ)(1 + 2cos²θ))/(2π) and
    K₃₁ = E h³h' = √v(3 sin θ − sin³θ + 3(π − θ)cos θ)/(2π).
    """
    theta = angle(c, v)
    sine, cosine, left = sp.sin(theta), sp.cos(theta), sp.pi - theta
    second = v * (3 * sine * cosine + left * (1 + 2 * cosine**2)) / (2 * sp.pi)
    mixed = sp.sqrt(v) * (3 * sine - sine**3 + 3 * left * cosine) / (2 * sp.pi)
    return 2 * (second - 4 * kappa(c, v) * mixed + 6 * kappa(c, v) ** 2)


def flip_rows_coefficient(m: sp.Expr = rows) -> sp.Expr:
    """Finite number of rows: 2/m is added to the flips' hidden radial fraction (ratio of means, small p)."""
    return 2 / m


def shift_rows_coefficient(m: sp.Expr = rows) -> sp.Expr:
    """2(1 − 2/π)/m is added to the magnitude shift's hidden radial fraction (ratio of means, small p)."""
    return 2 * (1 - 2 / sp.pi) / m
