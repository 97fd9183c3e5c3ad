"""Finite width: a row's flips carry the random share q = Σ M_j x_j² of the input's energy."""

import sympy as sp

from .block import kappa, transverse
from .gaussian import angle
from .perturbations import sign_flip
from .symbols import growth, overlap, rate, rows, width


def share_mean(rate: sp.Expr = rate) -> sp.Expr:
    """E q = p."""
    return rate


def share_variance(rate: sp.Expr = rate, n: sp.Expr = width) -> sp.Expr:
    """Var q = 3p(1 − p)/(n + 2) for an input on the sphere and flips at rate p.

    E q² = (3p + (n − 1)p²)/(n + 2), so Var q = 3p(1 − p)/(n + 2).
    """
    return 3 * rate * (1 - rate) / (n + 2)


def width_coefficient(rate: sp.Expr = rate) -> sp.Expr:
    """Relative change of the transverse ratio per 1/n for n p ≫ 1 and small p: −3/(2π√p)."""
    return -3 / (2 * sp.pi * sp.sqrt(rate))


def profile_variance(rate: sp.Expr, fourth: sp.Expr) -> sp.Expr:
    """Var q = p(1 − p)Σ x_j⁴ for one unit input."""
    return rate * (1 - rate) * fourth


def profile_slope(rate: sp.Expr = rate) -> sp.Expr:
    """Relative change of T per Σ x_j⁴ for one unit input, −2κ√(p(1 − p))/(πT), at every rate."""
    c, v = sign_flip(rate)
    return -2 * kappa(c, v) * sp.sqrt(rate * (1 - rate)) / (sp.pi * transverse(c, v))


def width_slope(rate: sp.Expr = rate) -> sp.Expr:
    """Relative change of the transverse ratio per 1/n on the sphere, where Σ x_j⁴ = 3/n + O(1/n²)."""
    return 3 * profile_slope(rate)


def saturation_coefficient() -> sp.Expr:
    """Relative change of the transverse ratio per 1/√n for n p ≪ 1: −(4/(3π))√(8/π)."""
    return -4 / (3 * sp.pi) * sp.sqrt(8 / sp.pi)


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
