"""Outlier inputs: what one flipped sign costs where the input is large."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from signmag_jax.evidence import invalid
from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import Real, is_traced, law

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


def flip_energy(alpha: Float[Array, "..."]) -> Float[Array, "..."]:
    """1 − J(1 − 2α²): ReLU energy of one flipped sign at an entry of amplitude α, in units of E h²·2."""
    theta = 2 * jnp.arctan2(alpha, jnp.sqrt((1 - alpha) * (1 + alpha)))
    return 2 * alpha**2 - sine_minus_angle_cosine(theta) / jnp.pi


def pool_leverage(
    alpha_squared: Float[Array | np.ndarray, " columns"],
    column_norm_squared: Float[Array | np.ndarray, " columns"],
    pool: Array | np.ndarray,
) -> Real:
    """Damage of one flip inside a pool of columns over one outside, if every output matters alike.

    leverage = mean over S of α_j²‖W_·j‖² / mean outside S.

    Args:
      alpha_squared: share of each input in the squared input norm.
      column_norm_squared: ‖W_·j‖² of each column.
      pool: mask of the columns in S.

    Raises:
      InvalidInput: for a negative or all-zero profile, or a pool that is empty or everything.

    Source: arXiv:2605.18933, section 5, with the weight norms that it leaves out.
    """
    if not is_traced(alpha_squared, column_norm_squared, pool):
        mask = np.asarray(pool)
        if mask.dtype != np.bool_ or mask.shape != np.shape(alpha_squared):
            raise invalid("pool is a boolean mask of the columns", (mask.dtype, mask.shape), "pass a mask")
        if mask.all() or not mask.any():
            raise invalid("0 < columns in pool < columns", int(mask.sum()), "leave columns on both sides")
    return _pool_leverage(alpha_squared, column_norm_squared, pool)


NOT_NEGATIVE = Interval(0.0, fix="pass squares")


@law(domain={"alpha_squared": NOT_NEGATIVE, "column_norm_squared": NOT_NEGATIVE})
def _pool_leverage(alpha_squared: Any, column_norm_squared: Any, pool: Any) -> Array:
    damage = alpha_squared * column_norm_squared
    inside = jnp.sum(damage * pool) / jnp.sum(pool)
    outside = jnp.sum(damage * (1 - pool)) / jnp.sum(1 - pool)
    return inside / outside
