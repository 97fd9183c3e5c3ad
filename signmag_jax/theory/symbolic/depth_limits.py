"""What a chain's ratio starts from, tends to with depth, and never exceeds."""

import sympy as sp

from .depth import cosine_map
from .perturbations import GAUSSIAN
from .theorem_3 import transverse_ratio_limit


def plain_bound(c_flip: sp.Expr, c_shift: sp.Expr, v_shift: sp.Expr) -> sp.Expr:
    """Upper bound of C_L at every depth L of a plain chain, (1 − c_flip)/(1 − c_shift/√v_shift)."""
    return (1 - c_flip) / (1 - c_shift / sp.sqrt(v_shift))


def fixed_point_coefficient() -> sp.Expr:
    """lim u³/η² = 9π²/8 for the fixed point 1 − u of a plain chain whose layers turn by 1 − c/√v = η → 0."""
    return 9 * sp.pi**2 / 8


def depth_floor(b: sp.Expr = GAUSSIAN) -> sp.Expr:
    """C_∞ as p → 0: (1 − b²)^{−2/3}."""
    return transverse_ratio_limit(b) ** sp.Rational(2, 3)


def residual_bound(c_shift: sp.Expr, v_shift: sp.Expr) -> sp.Expr:
    """Upper bound of the residual chain's C_L at every depth L: 2/(1 − J(c_shift/√v_shift))."""
    return 2 / (1 - cosine_map(c_shift / sp.sqrt(v_shift)))


def residual_limit(c_flip: sp.Expr, c_shift: sp.Expr, v_shift: sp.Expr) -> sp.Expr:
    """C_L of the residual chain as L → ∞: (1 − J(c_flip))/(v (1 − J(c_shift/√v)))."""
    return (1 - cosine_map(c_flip)) / (v_shift * (1 - cosine_map(c_shift / sp.sqrt(v_shift))))


def residual_first_ratio(b: sp.Expr = GAUSSIAN) -> sp.Expr:
    """C_1 of the residual chain as p → 0: 1/(1 − b²/3)."""
    return 1 / (1 - b**2 / 3)
