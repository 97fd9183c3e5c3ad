"""Finitely many rows and outputs: the 1/m and 1/d terms, as ratios of means.

A layer of m rows realises (Σ hδ)²/Σ h² instead of m μ²/ν; to first order the expectation exceeds it by
Var(hδ − (μ/ν)h²)/ν, and d Gaussian outputs turn a share 1/d of what is left into radial energy.
The mean over inputs of a per-input cos² is another estimator, with other terms.
"""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import Real, law
from signmag_jax.perturb import HasMoments, MagnitudeShift, Moments, SignFlip

from .energies import RATE, check_moments, not_negative, relu_block, resolved_rate
from .kernel import angle, gap, safe_sqrt

ROWS = Interval(1.0, fix="pass the number of rows, at least 1")


def realignment(moments: Moments) -> Array:
    """Var(hδ − (μ/ν)h²)/ν = 2E h²(h' − 2κh)² of a ReLU block, for use inside a law.

    In polar coordinates, with g the gap and h' − 2κh = √noise·z₂ − (g/π)z₁ where both are positive, it is
    (8/π)·[(g/π)²C₄ − 2(g/π)√noise·C₃₁ + noise·C₂₂ + 4κ²S₄], integrals of trigonometric monomials.
    """
    c, noise = moments.c, not_negative(moments.noise)
    theta, small = angle(c, noise), gap(c, noise) / jnp.pi
    sine, double, quadruple = jnp.sin(theta), jnp.sin(2 * theta), jnp.sin(4 * theta)
    left = jnp.pi - theta
    # ∫cos⁴, ∫cos³sin and ∫cos²sin² over (θ − π/2, π/2), and ∫sin⁴ over (0, θ), where only h is positive.
    c4 = 3 * left / 8 + double / 4 - quadruple / 32
    c31 = sine**4 / 4
    c22 = left / 8 + quadruple / 32
    s4 = 3 * theta / 8 - double / 4 + quadruple / 32
    # s4 is θ⁵/5 for small θ; below 0.2 its series keeps the digits that the difference loses.
    t = jnp.where(theta < 0.2, theta, jnp.zeros_like(theta))
    x = t**2
    series = 62 / 184275 - x * 4 / 155925
    series = t**5 * (1 / 5 - x * (2 / 21 - x * (1 / 45 - x * (34 / 10395 - x * series))))
    s4 = jnp.where(theta < 0.2, series, s4)
    both = small**2 * c4 - 2 * small * safe_sqrt(noise) * c31 + noise * c22
    # c + g/π is 2κ.
    return 8 / jnp.pi * (both + (c + small) ** 2 * s4)


@law(domain={"rows": ROWS, "outputs": Interval(1.0, fix="pass the number of outputs, at least 1")})
def _hidden(moments: Moments, rows: ArrayLike, outputs: ArrayLike) -> Array:
    out = relu_block(moments)
    fraction = (out.radial + realignment(moments) / jnp.asarray(rows)) / out.energy
    return fraction + (1 - fraction) / jnp.asarray(outputs)


def finite_rows_radial_fraction(perturbation: HasMoments, rows: ArrayLike, outputs: ArrayLike = 1e30) -> Real:
    """Radial fraction of m ReLU rows, and of d Gaussian outputs behind them, to first order in 1/m.

    R_m = [μ²/ν + Var(hδ − (μ/ν)h²)/(νm)]/e, then R_m + (1 − R_m)/d, which is exact in d. For small errors the
    row term is 2/m for flips and 2(1−2/π)/m for the matched shift.

    Args:
      perturbation: of the first layer.
      rows: number m of hidden rows.
      outputs: number d of outputs; the default leaves the hidden radial fraction.

    Raises:
      InvalidInput: for concrete counts below 1 or impossible moments.
    """
    moments = perturbation.moments()
    check_moments(moments)
    return _hidden(moments, rows, outputs)


@law(domain={"rate": RATE, "rows": ROWS})
def finite_rows_ratio(rate: ArrayLike, rows: ArrayLike) -> Float[Array, "..."]:
    """A(p) with m rows, as a ratio of mean transverse energies, to first order in 1/m.

    (T_flip − V_flip/m)/(T_shift − V_shift/m), V = Var(hδ − (μ/ν)h²)/ν: almost nothing is left of 1/m.

    Args:
      rate: flip rate in (0, 1/2].
      rows: number m of hidden rows.
    """
    p, m = resolved_rate(rate), jnp.asarray(rows)
    flip, shift = SignFlip(p).moments(), MagnitudeShift(2 * jnp.sqrt(p)).moments()
    numerator = relu_block(flip).transverse - realignment(flip) / m
    return numerator / (relu_block(shift).transverse - realignment(shift) / m)
