"""Outlier inputs: what one flipped sign costs where the input is large."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import Real, law

from .arguments import resolved
from .kernel import cubic_factor

AMPLITUDE = Interval(
    0.0, 1.0, open_low=True, normal=True, fix="pass the entry's share |x_j|/‖x‖ in (0, 1], at least 2.3e-308"
)
WIDTH = Interval(2.0, fix="pass the number of inputs, at least 2")

EXPANDED_AMPLITUDE = Interval(0.0, 0.8, open_low=True, normal=True, fix="take flip_amplification")
EXPANDED_WIDTH = Interval(3.0, fix="take flip_amplification")


def flip_amplification(alpha: ArrayLike, n: ArrayLike) -> Real:
    """R(α, n) = (1 − J(1−2α²))/(1 − J(1−2/n)): one flip at an outlier against one at a delocalised entry.

    J(cos θ) = (sin θ + (π−θ)cos θ)/π. R = nα²[1 − (4/(3π))(α − 1/√n) + …].

    Args:
      alpha: |x_j|/‖x‖ of the outlier, in (0, 1].
      n: number of inputs, at least 2; the delocalised entry has α² = 1/n.

    Returns:
      Array of the broadcast shape.

    Raises:
      InvalidInput: for concrete arguments outside; traced ones give NaN.
      Incomplete: where the value itself underflows.

    Source: arXiv:2605.18933, section 5.
    """
    return resolved("flip_amplification", _flip_amplification(alpha, n))


@law(domain={"alpha": AMPLITUDE, "n": WIDTH})
def _flip_amplification(alpha: ArrayLike, n: ArrayLike) -> Array:
    alpha, n = jnp.broadcast_arrays(alpha, n)
    return _not_underflown(_relative_cost(alpha, n) / flip_cost(1 / jnp.sqrt(n)))


def _not_underflown(ratio: Array) -> Array:
    """A ratio that is never 0: where it vanishes it has underflown."""
    return ratio + jnp.where(jnp.abs(ratio) < jnp.finfo(ratio.dtype).tiny, jnp.nan, 0)


# By rule: at α = 1 the angle has no derivative, and the cost has.
@jax.custom_jvp
def _relative_cost(alpha: Array, n: Array) -> Array:
    """n(1 − J(1 − 2α²)), whose derivative 4nα(1 − θ/π) along α vanishes at 1."""
    # α√n before the square: of an amplitude that is allowed, α² alone may underflow.
    return (alpha * jnp.sqrt(n)) ** 2 * flip_cost(alpha)


@_relative_cost.defjvp
def _relative_cost_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    alpha, n = primals
    along = 4 * alpha * n * kept_share(alpha)
    return _relative_cost(alpha, n), along * tangents[0] + alpha**2 * flip_cost(alpha) * tangents[1]


def kept_share(alpha: Array) -> Array:
    """1 − θ/π without cancellation, sin(θ/2) = α: half of the derivative of 1 − J(1 − 2α²) along α²."""
    return 2 / jnp.pi * jnp.arctan2(jnp.sqrt((1 - alpha) * (1 + alpha)), alpha)


@jax.custom_jvp
def flip_cost(alpha: Float[Array, "..."]) -> Float[Array, "..."]:
    """(1 − J(1 − 2α²))/α²: ReLU energy of one flipped sign at an entry of amplitude α; 2 at 0 and 1 at 1.

    With sin(θ/2) = α its derivative is −(4/π)(θ/α) + (2/π)(θ/α)³(sin θ − θ cos θ)/θ³, which is −2 at α = 1,
    where θ has none. The second is infinite there.
    """
    theta, turned = _turned(alpha)
    return 2 - alpha * turned**3 * cubic_factor(theta) / jnp.pi


def _turned(alpha: Array) -> tuple[Array, Array]:
    """θ and θ/α."""
    # By the half angle: acos(1 − 2α²) loses half of its digits at small α, and 1 − α² its own near 1.
    theta = 2 * jnp.arctan2(alpha, jnp.sqrt((1 - alpha) * (1 + alpha)))
    some = alpha > 0
    return theta, jnp.where(some, theta / jnp.where(some, alpha, jnp.ones_like(alpha)), 2 + 0 * alpha)


@flip_cost.defjvp
def _flip_cost_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (alpha,) = primals
    theta, turned = _turned(alpha)
    slope = 2 / jnp.pi * (turned**3 * cubic_factor(theta) - 2 * turned)
    return flip_cost(alpha), slope * tangents[0]


def flip_amplification_expansion(alpha: ArrayLike, n: ArrayLike) -> Real:
    """nα²[1 − (4/(3π))(α − 1/√n)]: R(α, n) to first order in both amplitudes.

    Args and errors as in `flip_amplification`; refused for α > 0.8 or n < 3, where it is off by more than a
    tenth.

    Source: proofs/single_flip.py.
    """
    return resolved("flip_amplification_expansion", _expansion(alpha, n))


@law(domain={"alpha": EXPANDED_AMPLITUDE, "n": EXPANDED_WIDTH})
def _expansion(alpha: ArrayLike, n: ArrayLike) -> Array:
    alpha, n = jnp.broadcast_arrays(alpha, n)
    return _not_underflown(n * alpha**2 * (1 - 4 / (3 * jnp.pi) * (alpha - 1 / jnp.sqrt(n))))
