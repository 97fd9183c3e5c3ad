"""One block in ball arithmetic, as textbooks print it: where a form cancels, precision is raised instead."""

from flint import arb, fmpq

from .activations import angle, kappa, second_moments
from .pairs import Pair, flip, matched


def transverse(pair: Pair) -> arb:
    """T = v/2 − 2κ²."""
    return pair[1] / 2 - 2 * kappa(*pair) ** 2


def energy(pair: Pair) -> arb:
    """e = v/2 + ½ − 2κ."""
    return pair[1] / 2 + arb(fmpq(1, 2)) - 2 * kappa(*pair)


def transverse_ratio(rate: fmpq) -> arb:
    """A(p)."""
    return transverse(flip(rate)) / transverse(matched(rate))


def paper_transverse_ratio(rate: fmpq) -> arb:
    """The paper's closed form."""
    return arb.pi() / (arb.pi() - 2) * (1 - rate) * (1 - 4 * arb(rate).sqrt() / (3 * arb.pi()))


def paper_transverse_ratio_as_printed(rate: fmpq) -> arb:
    """The expression behind the paper's printed column."""
    contraction = 4 * arb(rate).sqrt() / (3 * arb.pi())
    return (1 - rate + rate * contraction) / (1 - 2 / arb.pi()) * (1 - contraction)


def limit() -> arb:
    """A(0⁺) = π/(π − 2)."""
    return arb.pi() / (arb.pi() - 2)


def root_coefficient() -> arb:
    """Coefficient of √p in A(p)/A(0⁺)."""
    return -4 / (3 * arb.pi()) * (1 - (1 - 2 / arb.pi()).sqrt())


def rate_coefficient() -> arb:
    """Coefficient of p in A(p)/A(0⁺)."""
    b, k = (2 / arb.pi()).sqrt(), (1 - 2 / arb.pi()).sqrt()
    return -1 - 8 / (3 * arb.pi()) * b * k - 16 / (9 * arb.pi() ** 2) * k * (1 - k)


def transverse_ratio_expansion(rate: fmpq) -> arb:
    """The first three terms of A(p) in √p."""
    return limit() * (1 + root_coefficient() * arb(rate).sqrt() + rate_coefficient() * rate)


def radial_fraction(perturbation: Pair, activation: str = "relu", scale: fmpq | None = None) -> arb:
    """R = (E hδ)²/(E h² E δ²)."""
    return second_moments(activation, *perturbation, scale).radial_fraction


def radial_fraction_expansion(perturbation: Pair) -> arb:
    """(drift + G)²/η·(1 + x + x²)."""
    c, v = perturbation
    noise, size = v - c**2, v + 1 - 2 * c
    gap = noise * noise.nonnegative_part().sqrt() / (3 * arb.pi())
    contraction = 2 * gap / size
    return (c - 1 + gap) ** 2 / size * (1 + contraction + contraction**2)


def cosine_squared(perturbation: Pair) -> arb:
    """c²/v."""
    return perturbation[0] ** 2 / perturbation[1]


def realignment(pair: Pair) -> arb:
    """Var(hδ − (μ/ν)h²)/ν = 2(K₂₂ − 4κK₃₁ + 6κ²), from the kernels of degrees (2, 2) and (3, 1)."""
    c, v = pair
    root, theta = angle(c, v)
    left, here = arb.pi() - theta, kappa(c, v)
    second = (3 * c * root + left * (v + 2 * c**2)) / (2 * arb.pi())
    # √v(3 sin θ − sin³θ + 3(π−θ)cos θ), with √v sin θ = √(v−c²).
    mixed = (3 * root - root**3 / v + 3 * left * c) / (2 * arb.pi())
    return 2 * (second - 4 * here * mixed + 6 * here**2)


def finite_rows_ratio(rate: fmpq, rows: fmpq) -> arb:
    """(T − V/m) of flips over that of the shift."""
    above, below = (transverse(pair) - realignment(pair) / rows for pair in (flip(rate), matched(rate)))
    return above / below


def finite_rows_radial_fraction(perturbation: Pair, rows: fmpq, outputs: fmpq | None = None) -> arb:
    """R_m + (1 − R_m)/d, R_m = (r + V/m)/e."""
    radial = 2 * (kappa(*perturbation) - arb(fmpq(1, 2))) ** 2
    hidden = (radial + realignment(perturbation) / rows) / energy(perturbation)
    return hidden if outputs is None else hidden + (1 - hidden) / outputs
