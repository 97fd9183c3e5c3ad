"""The leverage of a pool of columns in ball arithmetic."""

from collections.abc import Sequence

from flint import arb, fmpq

from .activations import second_moments
from .pairs import Pair
from .profile import mean_over_masks, shares_of


def pool_leverage(
    alpha_squared: Sequence[fmpq],
    column_norm_squared: Sequence[fmpq] | fmpq,
    pool: Sequence[bool],
    perturbation: Pair | None = None,
    match: str = "rate",
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
    thin = [fmpq(min(counts), count) if match == "count" else fmpq(1) for count in counts]
    sizes = [weights[1] / weights[0] if match == "energy" else fmpq(1), fmpq(1)]
    divisors = counts if match == "rate" else [1, 1]
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


def profile_pool_leverage(rate: fmpq, x: Sequence[fmpq], pool: Sequence[bool], match: str = "rate") -> arb:
    """E(1 − 2κ) over the masks of the pool, over that of the masks outside."""
    shares, costs = shares_of(x), []
    counts = [sum(bool(inside) == side for inside in pool) for side in (True, False)]
    for side, count in zip((True, False), counts, strict=True):
        thinned = rate * fmpq(min(counts), count) if match == "count" else rate
        rates = [thinned if bool(inside) == side else fmpq(0) for inside in pool]
        cost = 1 - 2 * mean_over_masks(rates, shares)
        costs.append(cost if match == "count" else cost / count)
    return costs[0] / costs[1]


def _over(values: Sequence[fmpq], side: Sequence[bool]) -> fmpq:
    return sum((value for value, chosen in zip(values, side, strict=True) if chosen), fmpq(0))
