"""Finite width for one unit input: its flips carry the random share q = Σ M_j x_j² of its energy."""

import sympy as sp

from .energies import kappa, transverse
from .perturbations import sign_flip
from .symbols import rate


def profile_variance(rate: sp.Expr, fourth: sp.Expr) -> sp.Expr:
    """Var q = p(1 − p)Σ x_j⁴ for one unit input."""
    return rate * (1 - rate) * fourth


def profile_slope(rate: sp.Expr = rate) -> sp.Expr:
    """Relative change of the flips' T per Σ x_j⁴ for one unit input, −2κ√(p(1 − p))/(πT)."""
    c, v = sign_flip(rate)
    return -2 * kappa(c, v) * sp.sqrt(rate * (1 - rate)) / (sp.pi * transverse(c, v))
