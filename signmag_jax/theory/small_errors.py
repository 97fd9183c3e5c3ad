"""Small errors: the radial fraction with the kernel's gap to leading order."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from signmag_jax.evidence.precision import Real, law
from signmag_jax.perturb import HasMoments, Moments

from .arguments import LARGEST_SQUARE, check_small_error, error_of, moments_of, resolved
from .kernel import safe_sqrt
from .scaled import Scaled, scaled


def radial_fraction_expansion(perturbation: HasMoments, weights: Any = "gaussian") -> Real:
    """(drift + G)²/η·(1 + x + x²), G = noise^{3/2}/(3π), η = drift² + noise, x = 2G/η: R of a ReLU block.

    The gap is taken to leading order. Leaves O(η) of coherent errors, whose drift is of the order of
    √noise, and O(η^{3/2}) of incoherent ones, whose drift is of the order of noise.

    Args and errors as in `radial_fraction`; refused for η > 0.08, where it may be off by more than a tenth.

    Source: proofs/small_errors.py.
    """
    check_small_error(moments_of(perturbation, weights).energy)
    return resolved("radial_fraction_expansion", _radial_fraction(error_of(perturbation, weights)))


@law()
def _radial_fraction(moments: Moments | Scaled) -> Array:
    _, unit, drift, noise = scaled(moments)
    square = drift**2 + noise
    safe = jnp.where(square > 0, square, jnp.ones_like(square))
    gap = noise * safe_sqrt(noise) / (3 * jnp.pi)
    contraction = 2 * unit * gap / safe
    inside = (unit * unit * square <= LARGEST_SQUARE) | (square == 0)
    value = (drift + unit**2 * gap) ** 2 / safe * (1 + contraction + contraction**2)
    lost = (square > 0) & (value < jnp.finfo(value.dtype).tiny)
    return value * jnp.where(inside & ~lost, 1, jnp.nan)
