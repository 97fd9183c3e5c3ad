"""Flips in a pool of input columns over those outside, per flip and at equal rates."""

import sympy as sp

from .pools import pool_flip_energy
from .symbols import fraction, pool_share, rate


def column_ratio(rate: sp.Expr = rate, share: sp.Expr = pool_share, fraction: sp.Expr = fraction) -> sp.Expr:
    """Energy per flip in a pool, a fraction f of the columns, over that outside, at equal rates."""
    return (1 - fraction) / fraction * pool_flip_energy(rate, share) / pool_flip_energy(rate, 1 - share)


def column_ratio_limit(share: sp.Expr = pool_share, fraction: sp.Expr = fraction) -> sp.Expr:
    """The energy per flip inside over outside for p → 0, ((1 − f)/f) σ/(1 − σ)."""
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
