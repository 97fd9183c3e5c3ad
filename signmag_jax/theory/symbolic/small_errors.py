"""Small errors: the gap √v(sin θ − θ cos θ) by its leading order, noise^{3/2}/3."""

import sympy as sp


def leading_gap(noise: sp.Expr) -> sp.Expr:
    """G = noise^{3/2}/(3π)."""
    return noise ** sp.Rational(3, 2) / (3 * sp.pi)


def energy_expansion(drift: sp.Expr, noise: sp.Expr) -> sp.Expr:
    """e ≈ (drift² + noise)/2 − G."""
    return (drift**2 + noise) / 2 - leading_gap(noise)


def radial_fraction_expansion(drift: sp.Expr, noise: sp.Expr) -> sp.Expr:
    """R ≈ (drift + G)²/η·(1 + x + x²), η = drift² + noise, x = 2G/η."""
    size = drift**2 + noise
    contraction = 2 * leading_gap(noise) / size
    return (drift + leading_gap(noise)) ** 2 / size * (1 + contraction + contraction**2)
