"""Plain chains of finite width, to first order in 1/n: mean and variance of the cosine, layer by layer."""

from typing import NamedTuple

import sympy as sp

from .depth import cosine_map
from .symbols import cosine, growth, overlap, state_cosine
from .width import FourthCumulants, kernel_change

SPHERE = FourthCumulants(*(sp.Integer(3),) * 5)
"""n Σ_j x_j^a x_j'^b, a + b = 4, of an input on the sphere, to leading order."""


class Fluctuation(NamedTuple):
    """n (E q − q at infinite width) and n Var q of the cosine q after a layer, to leading order."""

    mean: sp.Expr
    variance: sp.Expr


STILL = Fluctuation(sp.Integer(0), sp.Integer(0))


def second_degree(rho: sp.Expr = cosine) -> sp.Expr:
    """E h²h'² of rectified standard normals of correlation ρ."""
    theta = sp.acos(rho)
    return (3 * sp.sqrt(1 - rho**2) * rho + (sp.pi - theta) * (1 + 2 * rho**2)) / (2 * sp.pi)


def mixed_degree(rho: sp.Expr = cosine) -> sp.Expr:
    """E h³h'."""
    sine = sp.sqrt(1 - rho**2)
    return (3 * sine - sine**3 + 3 * (sp.pi - sp.acos(rho)) * rho) / (2 * sp.pi)


def hidden_fourths(rho: sp.Expr = cosine) -> FourthCumulants:
    """n Σ_j x_j^a x_j'^b of normalised hidden states: E h^a h'^b/(E h²)²."""
    mixed = 4 * mixed_degree(rho)
    return FourthCumulants(sp.Integer(6), mixed, 4 * second_degree(rho), mixed, sp.Integer(6))


def chain_kernel_change(
    cumulants: FourthCumulants,
    fourths: FourthCumulants,
    q: sp.Expr = state_cosine,
    c: sp.Expr = overlap,
    v: sp.Expr = growth,
) -> sp.Expr:
    """n Δκ of a row whose clean and perturbed inputs have the cosine q: z, z' have κ_ab Σ_j x_j^a x_j'^b."""
    return kernel_change(FourthCumulants(*(k * s for k, s in zip(cumulants, fourths, strict=True))), c * q, v)


def cosine_bias(rho: sp.Expr = cosine) -> sp.Expr:
    """m (E q − J) of the cosine that m rows realise: J(9/2 + E h²h'²) − 4E h³h'."""
    return cosine_map(rho) * (sp.Rational(9, 2) + second_degree(rho)) - 4 * mixed_degree(rho)


def cosine_variance(rho: sp.Expr = cosine) -> sp.Expr:
    """m Var q: 4E h²h'² + J²(2E h²h'² + 3) − 8J E h³h'."""
    j, second = cosine_map(rho), second_degree(rho)
    return 4 * second + j**2 * (2 * second + 3) - 8 * j * mixed_degree(rho)


def fluctuation_step(before: Fluctuation, rho: sp.Expr, turn: sp.Expr, change: sp.Expr) -> Fluctuation:
    """Through a layer that takes q to J(k q), ρ = k q, and whose rows' fourth cumulants add `change`/n to it.

    J' = (π − acos ρ)/π and J'' = 1/(π√(1 − ρ²)).
    """
    slope = turn * (sp.pi - sp.acos(rho)) / sp.pi
    bend = turn**2 / (sp.pi * sp.sqrt(1 - rho**2))
    mean = slope * before.mean + bend * before.variance / 2 + change + cosine_bias(rho)
    return Fluctuation(mean, slope**2 * before.variance + cosine_variance(rho))


def sine_change(q: sp.Expr, fluctuation: Fluctuation) -> sp.Expr:
    """n (E sin²/(1 − q²) − 1) of the angle whose cosine fluctuates about q."""
    return -(2 * q * fluctuation.mean + fluctuation.variance) / (1 - q**2)
