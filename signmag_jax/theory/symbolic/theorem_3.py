"""Theorem 3: the transverse energy of flips over that of the magnitude shift of equal Frobenius norm."""

import sympy as sp

from .energies import transverse
from .perturbations import magnitude_shift, matched_size, mean_magnitude, sign_flip
from .symbols import rate


def transverse_ratio(rate: sp.Expr = rate) -> sp.Expr:
    """A(p) = T(sign flips at rate p)/T(magnitude shift of equal Frobenius norm), exact (Theorem 3)."""
    return transverse(*sign_flip(rate)) / transverse(*magnitude_shift(matched_size(rate)))


def transverse_ratio_limit() -> sp.Expr:
    """lim A(p) as p → 0: π/(π − 2)."""
    return sp.pi / (sp.pi - 2)


def transverse_ratio_root_coefficient() -> sp.Expr:
    """Coefficient of √p in A(p)/A(0): −(4/(3π))(1 − √(1 − 2/π))."""
    return -(4 / (3 * sp.pi)) * (1 - sp.sqrt(1 - 2 / sp.pi))


def transverse_ratio_rate_coefficient() -> sp.Expr:
    """Coefficient of p in A(p)/A(0): −1 − (8/(3π)) b k − (16/(9π²)) k(1 − k), b = √(2/π), k = √(1 − 2/π)."""
    b, k = mean_magnitude(), sp.sqrt(1 - 2 / sp.pi)
    return -1 - 8 / (3 * sp.pi) * b * k - 16 / (9 * sp.pi**2) * k * (1 - k)


def transverse_ratio_expansion(rate: sp.Expr = rate) -> sp.Expr:
    """π/(π − 2) [1 + c₁√p + c₂ p], which A(p) equals up to O(p^{3/2})."""
    relative = (
        1 + transverse_ratio_root_coefficient() * sp.sqrt(rate) + transverse_ratio_rate_coefficient() * rate
    )
    return transverse_ratio_limit() * relative


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
