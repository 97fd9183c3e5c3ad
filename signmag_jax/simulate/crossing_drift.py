"""The number α that is taken off δ = h' − h along h, before anything is drawn.

Any α that does not depend on x will do. Near E hδ/E h² what needs all rows at once is small, so that few
standard errors miss it in runs that never draw it.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from signmag_jax.evidence.compiling import platform

# E|w| of a standard normal, and E h² of relu(z).
MEAN_ABSOLUTE = math.sqrt(2 / math.pi)
MEAN_SQUARE = 0.5
# Strata over which the direction of an input's projection is spread. Its functions are smooth between the
# ends: 16 leave a scatter far below that of the rows.
DIRECTIONS = 16


def per_row() -> Any:
    """The precision of what is drawn and computed for one row: float64, which accelerators do not have.

    They emulate it: sines, χ² and binomial numbers of float64 took a TPU's compiler half a minute. In float32
    their rounding, below 1e-6 of a row's numbers, is far below their scatter; sums over rows are float64.
    """
    return jnp.float64 if platform() == "cpu" else jnp.float32


def flip_drift(share: Array) -> Array:
    """E z(z' − z) of flips, whose share of the weights is this."""
    return -2 * share


def shift_drift(step: Array) -> Array:
    """E z(z' − z) of the shift w + step·sign(w)."""
    return step * MEAN_ABSOLUTE


def biases(rate: Array) -> dict[str, Array]:
    """What crossings add to E hδ/E h² = E z(z' − z) + E max(−zz', 0), of wide rows at the mean angle."""
    step = 2 * jnp.sqrt(rate.astype(per_row()))
    across, along = step * math.sqrt(1 - MEAN_ABSOLUTE**2), 1 + step * MEAN_ABSOLUTE
    angles = {
        "flip": (2 * jnp.arcsin(step / 2), jnp.ones_like(step)),
        "shift": (jnp.arctan2(across, along), jnp.hypot(across, along)),
    }
    # The midpoint rule in place of draws: a number, and nothing that varies from network to network.
    t = (jnp.arange(DIRECTIONS, dtype=per_row()) + 0.5) / DIRECTIONS
    means = {
        arm: 2 * stretch * angle / jnp.pi * jnp.mean(jnp.sin(t * angle) * jnp.sin((1 - t) * angle))
        for arm, (angle, stretch) in angles.items()
    }
    return {arm: mean.astype(jnp.float64) for arm, mean in means.items()}


def excess(z: Array, other: Array, drift: Array) -> Array:
    """hδ − αh² at x where z > 0, or at −x where z < 0: at the other of the two it is 0."""
    ahead = jnp.where(z < 0, -other, other)
    return jnp.abs(z) * (jnp.maximum(ahead, jnp.zeros_like(ahead)) - (1 + drift).astype(z.dtype) * jnp.abs(z))


def realignment(
    z: Float[Array, "rows inputs"], other: Float[Array, "rows inputs"], drift: Array
) -> Float[Array, ""]:
    """Mean over x and −x of (A − αB)²/B, less that of mean (hδ − αh²)²/(m E h²).

    An input that activates no row has no first term.
    """
    beyond, squares = excess(z, other, drift), []
    for side in (z > 0, z < 0):
        square = jnp.mean(jnp.where(side, z * z, jnp.zeros_like(z)), axis=0).astype(jnp.float64)
        mean = jnp.mean(jnp.where(side, beyond, jnp.zeros_like(z)), axis=0).astype(jnp.float64)
        some = square > 0
        squares.append(jnp.mean(jnp.where(some, mean**2 / jnp.where(some, square, 1.0), 0.0)))
    rows = jnp.mean(sums(beyond * beyond)) / z.shape[1] / 2
    return (squares[0] + squares[1]) / 2 - rows / (z.shape[0] * MEAN_SQUARE)


def sums(a: Float[Array, "rows columns"]) -> Float[Array, " rows"]:
    """Sums over columns, in float64 from there on."""
    return jnp.sum(a, axis=1).astype(jnp.float64)
