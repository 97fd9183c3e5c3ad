"""Proposition 1: the laws of one matrix without an activation."""

from typing import Any

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import law

from .arguments import RATE, WEIGHTS

ANY_RATE = Interval(0.0, 1.0, fix="pass a flip rate in [0, 1]")
BELOW_ONE = Interval(0.0, 1.0, open_high=True, fix="pass a flip rate in [0, 1)")
WIDTH = Interval(2.0, fix="pass the number of rows, at least 2")


@law(domain={"rate": ANY_RATE, "rows": WIDTH})
def flip_matrix_radial_fraction(rate: ArrayLike, rows: ArrayLike) -> Float[Array, "..."]:
    """Radial fraction of δW x for flips in one matrix of m rows, as a ratio of means: p + (1−p)/m.

    Args:
      rate: flip rate in [0, 1].
      rows: number m of rows, at least 2.

    Source: arXiv:2605.18933, Proposition 1.
    """
    p = jnp.asarray(rate)
    # Given y, each δ_i is −2p·y_i and an uncorrelated rest of variance 4p(1 − p); of the rest, one direction
    # in m is radial.
    return p + (1 - p) / jnp.asarray(rows)


@law(domain={"rows": WIDTH})
def noise_matrix_radial_fraction(rows: ArrayLike) -> Float[Array, "..."]:
    """Radial fraction of δW x for magnitude noise in one matrix of m rows, as a ratio of means: 1/m.

    Args:
      rows: number m of rows, at least 2.

    Source: arXiv:2605.18933, Proposition 1.
    """
    return 1 / jnp.asarray(rows)


@law(domain={"rate": BELOW_ONE})
def noise_to_flip_ratio(rate: ArrayLike) -> Float[Array, "..."]:
    """Transverse energy of magnitude noise over that of flips of equal norm, one matrix: 1/(1 − p).

    The noise is the more transverse of the two.

    Args:
      rate: flip rate in [0, 1).

    Source: arXiv:2605.18933, Proposition 1.
    """
    # What is transverse is 1 − 1/m of the noise and (1 − p)(1 − 1/m) of the flips: the number of rows
    # cancels.
    return 1 / (1 - jnp.asarray(rate))


@law(domain={"rate": RATE}, read=WEIGHTS)
def flip_to_shift_ratio(rate: ArrayLike, weights: Any = "gaussian") -> Float[Array, "..."]:
    """Transverse energy of flips over that of the coherent shift of equal norm, one matrix: (1−p)/(1−b²).

    No ReLU is needed for the asymmetry: it is the alignment of the shift with the signal. Of Gaussian weights
    1/(1−b²) is π/(π−2).

    Args:
      rate: flip rate in (0, 1/2].
      weights: law of the weights, as in `perturb.find_weights`: a name, b = E|w|/σ or `perturb.Weights`.
    """
    # Of the shift ε·sign(w) the share b² lies along w: cos²(w, sign w). Rows cancel as above.
    return (1 - jnp.asarray(rate)) / weights.beyond
