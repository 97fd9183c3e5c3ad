"""Pools of input columns: the pair's moments when only a pool is perturbed, and what flips in it cost."""

import sympy as sp

from .outliers import flip_energy
from .symbols import growth, overlap, pool_share, rate


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
