"""One block: what the error of a layer costs before and after the normalisation that follows."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array

from signmag_jax.evidence import invalid
from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import Real, check_traced, is_traced, law
from signmag_jax.perturb import HasMoments, Moments, SignQuantize

from .activations import ACTIVATIONS, Activation, SecondMoments, find_activation
from .kernel import safe_sqrt

SCALE = Interval(0.0, open_low=True, fix="pass the standard deviation of the pre-activations")
RATE = Interval(0.0, 0.5, open_low=True, fix="pass a flip rate in (0, 1/2]")


class BlockEnergies(NamedTuple):
    """Per-unit expectations of h = φ(z), h' = φ(z'), δ = h' − h in the infinitely wide block.

    energy = radial + transverse; the sine is that of the angle between the vectors h and h'.

    Args:
      energy: E δ².
      radial: (E hδ)²/E h², the energy along h.
      transverse: E δ² − (E hδ)²/E h², what RMSNorm's derivative lets through.
      radial_fraction: radial/energy, and 0 where there is no error.
      sine_squared: 1 − (E hh')²/(E h² E h'²): the exact, finite change of the normalised output,
        in which the scale of w' drops out. In `transverse` it does not.
      cosine: E hh'/√(E h² E h'²), with its sign; 0 where nothing is left of h'.
      signal: E h².
      alignment: E hδ, signed.
      mean: E h.
      mean_shift: E δ.
    """

    energy: Any
    radial: Any
    transverse: Any
    radial_fraction: Any
    sine_squared: Any
    cosine: Any
    signal: Any
    alignment: Any
    mean: Any
    mean_shift: Any


def relu_block(moments: Moments) -> BlockEnergies:
    """The ReLU block at unit scale, for use inside a law.

    With g the gap: energy (drift² + noise)/2 − g/π, radial (drift + g/π)²/2,
    transverse noise/2 − c·g/π − g²/(2π²).
    """
    return activated_block(moments, ACTIVATIONS["relu"], 1.0)


def activated_block(moments: Moments, activation: Activation, scale: Any) -> BlockEnergies:
    """The block of any activation at any pre-activation standard deviation, for use inside a law."""
    # Moments of compositions are differences: a noise below 0 by rounding would have no root.
    pair = activation.pair(moments._replace(noise=not_negative(moments.noise)), scale)
    return assemble(pair)


def not_negative(noise: Array) -> Array:
    """`noise` without the −1e-17 that rounding leaves; unlike a maximum, with its full derivative at 0."""
    return jnp.where(noise < 0, 0 * jnp.abs(noise), noise)


def assemble(pair: SecondMoments) -> BlockEnergies:
    """The quantities that follow from a pair's moments."""
    energy, perturbed = pair.energy, pair.perturbed
    radial = pair.alignment**2 / pair.signal
    some, alive = energy > 0, perturbed > 0
    # 0/0 without an error: the divisor is replaced before the division, or the gradient would be NaN.
    fraction = jnp.where(some, radial / jnp.where(some, energy, jnp.ones_like(energy)), 0 * energy)
    # A vanished h' has lost every direction: its sine is that of a right angle.
    safe = jnp.where(alive, perturbed, jnp.ones_like(perturbed))
    sine = jnp.where(alive, pair.transverse / safe, 1 + 0 * perturbed)
    cosine = jnp.where(alive, pair.overlap / jnp.sqrt(pair.signal * safe), 0 * perturbed)
    return BlockEnergies(
        energy,
        radial,
        pair.transverse,
        fraction,
        sine,
        cosine,
        pair.signal,
        pair.alignment,
        pair.mean,
        pair.mean_shift,
    )


@law(static=("activation",))
def _block(moments: Moments, activation: Activation, scale: ArrayLike) -> BlockEnergies:
    return activated_block(Moments(*jnp.broadcast_arrays(*moments)), activation, jnp.asarray(scale))


