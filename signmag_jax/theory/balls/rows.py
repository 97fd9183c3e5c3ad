"""A finite number of rows in ball arithmetic: the 1/m and 1/d terms."""

from flint import arb, fmpq

from .activations import angle, kappa
from .energies import energy, transverse
from .pairs import Pair, flip, matched
from .weights import Weights


def realignment(pair: Pair) -> arb:
    """Var(hδ − (μ/ν)h²)/ν = 2(K₂₂ − 4κK₃₁ + 6κ²), from the kernels of degrees (2, 2) and (3, 1)."""
    c, v = pair
    root, theta = angle(c, v)
    left, here = arb.pi() - theta, kappa(c, v)
    second = (3 * c * root + left * (v + 2 * c**2)) / (2 * arb.pi())
    # √v(3 sin θ − sin³θ + 3(π−θ)cos θ), with √v sin θ = √(v−c²).
    mixed = (3 * root - root**3 / v + 3 * left * c) / (2 * arb.pi())
    return 2 * (second - 4 * here * mixed + 6 * here**2)


def finite_rows_ratio(rate: fmpq, rows: fmpq, weights: Weights | None = None) -> arb:
    """(T − V/m) of flips over that of the shift."""
    pairs = (flip(rate), matched(rate, weights))
    above, below = (transverse(pair) - realignment(pair) / rows for pair in pairs)
    return above / below


def finite_rows_radial_fraction(perturbation: Pair, rows: fmpq, outputs: fmpq | None = None) -> arb:
    """R_m + (1 − R_m)/d, R_m = (r + V/m)/e."""
    radial = 2 * (kappa(*perturbation) - arb(fmpq(1, 2))) ** 2
    hidden = (radial + realignment(perturbation) / rows) / energy(perturbation)
    return hidden if outputs is None else hidden + (1 - hidden) / outputs
