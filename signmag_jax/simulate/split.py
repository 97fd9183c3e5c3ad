"""Energies of a difference along and across the clean vector, one column per input."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class Energies(NamedTuple):
    """Mean over inputs of the squared norms, per coordinate (float64)."""

    energy: Array
    radial: Array
    transverse: Array


def energies(y: Float[Array, "coordinates inputs"], delta: Float[Array, "coordinates inputs"]) -> Energies:
    """Split δ into its parts along and across y: ‖δ‖² = ⟨y, δ⟩²/‖y‖² + ‖P⊥(y) δ‖².

    The transverse part is formed before it is squared: the difference of the two energies cancels
    where δ is nearly parallel to y. An input with y = 0 has no radial direction; all of δ is transverse.
    """
    coordinates = y.shape[0]
    square = _squares(y)
    # Where y = 0 the divisor does not matter: what it divides is multiplied by y again.
    along = jnp.sum(y * delta, axis=0, keepdims=True) / _positive(square)
    transverse = _mean(_squares(delta - y * along)) / coordinates
    radial = _mean(along * along * square) / coordinates
    return Energies(radial + transverse, radial, transverse)


def share(part: Float[Array, ""], whole: Float[Array, ""], some: Bool[Array, ""]) -> Float[Array, ""]:
    """part/whole, and NaN where there is nothing to divide but rounding."""
    return jnp.where(some & (whole > 0), part / whole, jnp.nan)


def turned(
    y: Float[Array, "coordinates inputs"], other: Float[Array, "coordinates inputs"]
) -> Float[Array, ""]:
    """Mean over inputs of sin² of the angle from y to y': the finite change of the normalised output.

    ‖P⊥(y) y'‖²/‖y'‖²; the norm of y' drops out. An input where either vector is 0 counts as unturned.
    """
    # Through δ, since 1 − cos² of two nearly parallel vectors has lost their angle to rounding.
    delta = other - y
    square, norm = _squares(y), _squares(other)
    along = jnp.sum(y * delta, axis=0, keepdims=True) / _positive(square)
    sine = _squares(delta - y * along) / _positive(norm)
    return _mean(jnp.where(square > 0, sine, jnp.zeros_like(sine)))


def let_through(
    y: Float[Array, "coordinates inputs"],
    delta: Float[Array, "coordinates inputs"],
    gain: Float[Array, "coordinates 1"],
    eps: float,
) -> Float[Array, ""]:
    """Mean over inputs, per coordinate, of what the derivative of g ∘ y/√(mean y² + eps) makes of δ, squared.

    Formed by hand: automatic derivatives multiply by constants in an order that XLA changes with the number
    of devices, and the last bits with it.
    """
    square = _squares(y) + jnp.asarray(y.shape[0] * eps, y.dtype)
    along = jnp.sum(y * delta, axis=0, keepdims=True) / _positive(square)
    return _mean(_squares(gain * (delta - y * along)) / _positive(square))


def excess(
    left: Float[Array, "rows inputs"],
    right: Float[Array, "rows inputs"],
    a: Float[Array, "rows width"],
    b: Float[Array, "rows width"],
) -> Float[Array, ""]:
    """Mean over inputs of ⟨Ax, Bx⟩ minus its mean over the sphere, tr(AᵀB)/n; per row.

    E x xᵀ = I/n, so that its expectation is 0 given A and B: a control variate for the choice of inputs.
    """
    # Centred by the matrices' own trace, and not by its mean over matrices: nothing but the choice of inputs
    # is left, which is what the control is to explain.
    rows, width = a.shape
    mean = jnp.sum(jnp.sum(a * b, axis=1).astype(jnp.float64)) / width
    return (_mean(jnp.sum(left * right, axis=0, keepdims=True)) - mean) / rows


def weight_controls(w: Float[Array, "rows width"], mean_magnitude: float) -> dict[str, Array]:
    """Means of w² and |w| over all weights, minus 1 and E|w|: the network's own scale."""
    square, absolute = (jnp.mean(jnp.mean(a, axis=1).astype(jnp.float64)) for a in (w * w, jnp.abs(w)))
    return {"square_control": square - 1, "absolute_control": absolute - mean_magnitude}


def _squares(y: Float[Array, "coordinates inputs"]) -> Float[Array, "1 inputs"]:
    return jnp.sum(y * y, axis=0, keepdims=True)


def _positive(square: Float[Array, "1 inputs"]) -> Float[Array, "1 inputs"]:
    return jnp.where(square > 0, square, jnp.ones_like(square))


def _mean(per_input: Float[Array, "1 inputs"]) -> Float[Array, ""]:
    # Float64: the sums over coordinates are short, the one over inputs and networks is not.
    return jnp.mean(per_input.astype(jnp.float64))