def block(
    perturbation: HasMoments, activation: str | Activation = "relu", scale: ArrayLike = 1.0
) -> BlockEnergies:
    """Energies of one infinitely wide block under a perturbation of its first layer.

    h = φ(z), h' = φ(z') with (z, z') centred Gaussian of covariance scale²·[[1, c], [c, v]]; a Gaussian
    layer that follows keeps the split exactly.

    Args:
      perturbation: anything with `moments()`; array moments give arrays.
      activation: a name in `ACTIVATIONS` or an `Activation` of your own.
      scale: standard deviation of the clean pre-activations. For the ReLU family only a factor.

    Returns:
      `BlockEnergies`; float64 NumPy for concrete moments.

    Raises:
      InvalidInput: for an unknown activation, a scale that is not positive, or moments that no pair of
        variables can have.

    Source: arXiv:2605.18933, section 4; arc-cosine kernels of degree 1 and 2.
    """
    moments = perturbation.moments()
    chosen = find_activation(activation)
    check_scale(scale)
    check_moments(moments)
    return _block(moments, chosen.resolved(scale, moments), scale)


def check_scale(scale: ArrayLike) -> None:
    """Refuse a concrete scale that is not one positive number.

    Raises:
      InvalidInput: naming it.
    """
    if is_traced(scale):
        check_traced(SCALE, "scale", jnp.asarray(scale))
    else:
        if np.ndim(scale) != 0:
            raise invalid("scale is one number", np.shape(scale), "call once for each scale")
        SCALE.require("scale", scale)


def check_moments(moments: Moments) -> None:
    """Refuse concrete moments that are not finite or break Cauchy–Schwarz (up to rounding).

    Raises:
      InvalidInput: naming the moment.
    """
    if is_traced(moments):
        return
    for name, value in zip(Moments._fields, moments, strict=True):
        Interval(fix="return finite moments").require(name, value)
    slack = np.asarray(moments.noise) + 1e-12 * np.asarray(moments.c) ** 2
    if np.any(slack < 0):
        raise invalid(
            "noise = v - c**2 >= 0", float(np.min(moments.noise)), "check the perturbation's moments"
        )


def radial_fraction(
    perturbation: HasMoments, activation: str | Activation = "relu", scale: ArrayLike = 1.0
) -> Real:
    """R = (E hδ)²/(E h² E δ²): the share of the error that points along the signal, and is normalised away.

    Args and errors as in `block`.

    Source: arXiv:2605.18933, Theorem 4.
    """
    return block(perturbation, activation, scale).radial_fraction


def cosine_squared(perturbation: HasMoments) -> Real:
    """cos²(w, w') = c²/v, for rows of weights and for pre-activations alike.

    Source: arXiv:2605.18933, Theorem 4 (2/π for the sign quantiser).
    """
    moments = perturbation.moments()
    check_moments(moments)
    return _cosine_squared(moments)


@law()
def _cosine_squared(moments: Moments) -> Array:
    # Not 1 − sin²: near half of the signs flipped, c² is all that is left. Relative to the larger of c and
    # √noise, no square over- or underflows.
    root = safe_sqrt(not_negative(moments.noise))
    largest = jax.lax.stop_gradient(jnp.maximum(jnp.abs(moments.c), root))
    size = jnp.where(largest > 0, largest, jnp.ones_like(largest))
    c, noise = moments.c / size, not_negative(moments.noise) / size / size
    v = c**2 + noise
    return c**2 / jnp.where(v > 0, v, jnp.ones_like(v))


def resolved_rate(rate: ArrayLike) -> Array:
    """The rate, or the square of the unit of rounding where it is smaller, for use inside a law.

    A ratio of energies nears its limit as √rate, so that it is there to rounding, and no product
    underflows. The derivative below is the one at that rate.
    """
    p = jnp.asarray(rate)
    least = float(jnp.finfo(p.dtype).eps) ** 2
    # p − stop_gradient(p) is 0 with slope 1: the value is held, the derivative goes through.
    return jnp.where(p < least, least + (p - jax.lax.stop_gradient(p)), p)


def sign_cosine_squared() -> Real:
    """cos²(w, sign w) → 2/π, for rows of weights and for pre-activations.

    Source: arXiv:2605.18933, Theorem 4.
    """
    return cosine_squared(SignQuantize())
