"""One ReLU block at infinite width: the kernel, the energies of an error and its radial fraction."""

import sympy as sp

from .symbols import growth, overlap


def kappa(c: sp.Expr = overlap, v: sp.Expr = growth) -> sp.Expr:
    """κ = E[relu(z) relu(z')] = √v (sin θ + (π − θ) cos θ)/(2π) with cos θ = c/√v.

    Written as (√(v − c²) + (π − θ) c)/(2π): the degree-1 arc-cosine kernel (Cho and Saul 2009).
    """
    return (sp.sqrt(v - c**2) + (sp.pi - sp.acos(c / sp.sqrt(v))) * c) / (2 * sp.pi)


def _energy(kernel: sp.Expr, v: sp.Expr) -> sp.Expr:
    return v / 2 + sp.Rational(1, 2) - 2 * kernel


def energy(c: sp.Expr = overlap, v: sp.Expr = growth) -> sp.Expr:
    """e = E(h' − h)² = v/2 + ½ − 2κ."""
    return _energy(kappa(c, v), v)


def radial(c: sp.Expr = overlap, v: sp.Expr = growth) -> sp.Expr:
    """r = (E h(h' − h))²/E h² = 2(κ − ½)²."""
    return 2 * (kappa(c, v) - sp.Rational(1, 2)) ** 2


def transverse(c: sp.Expr = overlap, v: sp.Expr = growth) -> sp.Expr:
    """T = e − r = v/2 − 2κ²."""
    return v / 2 - 2 * kappa(c, v) ** 2


def radial_fraction(c: sp.Expr = overlap, v: sp.Expr = growth) -> sp.Expr:
    """R = r/e."""
    return radial(c, v) / energy(c, v)


def normalised_change(c: sp.Expr = overlap, v: sp.Expr = growth) -> sp.Expr:
    """sin² of the angle between h and h', 1 − 4κ²/v: the finite change of the normalised output."""
    return 1 - 4 * kappa(c, v) ** 2 / v


def sign_radial_fraction() -> sp.Expr:
    """Radial fraction after the ReLU of the optimally scaled sign quantiser's error (Theorem 4).

    2(κ − ½)²/(1/π + ½ − 2κ) with κ = (√(π/2 − 1) + π − acos √(2/π))/π².
    """
    kernel = (sp.sqrt(sp.pi / 2 - 1) + sp.pi - sp.acos(sp.sqrt(2 / sp.pi))) / sp.pi**2
    half = sp.Rational(1, 2)
    return 2 * (kernel - half) ** 2 / (1 / sp.pi + half - 2 * kernel)


def cosine_squared(c: sp.Expr = overlap, v: sp.Expr = growth) -> sp.Expr:
    """cos²(w, w') = c²/v."""
    return c**2 / v
