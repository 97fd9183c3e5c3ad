"""What one flipped sign costs, by the amplitude of its input."""

import sympy as sp

from .depth import cosine_map
from .symbols import amplitude, width


def flip_energy(alpha: sp.Expr = amplitude) -> sp.Expr:
    """Energy 1 − J(1 − 2α²) of one flipped sign at an input entry of amplitude α."""
    return 1 - cosine_map(1 - 2 * alpha**2)


def flip_energy_expansion(alpha: sp.Expr = amplitude) -> sp.Expr:
    """2α² − 8α³/(3π), which the energy of one flip equals up to O(α⁴)."""
    return 2 * alpha**2 - 8 * alpha**3 / (3 * sp.pi)


def flip_amplification(alpha: sp.Expr = amplitude, n: sp.Expr = width) -> sp.Expr:
    """R(α, n) = (1 − J(1 − 2α²))/(1 − J(1 − 2/n)): against an entry of a delocalised input, α² = 1/n."""
    return flip_energy(alpha) / flip_energy(1 / sp.sqrt(n))


def flip_amplification_expansion(alpha: sp.Expr = amplitude, n: sp.Expr = width) -> sp.Expr:
    """n α² [1 − (4/(3π))(α − 1/√n)], to first order in the amplitudes."""
    return n * alpha**2 * (1 - 4 / (3 * sp.pi) * (alpha - 1 / sp.sqrt(n)))


def paper_flip_amplification(alpha: sp.Expr = amplitude, n: sp.Expr = width) -> sp.Expr:
    """n α² (1 − 4α/(3π)): the form of arXiv:2605.18933, without the delocalised entry's own contraction."""
    return n * alpha**2 * (1 - 4 * alpha / (3 * sp.pi))
