"""Gaussian expectations as unevaluated integrals, and the ReLU: what the derivations start from."""

import sympy as sp

from .symbols import growth, overlap

first, second = sp.symbols("z u", real=True)
"""Independent standard normal variables: z is the clean pre-activation, u what the perturbed one adds."""

weight = sp.Symbol("w", real=True)
"""A weight in units of σ."""


def normal_density(x: sp.Expr) -> sp.Expr:
    """φ(x) = exp(−x²/2)/√(2π)."""
    return sp.exp(-(x**2) / 2) / sp.sqrt(2 * sp.pi)


def expectation(function: sp.Expr, *variables: sp.Symbol) -> sp.Integral:
    """E f over independent standard normal variables, as an integral that is not evaluated."""
    density = sp.Mul(*(normal_density(variable) for variable in variables))
    return sp.Integral(function * density, *((variable, -sp.oo, sp.oo) for variable in variables))


def relu(x: sp.Expr) -> sp.Expr:
    """(x + |x|)/2."""
    # By |x|, whose pieces the kernel knows; it gives no meaning to a maximum.
    return (x + sp.Abs(x)) / 2


def perturbed(angle: sp.Expr, v: sp.Expr = growth) -> sp.Expr:
    """z' = √v (cos θ z + sin θ u): variance v and covariance √v cos θ with z."""
    return sp.sqrt(v) * (sp.cos(angle) * first + sp.sin(angle) * second)


def angle(c: sp.Expr = overlap, v: sp.Expr = growth) -> sp.Expr:
    """θ = acos(c/√v)."""
    return sp.acos(c / sp.sqrt(v))
