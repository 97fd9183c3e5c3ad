"""One block: what the error of a layer costs before and after the normalisation that follows."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array

from signmag_jax.evidence.precision import Real, law
from signmag_jax.perturb import HasMoments, Moments, SignQuantize

from .activations import ACTIVATIONS, Activation, find_activation
from .arguments import SCALE, check_scale, error_of, moments_of, resolved
from .kernel import safe_sqrt
from .scaled import ROUNDINGS, Scaled, bounded, not_negative, scaled
from .second_moments import SecondMoments


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


class ScaledBlock(NamedTuple):
    """A block in units of the activation's size and of the error: what ratios and fractions are made of.

    Args:
      pair: the second moments.
      radial: (E hδ)²/E h², in units of unit².
      radial_fraction, cosine: as in `BlockEnergies`.
      sine_squared: as there, in units of unit².
    """

    pair: SecondMoments
    radial: Array
    radial_fraction: Array
    sine_squared: Array
    cosine: Array


def relu_block(moments: Scaled) -> ScaledBlock:
    """The ReLU block, for use inside a law.

    With g the gap: energy (drift² + noise)/2 − g/π, radial (drift + g/π)²/2,
    transverse noise/2 − c·g/π − g²/(2π²).
    """
    return activated_block(moments, ACTIVATIONS["relu"], 1.0)


def activated_block(moments: Scaled, activation: Activation, scale: Any) -> ScaledBlock:
    """The block of any activation at any pre-activation standard deviation, for use inside a law."""
    # A scale that is no number is none either where it is but a factor.
    return compared(activation.pair(moments._replace(c=moments.c + 0 * scale), scale), moments.unit)


def compared(pair: SecondMoments, unit: Array) -> ScaledBlock:
    """What the second moments say of the two vectors, for use inside a law."""
    # Of two parallel vectors rounding may leave a transverse energy just below 0.
    least = -ROUNDINGS * jnp.finfo(pair.transverse.dtype).eps * pair.perturbed
    rounded = (pair.transverse < 0) & (pair.transverse * unit**2 >= least)
    excess = jax.lax.stop_gradient(jnp.where(rounded, pair.transverse, 0))
    pair = pair._replace(transverse=pair.transverse - excess)
    radial = pair.alignment**2 / pair.signal
    none, gone = pair.energy == 0, pair.perturbed == 0
    # 0/0 without an error: the divisor is replaced before the division, or the gradient would be NaN.
    safe = jnp.where(none, jnp.ones_like(radial), pair.energy)
    # Not radial/energy: the square may underflow where the quotient does not.
    fraction = pair.alignment / pair.signal * (pair.alignment / safe)
    # Only without any alignment is it 0: where it vanishes otherwise it has underflown.
    lost = (pair.alignment != 0) & (jnp.abs(fraction) < jnp.finfo(fraction.dtype).tiny)
    fraction = fraction + jnp.where(lost, jnp.nan, 0)
    # A vanished h' has lost every direction: its sine is that of a right angle.
    safe = jnp.where(gone, jnp.ones_like(radial), pair.perturbed)
    whole = jnp.where(gone, unit, jnp.ones_like(unit))
    return ScaledBlock(
        pair,
        radial,
        jnp.where(none, 0 * fraction, bounded(fraction, 0.0, 1.0)),
        jnp.where(gone, 1 / whole**2 + 0 * safe, pair.transverse / safe),
        jnp.where(gone, 0 * safe, bounded(pair.overlap / jnp.sqrt(pair.signal * safe), -1.0, 1.0)),
    )


@law(static=("activation",), domain={"scale": SCALE})
def _block(moments: Moments | Scaled, activation: Activation, scale: ArrayLike) -> BlockEnergies:
    size, s = jnp.asarray(scale), scaled(moments)
    return energies_of(activated_block(s, activation, size), s.unit, activation.size(size))


def energies_of(out: ScaledBlock, unit: Array, own: Array) -> BlockEnergies:
    """The energies of a block without any unit, for use inside a law."""
    pair = out.pair
    return BlockEnergies(
        energy=held(pair.energy, unit, unit, own, own),
        radial=held(out.radial, unit, unit, own, own),
        transverse=held(pair.transverse, unit, unit, own, own),
        radial_fraction=out.radial_fraction,
        sine_squared=bounded(held(out.sine_squared, unit, unit), 0.0, 1.0),
        cosine=out.cosine,
        signal=held(pair.signal, own, own),
        alignment=held(pair.alignment, unit, own, own),
        mean=held(pair.mean, own),
        mean_shift=held(pair.mean_shift, unit, own),
    )


def held(value: Array, *factors: Array) -> Array:
    """The product, or NaN where float64 does not hold it."""
    product = value
    for factor in factors:
        product = product * factor
    lost = (value != 0) & (jnp.abs(product) < jnp.finfo(product.dtype).tiny)
    return product + jnp.where(lost | jnp.isinf(product), jnp.nan, 0)


def block(
    perturbation: HasMoments,
    activation: str | Activation = "relu",
    scale: ArrayLike = 1.0,
    weights: Any = "gaussian",
) -> BlockEnergies:
    """Energies of one infinitely wide block under a perturbation of its first layer.

    h = φ(z), h' = φ(z') with (z, z') centred Gaussian of covariance scale²·[[1, c], [c, v]]; a Gaussian
    layer that follows keeps the split exactly.

    Args:
      perturbation: anything with `moments()`; array moments give arrays.
      activation: a name in `ACTIVATIONS` or an `Activation` of your own.
      scale: standard deviation of the clean pre-activations. For the ReLU family only a factor.
      weights: law of the weights, as in `perturb.find_weights`: a name, b = E|w|/σ or `perturb.Weights`. Of
        other laws than the Gaussian a quantiser needs more than b: pass `perturb.OnWeights`.

    Returns:
      `BlockEnergies`; float64 NumPy for concrete moments.

    Raises:
      InvalidInput: for an unknown activation, a scale that is not positive, or moments that no pair of
        variables can have.

    Source: arXiv:2605.18933, section 4; arc-cosine kernels of degree 1 and 2.
    """
    moments = error_of(perturbation, weights)
    chosen = find_activation(activation)
    check_scale(scale)
    return _block(moments, chosen.resolved(scale, moments), scale)


def radial_fraction(
    perturbation: HasMoments,
    activation: str | Activation = "relu",
    scale: ArrayLike = 1.0,
    weights: Any = "gaussian",
) -> Real:
    """R = (E hδ)²/(E h² E δ²): the share of the error that points along the signal, and is normalised away.

    Args and errors as in `block`.

    Source: arXiv:2605.18933, Theorem 4.
    """
    return resolved("radial_fraction", block(perturbation, activation, scale, weights).radial_fraction)


def cosine_squared(perturbation: HasMoments, weights: Any = "gaussian") -> Real:
    """cos²(w, w') = c²/v, for rows of weights and for pre-activations alike; 0 where nothing is left of w'.

    Args and errors as in `block`.

    Source: arXiv:2605.18933, Theorem 4 (2/π for the sign quantiser).
    """
    return resolved("cosine_squared", _cosine_squared(moments_of(perturbation, weights)))


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


def sign_cosine_squared(weights: Any = "gaussian") -> Real:
    """cos²(w, sign w) → b², 2/π of Gaussian weights, for rows of weights and for pre-activations.

    Args:
      weights: law of the weights, as in `block`.

    Source: arXiv:2605.18933, Theorem 4.
    """
    return cosine_squared(SignQuantize(), weights)
