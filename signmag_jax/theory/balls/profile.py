"""Finite width for one given input in ball arithmetic: the sum over all masks of its row."""

from collections.abc import Sequence

from flint import arb, fmpq

from signmag_jax.evidence import invalid
from signmag_jax.theory.arguments import check_many_flips

from .activations import kappa
from .cumulants import finite_ratio, ratio_change
from .theorem_3 import transverse_ratio
from .weights import Weights, check_own_law

# 2¹²: twelve entries of different size.
MOST_SUMS = 4096


def _fourth(x: Sequence[fmpq]) -> fmpq:
    """Σx⁴/(Σx²)²."""
    return sum((s * s for s in shares_of(x)), fmpq(0))


def profile_width_slope(rate: fmpq, x: Sequence[fmpq], weights: Weights | None = None) -> arb:
    """Σx⁴/(Σx²)² times the change of the ratio for each unit of it."""
    return ratio_change(rate, weights) * _fourth(x)


def profile_width_expansion(rate: fmpq, x: Sequence[fmpq], weights: Weights | None = None) -> arb:
    """A(p)(1 + slope)."""
    check_many_flips(float(rate), float(1 / _fourth(x)))
    check_own_law(weights, rate, 1 / _fourth(x))
    return transverse_ratio(rate, weights) * (1 + profile_width_slope(rate, x, weights))


def profile_width_ratio(rate: fmpq, x: Sequence[fmpq], weights: Weights | None = None) -> arb:
    """(½ − 2(E κ)²)/T(shift), summed over all masks."""
    check_own_law(weights, rate, 1 / _fourth(x))
    kernel = mean_over_masks([rate] * len(x), shares_of(x))
    return finite_ratio(rate, kernel, _fourth(x), weights)


def shares_of(x: Sequence[fmpq]) -> list[fmpq]:
    squares = [entry * entry for entry in x]
    total = sum(squares, fmpq(0))
    return [square / total for square in squares]


def mean_over_masks(rates: Sequence[fmpq], shares: Sequence[fmpq]) -> arb:
    """E κ at correlation 1 − 2q, q = Σ M_j share_j, sum by sum: equal entries share their sums."""
    law = {fmpq(0): arb(1)}
    for rate, share in zip(rates, shares, strict=True):
        # What never flips, or moves nothing, would only double the sums.
        if rate == 0 or share == 0:
            continue
        # By exact sums: equal ones meet, in whatever order the columns come.
        following: dict[fmpq, arb] = {}
        for q, weight in law.items():
            for total, part in ((q, 1 - rate), (q + share, rate)):
                following[total] = following.get(total, arb(0)) + weight * part
        if len(following) > MOST_SUMS:
            raise invalid(
                f"at most {MOST_SUMS} sums of x_j² for an enclosure", len(shares), "pass fewer columns"
            )
        law = following
    return sum((weight * kappa(arb(1 - 2 * q), arb(1)) for q, weight in law.items()), arb(0))
