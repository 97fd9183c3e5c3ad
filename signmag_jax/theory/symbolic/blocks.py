"""Gated ReLU blocks, and ReLU blocks behind LayerNorm."""

import sympy as sp

from .energies import kappa
from .perturbations import GAUSSIAN, Pair


def gated_transverse(gate: Pair, up: Pair) -> sp.Expr:
    """T of h = relu(z_g) z_u: E h'² − (E hh')²/E h² with E hh' = κ c_u, E h'² = v_g v_u/2 and E h² = ½."""
    return gate.v * up.v / 2 - 2 * (kappa(*gate) * up.c) ** 2


def gated_root_coefficient(perturbed: str, b: sp.Expr = GAUSSIAN) -> sp.Expr:
    """Coefficient of √p in (1 − b²)A(p) of a gated block perturbed in "both" matrices, the "gate"'s or "up".

    Of both −(2/(3π))(1 − √(1 − b²)) − 4b: the shift of either grows what that of the other turns.
    """
    gate = -4 / (3 * sp.pi) * (1 - sp.sqrt(1 - b**2))
    return {"both": gate / 2 - 4 * b, "gate": gate, "up": sp.Integer(0)}[perturbed]


def centred_transverse(c: sp.Expr, v: sp.Expr) -> sp.Expr:
    """T = vV − C²/V of relu(z) less its mean: V = ½ − 1/(2π), C = κ − √v/(2π)."""
    variance = sp.Rational(1, 2) - 1 / (2 * sp.pi)
    return v * variance - (kappa(c, v) - sp.sqrt(v) / (2 * sp.pi)) ** 2 / variance
