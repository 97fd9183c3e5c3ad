"""RMSNorm, N(y)_i = g_i y_i/ρ with ρ = √(‖y‖²/d + ε), component by component."""

import sympy as sp


def rms(norm_squared: sp.Expr, d: sp.Expr, eps: sp.Expr) -> sp.Expr:
    """ρ = √(‖y‖²/d + ε)."""
    return sp.sqrt(norm_squared / d + eps)


def component(y: sp.Expr, gain: sp.Expr, rho: sp.Expr) -> sp.Expr:
    """N(y)_i = g_i y_i/ρ."""
    return gain * y / rho


def derivative(
    y: sp.Expr, delta: sp.Expr, inner: sp.Expr, gain: sp.Expr, rho: sp.Expr, d: sp.Expr
) -> sp.Expr:
    """DN(y)[δ]_i = g_i (δ_i/ρ − y_i ⟨y, δ⟩/(d ρ³)), with inner = ⟨y, δ⟩."""
    return gain * (delta / rho - y * inner / (d * rho**3))


def radial_derivative(y: sp.Expr, gain: sp.Expr, rho: sp.Expr, eps: sp.Expr) -> sp.Expr:
    """DN(y)[y]_i = g_i y_i ε/ρ³: what RMSNorm lets through of a radial error."""
    return gain * y * eps / rho**3


def projection(y: sp.Expr, delta: sp.Expr, inner: sp.Expr, norm_squared: sp.Expr, d: sp.Expr) -> sp.Expr:
    """(√d/‖y‖) P⊥(y) δ, component i: √d/‖y‖ (δ_i − y_i ⟨y, δ⟩/‖y‖²)."""
    return sp.sqrt(d) / sp.sqrt(norm_squared) * (delta - y * inner / norm_squared)
