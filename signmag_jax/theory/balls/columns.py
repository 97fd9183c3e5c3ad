"""Flips in a pool of columns over those outside, in ball arithmetic."""

from flint import arb, fmpq

from .outliers import lost


def column_ratio(rate: fmpq, share: fmpq, fraction: fmpq) -> arb:
    """((1−f)/f)·D(2pσ)/D(2p(1−σ))."""
    return (1 - fraction) / fraction * lost(rate * share) / lost(rate * (1 - share))


def column_ratio_bound(fraction: fmpq, share: fmpq | None = None) -> arb:
    """((1−f)/f)·max(1, σ/(1−σ))."""
    odds = fmpq(1) if share is None else share / (1 - share)
    return arb((1 - fraction) / fraction * max(fmpq(1), odds))


def column_ratio_expansion(rate: fmpq, share: fmpq, fraction: fmpq) -> arb:
    """((1−f)/f)·σ/(1−σ)·[1 − (4/(3π))(√σ − √(1−σ))√p], the ratio's first two terms in √p."""
    bend = 4 / (3 * arb.pi()) * (arb(share).sqrt() - arb(1 - share).sqrt())
    return (1 - fraction) / fraction * share / (1 - share) * (1 - bend * arb(rate).sqrt())
