"""Outlier inputs: what one flipped sign costs where the input is large."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import law

from .kernel import sine_minus_angle_cosine

AMPLITUDE = Interval(0.0, 1.0, open_low=True, fix="pass the entry's share |x_j|/‖x‖ in (0, 1]")
WIDTH = Interval(2.0, fix="pass the number of inputs, at least 2")


@law(domain={"alpha": AMPLITUDE, "n": WIDTH})
def flip_amplification(alpha: ArrayLike, n: ArrayLike) -> Float[Array, "..."]:
    """R(α, n) = (1 − J(1−2α²))/(1 − J(1−2/n)): one flip at an outlier against one at a delocalised entry.

    J(cos θ) = (sin θ + (π−θ)cos θ)/π. R = nα²[1 − (4/(3π))(α − 1/√n) + …].

    Args:
      alpha: |x_j|/‖x‖ of the outlier, in (0, 1].
      n: number of inputs, at least 2; the delocalised entry has α² = 1/n.

    Returns:
      Array of the broadcast shape.

    Raises:
      InvalidInput: for concrete arguments outside; traced ones give NaN.

    Source: arXiv:2605.18933, section 5.
    """
    alpha, n = jnp.broadcast_arrays(alpha, n)
    return flip_energy(alpha) / flip_energy(1 / jnp.sqrt(n))


@jax.custom_jvp
def flip_energy(alpha: Float[Array, "..."]) -> Float[Array, "..."]:
    """1 − J(1 − 2α²): ReLU energy of one flipped sign at an entry of amplitude α, in units of E h²·2.

    Its derivative is 4α(1 − θ/π), 0 at α = 1, where θ = π has none; the second is −∞ there.
    """
    # By the half angle: acos(1 − 2α²) loses half of its digits at small α, and 1 − α² its own near 1.
    theta = 2 * jnp.arctan2(alpha, jnp.sqrt((1 - alpha) * (1 + alpha)))
    return 2 * alpha**2 - sine_minus_angle_cosine(theta) / jnp.pi


@flip_energy.defjvp
def _flip_energy_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (alpha,) = primals
    # 1 − θ/π without cancellation.
    left = 2 / jnp.pi * jnp.arctan2(jnp.sqrt((1 - alpha) * (1 + alpha)), alpha)
    return flip_energy(alpha), 4 * alpha * left * tangents[0]


@law(domain={"alpha": AMPLITUDE, "n": WIDTH})
def flip_amplification_expansion(alpha: ArrayLike, n: ArrayLike) -> Float[Array, "..."]:
    """nα²[1 − (4/(3π))(α − 1/√n)]: R(α, n) to first order in both amplitudes.

    Args and errors as in `flip_amplification`.

    Source: proofs/single_flip.py.
    """
    alpha, n = jnp.broadcast_arrays(alpha, n)
    return n * alpha**2 * (1 - 4 / (3 * jnp.pi) * (alpha - 1 / jnp.sqrt(n)))
