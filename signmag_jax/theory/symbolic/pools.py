"""Pools of input columns: the pair's moments when only a pool is perturbed, and flips inside over outside."""

import sympy as sp

from .outliers import flip_energy
from .symbols import fraction, growth, overlap, pool_share, rate


def pool_overlap(share: sp.Expr = pool_share, c: sp.Expr = overlap) -> sp.Expr:
    """E z z' = 1 + σ(c − 1), if columns that carry the share σ of the variance are perturbed."""
    return 1 + share * (c - 1)


def pool_growth(share: sp.Expr = pool_share, v: sp.Expr = growth) -> sp.Expr:
    """E z'² = 1 + σ(v − 1)."""
    return 1 + share * (v - 1)


def pool_noise(share: sp.Expr = pool_share, c: sp.Expr = overlap, v: sp.Expr = growth) -> sp.Expr:
    """What is left of z' across z: σ(v − c²) + σ(1 − σ)(c − 1)²."""
    return share * (v - c**2) + share * (1 - share) * (c - 1) ** 2


def pool_flip_energy(rate: sp.Expr = rate, share: sp.Expr = pool_share) -> sp.Expr:
    """Flips at rate p in a pool of share σ cost what one sign costs at an entry of amplitude √(pσ)."""
    return flip_energy(sp.sqrt(rate * share))


def column_ratio(rate: sp.Expr = rate, share: sp.Expr = pool_share, fraction: sp.Expr = fraction) -> sp.Expr:
    """Energy per flip in a pool, a fraction f of the columns, over that outside, at equal rates."""
    return (1 - fraction) / fraction * pool_flip_energy(rate, share) / pool_flip_energy(rate, 1 - share)


def column_ratio_limit(share: sp.Expr = pool_share, fraction: sp.Expr = fraction) -> sp.Expr:
    """Its limit for p → 0, ((1 − f)/f) σ/(1 − σ)."""
    return (1 - fraction) / fraction * share / (1 - share)


def column_ratio_expansion(
    rate: sp.Expr = rate, share: sp.Expr = pool_share, fraction: sp.Expr = fraction
) -> sp.Expr:
    """((1 − f)/f) σ/(1 − σ) [1 − (4/(3π))(√σ − √(1 − σ))√p], which it equals up to O(p)."""
    bend = 4 / (3 * sp.pi) * (sp.sqrt(share) - sp.sqrt(1 - share))
    return column_ratio_limit(share, fraction) * (1 - bend * sp.sqrt(rate))


def column_ratio_bound(fraction: sp.Expr = fraction) -> sp.Expr:
    """(1 − f)/f: the bound at every rate, for pools with at most half of the variance."""
    return (1 - fraction) / fraction
