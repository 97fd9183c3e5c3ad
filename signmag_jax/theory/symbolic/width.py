"""Finite width: what n inputs change in the law of infinite width, to first order in Σ x_j⁴, ‖x‖ = 1."""

from typing import NamedTuple

import sympy as sp

from .energies import kappa, transverse
from .perturbations import magnitude_shift, matched_size, mean_magnitude, sign_flip
from .symbols import growth, overlap, rate, size, width


# Apart from that of `theory.cumulants`: neither may rest on the other, whose agreement is the evidence.
class FourthCumulants(NamedTuple):
    """κ_ab of (w, w')/σ with a + b = 4."""

    k40: sp.Expr
    k31: sp.Expr
    k22: sp.Expr
    k13: sp.Expr
    k04: sp.Expr


class AbsoluteMoments(NamedTuple):
    """E|w|, E|w|³ and E w⁴ of weights of variance 1."""

    b: sp.Expr
    third: sp.Expr
    fourth: sp.Expr


# E|z|³ = 2E|z| of a normal z, by parts.
GAUSSIAN = AbsoluteMoments(mean_magnitude(), 2 * mean_magnitude(), sp.Integer(3))


def flip_cumulants(rate: sp.Expr = rate, weights: AbsoluteMoments = GAUSSIAN) -> FourthCumulants:
    """Sign flips: κ₂₂ = 8p(1 − p) + κ₄₀, κ₃₁ = κ₁₃ = (1 − 2p)κ₄₀, κ₀₄ = κ₄₀, 0 of Gaussian weights."""
    excess = weights.fourth - 3
    odd = (1 - 2 * rate) * excess
    return FourthCumulants(excess, odd, 8 * rate * (1 - rate) + excess, odd, excess)


def shift_cumulants(size: sp.Expr = size, weights: AbsoluteMoments = GAUSSIAN) -> FourthCumulants:
    """The magnitude shift by εσ."""
    b, h, excess = weights.b * size, (weights.third - 3 * weights.b) * size, weights.fourth - 3
    return FourthCumulants(
        excess,
        excess + h,
        excess + 2 * h - 2 * b**2,
        excess + 3 * h - 6 * b**2 - 2 * b * size**2,
        excess + 4 * h - 12 * b**2 - 8 * b * size**2 - 2 * size**4,
    )


def kernel_change(cumulants: FourthCumulants, c: sp.Expr = overlap, v: sp.Expr = growth) -> sp.Expr:
    """Δκ per Σ x_j⁴: [κ₄₀(c² − D) − 4κ₃₁c + 6κ₂₂ − 4κ₁₃c/v + κ₀₄(c² − D)/v²]/(48π√D), D = v − c²."""
    k40, k31, k22, k13, k04 = cumulants
    noise = v - c**2
    bent = k40 * (c**2 - noise) - 4 * k31 * c + 6 * k22 - 4 * k13 * c / v + k04 * (c**2 - noise) / v**2
    return bent / (48 * sp.pi * sp.sqrt(noise))


def flip_kernel_change(rate: sp.Expr = rate, weights: AbsoluteMoments = GAUSSIAN) -> sp.Expr:
    """Δκ per Σ x_j⁴ of sign flips: √D m₄/(12π), D = 4p(1 − p), m₄ = E w⁴."""
    return sp.sqrt(rate * (1 - rate)) * weights.fourth / (6 * sp.pi)


def shift_kernel_change(size: sp.Expr = size, weights: AbsoluteMoments = GAUSSIAN) -> sp.Expr:
    """Δκ per Σ x_j⁴ of the magnitude shift: ε³(A + Bε + Cε²)/(48π√(1 − b²)v²), of third order in ε."""
    b, third, fourth = weights
    a, v = 2 * b**2 - 1, magnitude_shift(size, b).v
    level = (2 * a**2 - 1) * fourth - 4 * b * (2 * a - 1) * third + 4 * a - 1
    slope = 2 * b * (2 * a - 1) * fourth - 8 * a * third + 6 * b
    bend = a * fourth - 4 * b * third + 4 - a
    return size**3 * (level + slope * size + bend * size**2) / (48 * sp.pi * sp.sqrt(1 - b**2) * v**2)


def transverse_change(cumulants: FourthCumulants, c: sp.Expr = overlap, v: sp.Expr = growth) -> sp.Expr:
    """ΔT/T per Σ x_j⁴, −4κΔκ/T."""
    # dT = −4κ dκ of T = v/2 − 2κ²: v is a second moment, the same at every width.
    return -4 * kappa(c, v) * kernel_change(cumulants, c, v) / transverse(c, v)


def profile_slope(rate: sp.Expr = rate, weights: AbsoluteMoments = GAUSSIAN) -> sp.Expr:
    """Relative change of the transverse ratio per Σ x_j⁴ of a unit input: the flips' less the shift's."""
    # Relative changes of a quotient subtract, to first order.
    shift = matched_size(rate)
    flips = transverse_change(flip_cumulants(rate, weights), *sign_flip(rate))
    return flips - transverse_change(shift_cumulants(shift, weights), *magnitude_shift(shift, weights.b))


def finite_width_slope(rate: sp.Expr = rate, weights: AbsoluteMoments = GAUSSIAN) -> sp.Expr:
    """Relative change of the transverse ratio per 1/n on the sphere, where Σ x_j⁴ = 3/n + O(1/n²)."""
    return 3 * profile_slope(rate, weights)


def share_mean(rate: sp.Expr = rate) -> sp.Expr:
    """E q = p for the share q = Σ M_j x_j² of the flips in the energy of an input."""
    return rate


def share_variance(rate: sp.Expr = rate, n: sp.Expr = width) -> sp.Expr:
    """Var q = 3p(1 − p)/(n + 2) for an input on the sphere and flips at rate p."""
    # The mean of `profile_variance`, for E Σ x_j⁴ = 3/(n + 2) on the sphere; E q is the same for every input.
    return 3 * rate * (1 - rate) / (n + 2)


def profile_variance(rate: sp.Expr, fourth: sp.Expr) -> sp.Expr:
    """Var q = p(1 − p)Σ x_j⁴ for one unit input."""
    return rate * (1 - rate) * fourth


def width_coefficient(rate: sp.Expr = rate) -> sp.Expr:
    """Relative change of the transverse ratio per 1/n for n p ≫ 1 and small p: −3/(2π√p)."""
    return -3 / (2 * sp.pi * sp.sqrt(rate))


def saturation_coefficient(weights: AbsoluteMoments = GAUSSIAN) -> sp.Expr:
    """Relative change of the transverse ratio per 1/√n for n p ≪ 1: −(4/(3π)) E|w|³."""
    return -4 / (3 * sp.pi) * weights.third
