"""Pools of columns: what errors cost inside a pool of input columns, over what they cost outside.

A column's share in the pre-activation's variance is proportional to α_j²‖W_·j‖². If only the columns of an
arm with share x are perturbed, by entry-wise errors of moments (drift, noise), the pair (z, z') has drift
x·drift and noise x·noise + x(1−x)·drift²: everything outside the arm is clean signal, to which the coherent
part of the error is no longer parallel.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array

from signmag_jax.evidence import invalid
from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import Real, is_traced, law
from signmag_jax.perturb import Moments

from .arguments import RATE, error_of, shape_of
from .energies import relu_block
from .profile import gap_of_shares
from .scaled import Scaled, scaled

MATCHES = ("rate", "count", "energy")
MEASURES = ("energy", "transverse")
NOT_NEGATIVE = Interval(0.0, fix="pass squares")
FINITE = Interval(fix="pass finite entries")


class PoolArm(NamedTuple):
    """One side of the comparison.

    Args:
      share: of the pre-activation's variance that the perturbed weights carry, thinning included.
      rest: what the others carry; as 1 − share it would lose the digits of a small rest.
      size: factor of each error, squared.
      divisor: what the damage is divided by.
    """

    share: Array
    rest: Array
    size: Array
    divisor: Array


def pool_leverage(
    alpha_squared: Any,
    column_norm_squared: Any,
    pool: Any,
    perturbation: Any = None,
    match: str = "rate",
    measure: str = "energy",
) -> Real:
    """Damage of errors inside a pool of columns over that of the same errors outside: exact at every rate.

    Without a perturbation: the law of small errors, mean over S of α_j²‖W_·j‖² over the mean outside S, in
    which all matchings by number agree. With one: D(S)/D(rest) of a ReLU block whose other columns stay
    clean, with (z, z') the Gaussian pair of the module's formula. That is exact for magnitude noise and
    factors, and for every other perturbation in delocalised pools, where no single column carries a visible
    part of the variance; for flips in a pool that is not, see `profile_pool_leverage`.

    Matchings of the two arms:
      rate: every weight is perturbed alike, and the damage is counted per weight;
      count: all weights of the smaller arm are perturbed, and as many at random in the larger;
      energy: the errors in the pool are rescaled to the Frobenius norm of those outside (Exp D).

    Args:
      alpha_squared: share of each input in the squared input norm, shape (columns,); only ratios matter.
      column_norm_squared: ‖W_·j‖² of each column, or one number for all.
      pool: boolean mask of the columns in S, shape (columns,).
      perturbation: of each weight, in units of its column's own standard deviation; array moments give an
        array. An error of exactly 0 gives the limit of small errors, where the measure has one.
      match: one of those above.
      measure: "energy" E(h'−h)², or the part of it across h, "transverse".

    Returns:
      Array of the shape of the perturbation's moments; float64 NumPy for concrete input.

    Raises:
      InvalidInput: for columns that do not fit each other, entries that are negative or not finite, a pool
        that is empty or everything, no variance outside the pool, or errors outside that cost nothing.

    Source: arXiv:2605.18933, section 5, with the weight norms that it leaves out.
    """
    _check_names(match, measure)
    alpha_squared = _numbers("alpha_squared", alpha_squared)
    column_norm_squared = _numbers("column_norm_squared", column_norm_squared)
    check_columns(alpha_squared, column_norm_squared, pool)
    if match == "energy" and not is_traced(column_norm_squared, pool):
        check_weights(column_norm_squared, pool)
    if perturbation is None:
        return _checked_ratio(_small(alpha_squared, column_norm_squared, pool, match))
    moments = error_of(perturbation)
    damages = _damages(alpha_squared, column_norm_squared, pool, moments, match, measure)
    return _checked_ratio(damages)


def profile_pool_leverage(rate: ArrayLike, x: Any, pool: Any, match: str = "rate") -> Real:
    """Energy of sign flips inside a pool over that outside, for one given input: exact for every profile.

    The average over the flips of a row, as in `profile_width_ratio`: E(1 − J(1−2q)), q = Σ M_j x_j²/‖x‖² over
    the columns of a side. For rate → 0 it is the mean of 1 − J(1−2α_j²) over S, over the mean outside:
    `flip_amplification` for pools. For pools of many small columns it is `pool_leverage`.

    Args:
      rate: flip rate in (0, 1/2], scalar or array; with match "count" that of the smaller arm.
      x: the input times the columns' weight norms, shape (columns,); only |x_j|/‖x‖ matters.
      pool: boolean mask of the columns in S.
      match: "rate" (damage per weight) or "count" (as many flips on either side).

    Returns:
      Array of the shape of `rate`; the quadrature errs by 1e-12, relative.

    Raises:
      InvalidInput: as `pool_leverage`, and for concrete rates outside.
    """
    if match not in MATCHES[:2]:
        raise invalid(f"match in {MATCHES[:2]}", match, "choose one of these")
    x = _numbers("x", x, FINITE)
    if not is_traced(x):
        # Only ratios matter, and the squares of tiny or huge entries do not exist.
        largest = np.max(np.abs(x), initial=0.0)
        x = x / (largest if largest > 0 else 1.0)
    squares = x**2
    check_columns(squares, 1.0, pool)
    return _checked_ratio(_flip_damages(rate, squares, pool, match))


def _check_names(match: str, measure: str) -> None:
    if match not in MATCHES:
        raise invalid(f"match in {MATCHES}", match, "choose one of these")
    if measure not in MEASURES:
        raise invalid(f"measure in {MEASURES}", measure, "choose one of these")


def _numbers(name: str, value: Any, domain: Interval = NOT_NEGATIVE) -> Any:
    """Concrete numbers as a float64 array inside the domain; traced ones as they are."""
    if is_traced(value):
        return value
    domain.require(name, value)
    return np.asarray(value, dtype=np.float64)


def check_columns(alpha_squared: Any, norms: Any, pool: Any) -> None:
    """Refuse columns that no comparison can be made of; of traced ones only the shapes are known."""
    shape = shape_of("alpha_squared", alpha_squared)
    if len(shape) != 1 or shape[0] < 2:
        raise invalid("alpha_squared is a vector of at least 2 columns", shape, "pass one layer's columns")
    if shape_of("column_norm_squared", norms) not in ((), shape):
        raise invalid("column_norm_squared has one entry a column", np.shape(norms), f"pass shape {shape}")
    if not is_traced(pool):
        shape_of("pool", pool)
        mask = np.asarray(pool)
        if mask.dtype != np.bool_ or mask.shape != shape:
            raise invalid(
                "pool is a boolean mask of the columns",
                (mask.dtype, mask.shape),
                f"pass {shape[0]} booleans, True inside the pool",
            )
        if mask.all() or not mask.any():
            raise invalid("0 < columns in pool < columns", int(mask.sum()), "leave columns on both sides")
    if not is_traced(alpha_squared, norms, pool):
        outside = (alpha_squared > 0) & (norms > 0) & ~np.asarray(pool)
        if not np.any(outside):
            raise invalid("variance outside the pool > 0", 0.0, "leave an active column outside the pool")


def _checked_ratio(damages: Any) -> Any:
    """Inside over outside; of concrete damages only where the errors outside cost something."""
    inside, outside = damages
    if not is_traced(inside, outside) and not np.all(outside > 0):
        raise invalid("errors outside the pool cost something", 0.0, "pass a perturbation that does")
    return inside / outside


def check_weights(norms: Any, pool: Any) -> None:
    if not np.any((norms > 0) & np.asarray(pool)):
        raise invalid("weights in the pool are not all 0", 0.0, "there is no error to rescale")


def _arms(alpha_squared: Array, norms: Array, pool: Array, match: str) -> tuple[PoolArm, PoolArm]:
    """The arms inside and outside."""
    # Only ratios matter; relative to the largest, no product of two columns' squares underflows.
    norms = jnp.broadcast_to(norms / jnp.max(norms), alpha_squared.shape)
    variance = alpha_squared / jnp.max(alpha_squared) * norms
    masks = (pool, 1 - pool)
    # Two sums that add up to 1, so that neither side is a difference.
    shares = [jnp.sum(variance * mask) / jnp.sum(variance) for mask in masks]
    counts = [jnp.sum(mask) for mask in masks]
    others = shares[::-1]
    one = jnp.ones_like(shares[0])
    sizes, divisors = (one, one), (one, one)
    if match == "rate":
        divisors = counts
    elif match == "count":
        # The larger arm is thinned to as many weights as the smaller one has.
        least = jnp.minimum(*counts)
        kept = [least / count for count in counts]
        others = [t * y + (count - least) / count for t, y, count in zip(kept, others, counts, strict=True)]
        shares = [t * x for t, x in zip(kept, shares, strict=True)]
    else:
        sizes = (jnp.sum(norms * masks[1]) / jnp.sum(norms * masks[0]), one)
    inside, outside = map(PoolArm, shares, others, sizes, divisors)
    return inside, outside


def arm_moments(moments: Scaled, arm: PoolArm) -> Scaled:
    """Moments of the pair when only the arm is perturbed, for use inside a law."""
    x = arm.share
    drift = x * jnp.sqrt(arm.size) * moments.drift
    noise = arm.size * (x * moments.noise + x * arm.rest * moments.drift**2)
    return Scaled(1 + moments.unit * drift, moments.unit, drift, noise)


@law(static=("match",), domain={"alpha_squared": NOT_NEGATIVE, "norms": NOT_NEGATIVE})
def _small(alpha_squared: Any, norms: Any, pool: Any, match: str) -> tuple[Array, Array]:
    inside, outside = _arms(alpha_squared, norms, pool, match)
    return inside.share * inside.size / inside.divisor, outside.share / outside.divisor


@law(static=("match", "measure"), domain={"alpha_squared": NOT_NEGATIVE, "norms": NOT_NEGATIVE})
def _damages(
    alpha_squared: Any, norms: Any, pool: Any, moments: Moments | Scaled, match: str, measure: str
) -> tuple[Array, Array]:
    arms = _arms(alpha_squared, norms, pool, match)
    inside, outside = (_damage(scaled(moments), arm, measure) for arm in arms)
    return inside, outside


def _damage(moments: Scaled, arm: PoolArm, measure: str) -> Array:
    """Damage over the squared error of one weight; without any error its limit, half the arm's variance."""
    # Relative to one weight's squared error, in which small errors have a limit.
    square = moments.drift**2 + moments.noise
    some = square > 0
    block = relu_block(arm_moments(moments, arm)).pair
    if measure == "transverse":
        return block.transverse / arm.divisor
    limit = arm.share * arm.size / 2 + 0 * square
    relative = block.energy / jnp.where(some, square, jnp.ones_like(square))
    return jnp.where(some, relative, limit) / arm.divisor


@law(static=("match",), domain={"rate": RATE})
def _flip_damages(rate: ArrayLike, squares: Any, pool: Any, match: str) -> tuple[Array, Array]:
    p = jnp.asarray(rate)
    share = squares / jnp.sum(squares)
    masks = jnp.stack([pool, 1 - pool])
    counts = jnp.sum(masks, axis=1)
    thinned = jnp.min(counts) / counts if match == "count" else jnp.ones_like(counts)
    sides = thinned[:, None] * masks
    # One loop over both sides and all rates: the integrand is compiled once.
    flat = (jnp.tile(jnp.ravel(p), 2), jnp.repeat(sides, p.size, axis=0))
    gaps = jax.lax.map(lambda one: gap_of_shares(one[0], one[1], share), flat).reshape(2, p.size)
    # Per rate: both sides vanish with it.
    cost = 2 * jnp.sum(share[None, :] * sides, axis=1)[:, None] - gaps / jnp.pi
    if match == "rate":
        cost = cost / counts[:, None]
    return cost[0].reshape(p.shape), cost[1].reshape(p.shape)
