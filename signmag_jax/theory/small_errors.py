"""Small errors: the radial fraction with the kernel's gap to leading order."""

import jax.numpy as jnp
from jaxtyping import Array

from signmag_jax.evidence.precision import Real, law
from signmag_jax.perturb import HasMoments, Moments

from .energies import check_moments, not_negative


def radial_fraction_expansion(perturbation: HasMoments) -> Real:
    """(drift + G)²/η·(1 + x + x²), G = noise^{3/2}/(3π), η = drift² + noise, x = 2G/η: R of a ReLU block.

    The gap is taken to leading order. Leaves O(η) of coherent errors, whose drift is of the order of
    √noise, and O(η^{3/2}) of incoherent ones, whose drift is of the order of noise.

    Args and errors as in `radial_fraction`.

    Source: proofs/small_errors.py.
    """
    moments = perturbation.moments()
    check_moments(moments)
    return _radial_fraction(moments)


@law()
def _radial_fraction(moments: Moments) -> Array:
    drift, noise = jnp.broadcast_arrays(moments.drift, not_negative(moments.noise))
    size = drift**2 + noise
    safe = jnp.where(size > 0, size, jnp.ones_like(size))
    # √ of a noise of 0 has no slope; its cube has.
    root = jnp.sqrt(jnp.where(noise > 0, noise, jnp.ones_like(noise)))
    gap = jnp.where(noise > 0, noise * root, 0 * noise) / (3 * jnp.pi)
    contraction = 2 * gap / safe
    return (drift + gap) ** 2 / safe * (1 + contraction + contraction**2)
