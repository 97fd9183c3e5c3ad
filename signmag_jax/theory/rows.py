"""Finitely many rows and outputs: the 1/m and 1/d terms, as ratios of means.

A layer of m rows realises (Σ hδ)²/Σ h² instead of m μ²/ν; to first order the expectation exceeds it by
Var(hδ − (μ/ν)h²)/ν, and d Gaussian outputs turn a share 1/d of what is left into radial energy.
The mean over inputs of a per-input cos² is another estimator, with other terms.
"""

from typing import Any

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import Real, law
from signmag_jax.perturb import HasMoments, Moments

from .arguments import RATE, WEIGHTS, error_of, resolved
from .energies import relu_block
from .kernel import gap, safe_sqrt
from .scaled import Scaled, flips, scaled, shift

ROWS = Interval(8.0, fix="pass the number of rows, at least 8: a law of first order in 1/m")
OUTPUTS = Interval(1.0, fix="pass the number of outputs, at least 1")


def realignment(moments: Scaled) -> Array:
    """Var(hδ − (μ/ν)h²)/ν = 2E h²(h' − 2κh)² of a ReLU block, in units of unit², for use inside a law.

    In polar coordinates, with g the gap and h' − 2κh = √noise·z₂ − (g/π)z₁ where both are positive, it is
    (8/π)·[(g/π)²C₄ − 2(g/π)√noise·C₃₁ + noise·C₂₂ + 4κ²S₄], integrals of trigonometric monomials.
    """
    c, unit, _, noise = moments
    root = safe_sqrt(noise)
    theta = jnp.arctan2(unit * root, c)
    small = unit * gap(c, unit, noise) / jnp.pi
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
    series = t**3 * (1 / 5 - x * (2 / 21 - x * (1 / 45 - x * (34 / 10395 - x * series))))
    turned = theta / unit
    whole = jnp.where(theta < 0.2, jnp.ones_like(unit), unit)
    s4 = jnp.where(theta < 0.2, turned**2 * series, s4 / whole**2)
    both = small**2 * c4 - 2 * small * root * c31 + noise * c22
    # c + g/π is 2κ.
    return 8 / jnp.pi * (both + (c + unit * small) ** 2 * s4)


@law(domain={"rows": ROWS, "outputs": OUTPUTS})
def _hidden(moments: Moments | Scaled, rows: ArrayLike, outputs: ArrayLike) -> Array:
    s = scaled(moments)
    out = relu_block(s)
    energy = out.pair.energy
    some = energy != 0
    share = (out.radial + realignment(s) / jnp.asarray(rows)) / jnp.where(some, energy, jnp.ones_like(energy))
    return jnp.where(some, share + (1 - share) / jnp.asarray(outputs), 0 * share)


def finite_rows_radial_fraction(
    perturbation: HasMoments, rows: ArrayLike, outputs: ArrayLike = 1e30, weights: Any = "gaussian"
) -> Real:
    """Radial fraction of m ReLU rows, and of d Gaussian outputs behind them, to first order in 1/m.

    R_m = [μ²/ν + Var(hδ − (μ/ν)h²)/(νm)]/e, then R_m + (1 − R_m)/d, which is exact in d; 0 without an error.
    For small errors the row term is 2/m for flips and 2(1−b²)/m for the matched shift. From 8 rows on it is a
    fraction for every error; with fewer the first order is no approximation.

    Args:
      perturbation: of the first layer.
      rows: number m of hidden rows, at least 8.
      outputs: number d of outputs; the default leaves the hidden radial fraction.
      weights: law of the weights of so many inputs that it is seen by b = E|w|/σ alone, as in `block`.

    Raises:
      InvalidInput: for concrete rows below 8, outputs below 1 or impossible moments.
    """
    fraction = _hidden(error_of(perturbation, weights), rows, outputs)
    return resolved("finite_rows_radial_fraction", fraction)


@law(domain={"rate": RATE, "rows": ROWS}, read=WEIGHTS)
def finite_rows_ratio(rate: ArrayLike, rows: ArrayLike, weights: Any = "gaussian") -> Float[Array, "..."]:
    """A(p) with m rows, as a ratio of mean transverse energies, to first order in 1/m.

    (T_flip − V_flip/m)/(T_shift − V_shift/m), V = Var(hδ − (μ/ν)h²)/ν: almost nothing is left of 1/m.

    Args:
      rate: flip rate in (0, 1/2].
      rows: number m of hidden rows, at least 8: with fewer the first order is no approximation.
      weights: as in `transverse_ratio`.
    """
    m = jnp.asarray(rows)
    flip, shifted = flips(rate), shift(rate, weights)
    numerator = relu_block(flip).pair.transverse - realignment(flip) / m
    return numerator / (relu_block(shifted).pair.transverse - realignment(shifted) / m)
