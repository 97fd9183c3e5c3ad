"""Finite width on the sphere: what n inputs change in the law of infinite width."""

import sympy as sp

from .profile import profile_slope
from .symbols import rate, width


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


def finite_width_slope(rate: sp.Expr = rate) -> sp.Expr:
    """Relative change of the flips' energy T per 1/n on the sphere, where Σ x_j⁴ = 3/n + O(1/n²).

    The energy of the magnitude shift has a 1/n term of its own, which this does not contain.
    """
    return 3 * profile_slope(rate)


def saturation_coefficient() -> sp.Expr:
    """Relative change of the transverse ratio per 1/√n for n p ≪ 1: −(4/(3π))√(8/π)."""
    return -4 / (3 * sp.pi) * sp.sqrt(8 / sp.pi)
