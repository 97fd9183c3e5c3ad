"""Single flips and pools of columns in ball arithmetic."""

from collections.abc import Sequence

from flint import arb, fmpq

from .activations import kappa, second_moments
from .pairs import Pair


def lost(square: fmpq) -> arb:
    """1 − J(1 − 2α²)."""
    return 1 - 2 * kappa(arb(1 - 2 * square), arb(1))


def flip_amplification(alpha: fmpq, n: fmpq) -> arb:
    """R(α, n)."""
    return lost(alpha * alpha) / lost(1 / n)


def flip_amplification_expansion(alpha: fmpq, n: fmpq) -> arb:
    """nα²[1 − (4/(3π))(α − 1/√n)]."""
    return n * alpha * alpha * (1 - 4 / (3 * arb.pi()) * (alpha - 1 / arb(n).sqrt()))


def column_ratio(rate: fmpq, share: fmpq, fraction: fmpq) -> arb:
    """((1−f)/f)·D(2pσ)/D(2p(1−σ))."""
    return (1 - fraction) / fraction * lost(rate * share) / lost(rate * (1 - share))


def column_ratio_bound(fraction: fmpq, share: fmpq | None = None) -> arb:
    """((1−f)/f)·max(1, σ/(1−σ))."""
    odds = fmpq(1) if share is None else share / (1 - share)
    return arb((1 - fraction) / fraction * max(fmpq(1), odds))


def column_ratio_expansion(rate: fmpq, share: fmpq, fraction: fmpq) -> arb:
    """Its first two terms in √p."""
    bend = 4 / (3 * arb.pi()) * (arb(share).sqrt() - arb(1 - share).sqrt())
    return (1 - fraction) / fraction * share / (1 - share) * (1 - bend * arb(rate).sqrt())


def pool_leverage(
    alpha_squared: Sequence[fmpq],
    column_norm_squared: Sequence[fmpq] | fmpq,
    pool: Sequence[bool],
    perturbation: Pair | None = None,
    matching: str = "rate",
    measure: str = "energy",
) -> arb:
    """D(S)/D(rest), each the block's answer to a pair of moments 1 + xa(c−1), 1 + x(2a(c−1) + a²e)."""
    if not isinstance(column_norm_squared, Sequence):
        column_norm_squared = [column_norm_squared] * len(alpha_squared)
    products = [a * b for a, b in zip(alpha_squared, column_norm_squared, strict=True)]
    sides = [[bool(inside) == side for inside in pool] for side in (True, False)]
    shares = [_over(products, side) / _over(products, [True] * len(products)) for side in sides]
    counts = [sum(side) for side in sides]
    weights = [_over(column_norm_squared, side) for side in sides]
    thin = [fmpq(min(counts), count) if matching == "count" else fmpq(1) for count in counts]
    sizes = [weights[1] / weights[0] if matching == "energy" else fmpq(1), fmpq(1)]
    divisors = counts if matching == "rate" else [1, 1]
    if perturbation is None:
        inside, outside = (
            arb(s * t * a / d) for s, t, a, d in zip(shares, thin, sizes, divisors, strict=True)
        )
        return inside / outside
    c, v = perturbation
    damages = []
    for share, part, size, divisor in zip(shares, thin, sizes, divisors, strict=True):
        drift = arb(size).sqrt() * (c - 1)
        grown = 2 * drift + size * (v + 1 - 2 * c)
        block = second_moments("relu", 1 + share * part * drift, 1 + share * part * grown)
        damages.append((block.transverse if measure == "transverse" else block.energy) / divisor)
    return damages[0] / damages[1]


def _over(values: Sequence[fmpq], side: Sequence[bool]) -> fmpq:
    return sum((value for value, chosen in zip(values, side, strict=True) if chosen), fmpq(0))
