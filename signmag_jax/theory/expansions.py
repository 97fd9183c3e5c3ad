"""What the laws become for small errors, wide layers and small amplitudes, to the orders that are proved."""

import math

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from signmag_jax.evidence.precision import Real, law
from signmag_jax.perturb import HasMoments, Moments

from .energies import check_moments, not_negative, transverse_ratio
from .outliers import AMPLITUDE, WIDTH
from .profile import profile_width_slope
from .width import check_width, finite_width_slope


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


@law(domain={"alpha": AMPLITUDE, "n": WIDTH})
def flip_amplification_expansion(alpha: ArrayLike, n: ArrayLike) -> Float[Array, "..."]:
    """nα²[1 − (4/(3π))(α − 1/√n)]: R(α, n) to first order in both amplitudes.

    Args and errors as in `flip_amplification`.

    Source: proofs/single_flip.py.
    """
    alpha, n = jnp.broadcast_arrays(alpha, n)
    return n * alpha**2 * (1 - 4 / (3 * jnp.pi) * (alpha - 1 / jnp.sqrt(n)))


def finite_width_expansion(rate: ArrayLike, n: int) -> Real:
    """A(p)·(1 + slope/n), slope = −6κ√(p(1−p))/(πT): the law of width n to first order in 1/n, for n·p ≫ 1.

    Args and errors as in `finite_width_ratio`.

    Source: proofs/finite_width.py.
    """
    return transverse_ratio(rate) * (1 + finite_width_slope(rate) / check_width(n))


def finite_width_saturation_expansion(n: int) -> Real:
    """−(4/(3π))√(8/π)/√n: the change of the ratio where rows hold one flip at most, to leading order.

    Args and errors as in `finite_width_saturation`.

    Source: proofs/finite_width.py.
    """
    return np.float64(-4 / (3 * math.pi) * math.sqrt(8 / math.pi) / math.sqrt(check_width(n)))


def profile_width_expansion(rate: ArrayLike, x: ArrayLike) -> Real:
    """A(p)·(1 + slope), slope = −2κ√(p(1−p))/(πT)·Σx_j⁴/‖x‖⁴: one input to first order in Σx_j⁴/‖x‖⁴.

    Args and errors as in `profile_width_ratio`.

    Source: proofs/finite_width.py.
    """
    return transverse_ratio(rate) * (1 + profile_width_slope(rate, x))
