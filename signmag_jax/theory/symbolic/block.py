"""One ReLU block at infinite width: energies, radial fraction, the transverse ratio and its expansion."""

import sympy as sp

from .perturbations import magnitude_shift, matched_size, mean_magnitude, sign_flip
from .symbols import growth, overlap, rate, root_rate


def kappa(c: sp.Expr = overlap, v: sp.Expr = growth) -> sp.Expr:
    """κ = E[relu(z) relu(z')] = √v (sin θ + (π − θ) cos θ)/(2π) with cos θ = c/√v.

    Written as (√(v − c²) + (π − θ) c)/(2π): the degree-1 arc-cosine kernel (Cho and Saul 2009).
    """
    return (sp.sqrt(v - c**2) + (sp.pi - sp.acos(c / sp.sqrt(v))) * c) / (2 * sp.pi)


def _energy(kernel: sp.Expr, v: sp.Expr) -> sp.Expr:
    return v / 2 + sp.Rational(1, 2) - 2 * kernel


def energy(c: sp.Expr = overlap, v: sp.Expr = growth) -> sp.Expr:
    """e = E(h' − h)² = v/2 + ½ − 2κ."""
    return _energy(kappa(c, v), v)


def radial(c: sp.Expr = overlap, v: sp.Expr = growth) -> sp.Expr:
    """r = (E h(h' − h))²/E h² = 2(κ − ½)²."""
    return 2 * (kappa(c, v) - sp.Rational(1, 2)) ** 2


def transverse(c: sp.Expr = overlap, v: sp.Expr = growth) -> sp.Expr:
    """T = e − r = v/2 − 2κ²."""
    return v / 2 - 2 * kappa(c, v) ** 2


def radial_fraction(c: sp.Expr = overlap, v: sp.Expr = growth) -> sp.Expr:
    """R = r/e."""
    return radial(c, v) / energy(c, v)


def normalised_change(c: sp.Expr = overlap, v: sp.Expr = growth) -> sp.Expr:
    """sin² of the angle between h and h', 1 − 4κ²/v: the finite change of the normalised output."""
    return 1 - 4 * kappa(c, v) ** 2 / v


def transverse_ratio(rate: sp.Expr = rate) -> sp.Expr:
    """A(p) = T(sign flips at rate p)/T(magnitude shift of equal Frobenius norm), exact (Theorem 3)."""
    return transverse(*sign_flip(rate)) / transverse(*magnitude_shift(matched_size(rate)))


def transverse_ratio_limit() -> sp.Expr:
    """lim A(p) as p → 0: π/(π − 2)."""
    return sp.pi / (sp.pi - 2)


def root_coefficient() -> sp.Expr:
    """Coefficient of √p in A(p)/A(0): −(4/(3π))(1 − √(1 − 2/π))."""
    return -(4 / (3 * sp.pi)) * (1 - sp.sqrt(1 - 2 / sp.pi))


def rate_coefficient() -> sp.Expr:
    """Coefficient of p in A(p)/A(0): −1 − (8/(3π)) b k − (16/(9π²)) k(1 − k), b = √(2/π), k = √(1 − 2/π)."""
    b, k = mean_magnitude(), sp.sqrt(1 - 2 / sp.pi)
    return -1 - 8 / (3 * sp.pi) * b * k - 16 / (9 * sp.pi**2) * k * (1 - k)


def transverse_ratio_expansion(rate: sp.Expr = rate) -> sp.Expr:
    """π/(π − 2) [1 + c₁√p + c₂ p], which A(p) equals up to O(p^{3/2})."""
    relative = 1 + root_coefficient() * sp.sqrt(rate) + rate_coefficient() * rate
    return transverse_ratio_limit() * relative


def paper_root_coefficient() -> sp.Expr:
    """Coefficient of √p that arXiv:2605.18933 states for A(p)/A(0): −4/(3π), the flips' energy alone."""
    return -4 / (3 * sp.pi)


def paper_transverse_ratio(rate: sp.Expr = rate) -> sp.Expr:
    """π/(π − 2) (1 − p)(1 − 4√p/(3π)): the closed form that arXiv:2605.18933 gives for A(p)."""
    return transverse_ratio_limit() * (1 - rate) * (1 + paper_root_coefficient() * sp.sqrt(rate))


def paper_tabulated_ratio(rate: sp.Expr = rate) -> sp.Expr:
    """(1 − p + 4p^{3/2}/(3π))/(1 − 2/π) · (1 − 4√p/(3π)): gives the predictions printed in that paper."""
    contraction = 4 * sp.sqrt(rate) / (3 * sp.pi)
    return (1 - rate + contraction * rate) / (1 - 2 / sp.pi) * (1 - contraction)


def sign_radial_fraction() -> sp.Expr:
    """Radial fraction after the ReLU of the optimally scaled sign quantiser's error (Theorem 4).

    2(κ − ½)²/(1/π + ½ − 2κ) with κ = (√(π/2 − 1) + π − acos √(2/π))/π².
    """
    kernel = (sp.sqrt(sp.pi / 2 - 1) + sp.pi - sp.acos(sp.sqrt(2 / sp.pi))) / sp.pi**2
    half = sp.Rational(1, 2)
    return 2 * (kernel - half) ** 2 / (1 / sp.pi + half - 2 * kernel)


def stable_kappa(drift: sp.Expr, noise: sp.Expr) -> sp.Expr:
    """κ from drift = c − 1 and noise = v − c², for c > 0: θ = atan(√noise/c)."""
    c = 1 + drift
    return (sp.sqrt(noise) + (sp.pi - sp.atan(sp.sqrt(noise) / c)) * c) / (2 * sp.pi)


def analytic_transverse_ratio(root: sp.Expr = root_rate) -> sp.Expr:
    """A in s = √p, in which it is analytic at 0: θ = 2 asin s for flips, atan(√(v − c²)/c) for the shift."""
    angle = 2 * sp.asin(root)
    flip_kappa = (2 * root * sp.sqrt(1 - root**2) + (sp.pi - angle) * (1 - 2 * root**2)) / (2 * sp.pi)
    c, v = magnitude_shift(2 * root)
    shift_kappa = stable_kappa(c - 1, 4 * root**2 * (1 - 2 / sp.pi))
    return (sp.Rational(1, 2) - 2 * flip_kappa**2) / (v / 2 - 2 * shift_kappa**2)
