"""Theorem 3: the transverse energy of flips over that of the magnitude shift of equal Frobenius norm."""

import sympy as sp

from .energies import transverse
from .perturbations import GAUSSIAN, magnitude_shift, matched_size, sign_flip
from .symbols import rate


def transverse_ratio(rate: sp.Expr = rate, b: sp.Expr = GAUSSIAN) -> sp.Expr:
    """A(p) = T(sign flips at rate p)/T(magnitude shift of equal Frobenius norm), exact (Theorem 3)."""
    return transverse(*sign_flip(rate)) / transverse(*magnitude_shift(matched_size(rate), b))


def transverse_ratio_limit(b: sp.Expr = GAUSSIAN) -> sp.Expr:
    """lim A(p) as p → 0: 1/(1 − b²)."""
    return 1 / (1 - b**2)


def transverse_ratio_root_coefficient(b: sp.Expr = GAUSSIAN) -> sp.Expr:
    """Coefficient of √p in A(p)/A(0): −(4/(3π))(1 − √(1 − b²))."""
    return -(4 / (3 * sp.pi)) * (1 - sp.sqrt(1 - b**2))


def transverse_ratio_rate_coefficient(b: sp.Expr = GAUSSIAN) -> sp.Expr:
    """Coefficient of p in A(p)/A(0): −1 − (8/(3π)) b k − (16/(9π²)) k(1 − k), k = √(1 − b²)."""
    k = sp.sqrt(1 - b**2)
    return -1 - 8 / (3 * sp.pi) * b * k - 16 / (9 * sp.pi**2) * k * (1 - k)


def transverse_ratio_expansion(rate: sp.Expr = rate, b: sp.Expr = GAUSSIAN) -> sp.Expr:
    """[1 + c₁√p + c₂ p]/(1 − b²), which A(p) equals up to O(p^{3/2})."""
    root = transverse_ratio_root_coefficient(b) * sp.sqrt(rate)
    return transverse_ratio_limit(b) * (1 + root + transverse_ratio_rate_coefficient(b) * rate)


def paper_root_coefficient() -> sp.Expr:
    """Coefficient of √p that arXiv:2605.18933 states for A(p)/A(0): −4/(3π), the flips' energy alone."""
    return -4 / (3 * sp.pi)


def paper_transverse_ratio(rate: sp.Expr = rate) -> sp.Expr:
    """π/(π − 2) (1 − p)(1 − 4√p/(3π)): the closed form that arXiv:2605.18933 gives for A(p)."""
    return transverse_ratio_limit() * (1 - rate) * (1 + paper_root_coefficient() * sp.sqrt(rate))


def paper_transverse_ratio_as_printed(rate: sp.Expr = rate) -> sp.Expr:
    """(1 − p + 4p^{3/2}/(3π))/(1 − 2/π) · (1 − 4√p/(3π)): gives the predictions printed in that paper."""
    contraction = 4 * sp.sqrt(rate) / (3 * sp.pi)
    return (1 - rate + contraction * rate) / (1 - 2 / sp.pi) * (1 - contraction)
