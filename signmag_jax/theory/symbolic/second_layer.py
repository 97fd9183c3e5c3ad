"""A Gaussian layer behind the hidden one: what it leaves of the split into radial and transverse energy."""

import sympy as sp

from .symbols import dimension, rows


def output_transverse(norm: sp.Expr, d: sp.Expr = dimension, m: sp.Expr = rows) -> sp.Expr:
    """E‖P⊥(y) δy‖² = (d − 1)/m · ‖δ⊥‖², for d outputs with entries N(0, 1/m)."""
    return (d - 1) / m * norm


def output_radial_fraction(fraction: sp.Expr, d: sp.Expr = dimension) -> sp.Expr:
    """R + (1 − R)/d, as a ratio of means."""
    return fraction + (1 - fraction) / d
