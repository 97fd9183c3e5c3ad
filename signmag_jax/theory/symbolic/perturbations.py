"""Each weight perturbation's two moments c = E[w w']/σ² and v = E[w'²]/σ², for Gaussian weights."""

from typing import NamedTuple

import sympy as sp

from .gaussian import normal_density
from .symbols import growth, overlap, rate, scale, size, threshold


class Pair(NamedTuple):
    """The two moments that a wide block sees."""

    c: sp.Expr
    v: sp.Expr


def mean_magnitude() -> sp.Expr:
    """b = E|w|/σ = √(2/π) of Gaussian weights."""
    return sp.sqrt(2 / sp.pi)


GAUSSIAN = mean_magnitude()


def sign_flip(rate: sp.Expr = rate) -> Pair:
    """w' = −w with probability p, else w."""
    return Pair(1 - 2 * rate, sp.Integer(1))


def magnitude_shift(size: sp.Expr = size, b: sp.Expr = GAUSSIAN) -> Pair:
    """w' = w + εσ sign(w)."""
    return Pair(1 + b * size, 1 + 2 * b * size + size**2)


def magnitude_noise(size: sp.Expr = size) -> Pair:
    """w' = w + εσ sign(w) g with g ~ N(0, 1) independent of w."""
    return Pair(sp.Integer(1), 1 + size**2)


def sign_quantize(b: sp.Expr = GAUSSIAN) -> Pair:
    """w' = E|w| sign(w), the optimally scaled sign quantiser."""
    return Pair(b**2, b**2)


def grouped_sign_quantize(size: sp.Expr, b: sp.Expr = GAUSSIAN) -> Pair:
    """w' = s·sign(w), s the mean magnitude of the `size` weights of a group, of which w is one."""
    kept = b**2 + (1 - b**2) / size
    return Pair(kept, kept)


def ternarize(threshold: sp.Expr = threshold, scale: sp.Expr = scale) -> Pair:
    """w' = aσ sign(w) 1{|w| > tσ}: c = 2aφ(t), v = 2a²(1 − Φ(t)) = a² erfc(t/√2)."""
    return Pair(2 * scale * normal_density(threshold), scale**2 * (1 - sp.erf(threshold / sp.sqrt(2))))


def error_energy(c: sp.Expr = overlap, v: sp.Expr = growth) -> sp.Expr:
    """E(w' − w)²/σ² = v + 1 − 2c, the squared Frobenius norm of the error per entry."""
    return v + 1 - 2 * c


def matched_size(rate: sp.Expr = rate) -> sp.Expr:
    """ε = 2√p: the magnitude perturbation with the Frobenius norm of sign flips at rate p."""
    return 2 * sp.sqrt(rate)


def linear_radial_fraction(c: sp.Expr = overlap, v: sp.Expr = growth) -> sp.Expr:
    """Radial fraction of the error before the ReLU, (c − 1)²/(v + 1 − 2c)."""
    return (c - 1) ** 2 / error_energy(c, v)
