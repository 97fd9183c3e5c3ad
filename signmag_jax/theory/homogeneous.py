"""Homogeneous activations in closed form: the leaky ReLUs, of degree 1, and the squared ReLU, of degree 2."""

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from .kernel import gap, safe_sqrt, second_gap
from .scaled import Scaled
from .second_moments import SecondMoments

RESOLVED = 4e-4
"""A sum this much smaller than its terms has lost more than 1e-12."""


def kept(total: Array, *terms: Array) -> Array:
    """A sum, or NaN where its terms cancel so far that float64 does not resolve it to 1e-12."""
    size = sum((jnp.abs(term) for term in terms), jnp.zeros_like(total))
    # Added, not chosen: a derivative, which may well be resolved there, passes.
    return total + jnp.where(jnp.abs(total) < RESOLVED * size, jnp.nan, 0)


@dataclass(frozen=True)
class Leaky:
    """max(z, 0) + slope·min(z, 0)."""

    slope: float
    degree = 1

    def __call__(self, moments: Scaled, scale: Any) -> SecondMoments:
        """Closed forms in ν = (1 + slope²)/2 and w = (1 − slope)²g/(2π), as in `leaky_relu`."""
        del scale
        # |z'| does not know z' from −z', and is close to |z| where they are.
        moments = _forward(moments) if self.slope == -1 else moments
        c, unit, drift, noise = moments
        nu = (1 + self.slope**2) / 2
        mean = (1 - self.slope) / math.sqrt(2 * math.pi)
        # Only the kink, a jump of 1 − slope in the derivative, opens a gap; the linear part is exact.
        w = (1 - self.slope) ** 2 * gap(c, unit, noise) / (2 * jnp.pi)
        across = (nu * noise, -2 * c * w, -((unit * w) ** 2) / nu)
        size = nu * (drift**2 + noise)
        root_v = safe_sqrt(moments.v)
        return SecondMoments(
            energy=kept(size - 2 * w, size),
            alignment=kept(nu * drift + unit * w, nu * drift, unit * w),
            transverse=kept(across[0] + across[1] + across[2], *across),
            # + 0·c: constants take the shape of the moments.
            signal=nu + 0 * c,
            perturbed=nu * moments.v,
            overlap=nu * c + unit * (unit * w),
            mean=mean + 0 * c,
            # √v − 1 = (v − 1)/(1 + √v), and v − 1 from drift and noise keeps its digits at small errors.
            mean_shift=mean * moments.growth / (1 + root_v),
        )


def _forward(moments: Scaled) -> Scaled:
    """Moments of z and the one of z' and −z' that has c >= 0."""
    c, unit, drift, noise = moments
    return Scaled(jnp.abs(c), unit, jnp.where(c < 0, (-c - 1) / unit, drift), noise)


@dataclass(frozen=True)
class SquaredReLU:
    """max(z, 0)²."""

    degree = 2

    def __call__(self, moments: Scaled, scale: Any) -> SecondMoments:
        """E hh' = (3c² + noise)/2 + g₂/(2π), the degree-2 arc-cosine kernel."""
        del scale
        c, unit, drift, noise = moments
        # c² − 1 from the drift: in no sum below do near equals cancel at small errors.
        growth = drift * (1 + c)
        g = second_gap(c, unit, noise) / jnp.pi
        w = (noise + g) / 2
        spread = unit * noise
        energy = (1.5 * growth**2, noise * (3 * c**2 - 1), 1.5 * spread**2, -g)
        return SecondMoments(
            energy=kept(energy[0] + energy[1] + energy[2] + energy[3], *energy),
            alignment=kept(1.5 * growth + unit * w, 1.5 * growth, unit * w),
            transverse=2 * c**2 * noise + 1.5 * spread**2 - c**2 * g - 2 / 3 * (unit * w) ** 2,
            signal=1.5 + 0 * c,
            perturbed=1.5 * moments.v**2,
            overlap=1.5 * c**2 + unit * (unit * w),
            mean=0.5 + 0 * c,
            mean_shift=moments.growth / 2,
        )
