"""Chains of blocks at infinite width: how the cosine between clean and perturbed states evolves."""

import sympy as sp

from .symbols import cosine, growth, overlap, state_cosine


def cosine_map(cosine: sp.Expr = cosine) -> sp.Expr:
    """J(ρ) = (√(1 − ρ²) + (π − acos ρ) ρ)/π: cosine after a ReLU layer, from the one before it."""
    return (sp.sqrt(1 - cosine**2) + (sp.pi - sp.acos(cosine)) * cosine) / sp.pi


def plain_step(q: sp.Expr = state_cosine, c: sp.Expr = overlap, v: sp.Expr = growth) -> sp.Expr:
    """q ← J(c q/√v): one layer of h ← normalise(relu(W h))."""
    return cosine_map(c * q / sp.sqrt(v))


def plain_ratio(q_flip: sp.Expr, q_shift: sp.Expr) -> sp.Expr:
    """C_L = (1 − q_flip²)/(1 − q_shift²)."""
    return (1 - q_flip**2) / (1 - q_shift**2)


def residual_energy(layers: sp.Expr, v: sp.Expr = growth) -> sp.Expr:
    """E y_L'² of y ← y + relu(W' y/‖y‖) with E y_0² = 1: 1 + v (L/2 + L(L − 1)/(2π))."""
    return 1 + v * (layers / 2 + layers * (layers - 1) / (2 * sp.pi))


def residual_overlap(layers: sp.Expr, cosines: sp.Expr, v: sp.Expr = growth) -> sp.Expr:
    """E y_L y_L' = 1 + √v (L(L − 1)/(2π) + ½ Σ_k J(c q_k/√v)), given that sum over the layers."""
    return 1 + sp.sqrt(v) * (layers * (layers - 1) / (2 * sp.pi) + cosines / 2)


def residual_transverse(energy: sp.Expr, perturbed_energy: sp.Expr, overlap: sp.Expr) -> sp.Expr:
    """Transverse energy of the unnormalised difference, E y'² − (E y y')²/E y²."""
    return perturbed_energy - overlap**2 / energy


def residual_linear_step(
    transverse: sp.Expr, turn: sp.Expr, jump_squared: sp.Expr, growth: sp.Expr, rise: sp.Expr
) -> sp.Expr:
    """T ← r T + η + σ²Δ: the residual chain to first order in the errors.

    r = 1 + 1/(2(1 + A)) with A = E y² − 1, η = 1 − c/√v, σ = √v − 1, and Δ the rise of A/(1 + A).
    """
    return growth * transverse + turn + jump_squared * rise


def skip_step(q: sp.Expr = state_cosine, c: sp.Expr = overlap, v: sp.Expr = growth) -> sp.Expr:
    """q ← (q + √v J(c q/√v)/2)/√((3/2)(1 + v/2)): [W_up, ReLU, W_down] + skip, renormalised (V3)."""
    return (q + sp.sqrt(v) * plain_step(q, c, v) / 2) / sp.sqrt(sp.Rational(3, 2) * (1 + v / 2))
