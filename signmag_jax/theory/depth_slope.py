"""Plain ReLU chains to first order in 1/n: what fourth cumulants and finitely many rows do, layer by layer.

After a layer the cosine q between both states is random: n(E q − q̄) and n Var q follow a recursion. Given
both inputs x and x' of a row, (z, z') has the fourth cumulants κ_ab Σ_j x_j^a x_j'^b, whose sums are those of
rectified Gaussian pairs; n rows realise the cosine with a bias and a variance of their own; and a layer maps
the fluctuations that it is given by J' and J''. All terms are of order θ² or higher in the angle θ between
the states, and none is a difference of near equals.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array

from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import Real, law

from .arguments import resolved, weight_cumulants
from .cumulants import FourthCumulants, cumulants_of_flips, cumulants_of_shift
from .depth import check_chain, layer_weights
from .kernel import safe_sqrt, second_angle_function, sine_minus_angle_cosine, third_angle_function
from .scaled import WeightMoments

RATE = Interval(1e-12, 0.5, fix="pass a flip rate from 1e-12 to 1/2")


class _Rows(NamedTuple):
    """Moments c and v = c² + noise of an error, and what its fourth cumulants make of them.

    F(C) = κ₄₀(2C² − v) − 4κ₃₁C + 6κ₂₂ − 4κ₁₃C/v + κ₀₄(2C² − v)/v² is `level` at C = c and has there the slope
    4·tilt; turn = 2κ₂₂ − c(κ₃₁ + κ₁₃/v). Each is of second or higher order in the error, where its terms are
    of zeroth and first.
    """

    c: Array
    v: Array
    noise: Array
    cumulants: FourthCumulants
    level: Array
    tilt: Array
    turn: Array


class _Cosine(NamedTuple):
    """The cosine q after a layer: 1 − q̄, n(E q − q̄), n Var q; and what sums of fourth powers are made of.

    n Σ x_j⁴ is `fourth`; with 1 − ρ = near, n Σ x_j³x_j' is fourth − 6·near + 4·mixed, and n Σ x_j²x_j'² is
    fourth − 8·near + 4·near² + 4·second. `left_out` is what n(E q − q̄) has and averages over rows lack.
    """

    lost: Array
    mean: Array
    variance: Array
    fourth: Array
    near: Array
    second: Array
    mixed: Array
    left_out: Array


@counting
def finite_width_depth_slope(rate: ArrayLike, depth: int, weights: Any = "gaussian") -> Real:
    """Coefficient of 1/n in C_l(n)/C_l − 1 for C_l(n) = E sin²(flip)/E sin²(shift) of the plain ReLU chain.

    Complete to this order, at every layer: the fourth cumulants of flips and shift, for inputs that differ in
    direction and in shape; the cosine that n rows realise; and what its fluctuations become in later layers.
    A ratio of means over networks and inputs. Meant for n·p ≫ 1, as `finite_width_slope`;
    `finite_width_depth_ratios` holds for few flips a row too.

    Args:
      rate: flip rate from 1e-12 to 1/2, scalar or array; the shift has size 2√rate.
      depth: number of layers, at least 1.
      weights: a law with third and fourth moments, as in `perturb.find_weights`, or a list of `depth` of
        them, one a layer.

    Returns:
      One coefficient a layer: shape (depth, *rate.shape). Traced rates outside give NaN.

    Raises:
      InvalidInput: for arguments outside.

    Source: proofs/depth_width.py.
    """
    check_chain(depth, "plain", "all", 1.0)
    slope = _slopes(rate, int(depth), layer_weights(weights, depth, weight_cumulants))[0]
    return resolved("finite_width_depth_slope", slope)


def slope_left_out(rate: float, depth: int, weights: WeightMoments) -> Real:
    """The part of `finite_width_depth_slope` that averages over the flips of a row do not have.

    Those are of the scatter of Q in every layer, of the mean of sin² over n rows, and in layer 1 of the
    shift's cumulants: see `finite_width_depth_ratios`. Weights as `layer_weights` gives their moments.
    """
    return resolved("finite_width_depth_ratios", _slopes(max(rate, RATE.low), depth, weights)[1])


@law(static=("depth",), domain={"rate": RATE})
def _slopes(rate: ArrayLike, depth: int, weights: Any) -> tuple[Array, Array]:
    p = jnp.asarray(rate)
    each = jax.tree.map(lambda moment: jnp.broadcast_to(moment, (depth,)).astype(p.dtype), weights)
    nothing = 0 * p
    # n Σ x_j⁴ of an input on the sphere.
    start = _Cosine(nothing, nothing, nothing, nothing + 3, nothing, nothing, nothing, nothing)

    def layer(cosines: tuple[_Cosine, _Cosine], own: WeightMoments) -> Any:
        rows = _of_flips(p, own), _of_shift(p, own)
        flips, shift = cosines
        # Averages over the flips of a row hold the flips' cumulants at the cosine reached so far, and of the
        # shift's those in layer 1 alone, where nothing is lost yet.
        averaged = (1 - flips.lost) ** 2, jnp.where(shift.lost == 0, 1.0, 0.0)
        after = tuple(map(_step, cosines, rows, averaged))
        whole = [_sine_change(each, each.mean) for each in after]
        left_out = [_sine_change(each, each.left_out) for each in after]
        return after, (whole[0] - whole[1], left_out[0] - left_out[1])

    # A scan: compiling takes as long for one layer as for a thousand.
    return jax.lax.scan(layer, (start, start), each)[1]


def _of_flips(p: Array, weights: WeightMoments) -> _Rows:
    one, noise = jnp.ones_like(p), 4 * p * (1 - p)
    level, turn = 4 * noise * weights.fourth, 2 * noise * (weights.fourth - 1)
    return _Rows(1 - 2 * p, one, noise, cumulants_of_flips(p, weights), level, 0 * p, turn)


def _of_shift(p: Array, weights: WeightMoments) -> _Rows:
    b, third, fourth = weights
    e = 2 * jnp.sqrt(p)
    c = 1 + b * e
    noise = weights.beyond * e**2
    v = c**2 + noise
    # Expanded by hand in the size e: orders below e⁴ in the level, and below e² in tilt and turn, cancel
    # exactly and are never formed.
    a = 2 * b**2 - 1
    level = (2 * a**2 - 1) * fourth - 4 * b * (2 * a - 1) * third + 4 * a - 1
    level = level + e * (2 * b * (2 * a - 1) * fourth - 8 * a * third + 6 * b)
    level = level + e**2 * (a * fourth - 4 * b * third + 4 - a)
    tilt = (4 * b**2 - 1) * fourth - 6 * b * third + 3
    tilt = tilt + e * ((4 * b**3 + 2 * b) * fourth - (4 * b**2 + 5) * third + 3 * b)
    tilt = tilt + e**2 * (4 * b**2 * fourth - 4 * b * third + 2 * b**2 - 2) + e**3 * (b * fourth - third)
    turn = -a * fourth + 2 * b * third + 2 * b**2 - 3
    turn = turn + e * (4 * b**3 - b * fourth - 4 * b + (3 - 2 * b**2) * third) + e**2 * b * (b - third)
    cumulants = cumulants_of_shift(e, weights)
    return _Rows(c, v, noise, cumulants, e**4 * level / v**2, e**2 * tilt / v**2, e**2 * turn / v)


def _step(before: _Cosine, rows: _Rows, averaged: Array) -> _Cosine:
    """The next layer; `averaged` is the part of the cumulants' level that averages over rows have."""
    c, v, root = rows.c, rows.v, jnp.sqrt(rows.v)
    parted = c * before.lost
    # As in `depth.correlated`: states that have parted add their own sine² to the error's noise.
    noise = rows.noise + c**2 * before.lost * (2 - before.lost)
    theta = jnp.arctan2(safe_sqrt(noise), c - parted)
    sine, rho = safe_sqrt(noise) / root, (c - parted) / root
    bow = sine_minus_angle_cosine(theta) / jnp.pi
    second, mixed = (f(theta) / (2 * jnp.pi) for f in (second_angle_function, third_angle_function))
    near, j = 2 * jnp.sin(theta / 2) ** 2, rho + bow
    # J' and J'' of the map of cosines, through which mean and variance pass.
    slope, bend = (1 - theta / jnp.pi) * c / root, c**2 / v / (jnp.pi * sine)
    unit = 24 * jnp.pi * safe_sqrt(noise) * root
    change, known = _bent(before, rows, parted) / unit, averaged * before.fourth * rows.level / unit
    # Bias and variance of the cosine that n rows realise, in bow, second and mixed: what is left of the
    # kernels once their leading terms, polynomials of ρ, have cancelled.
    bias = bow * (5 + rho**2) - rho * sine**2 + j * second - 4 * mixed
    own = 2 * sine**4 - 4 * rho * bow * sine**2 + bow**2 * (4 + 2 * rho**2)
    own = own + second * (4 + 2 * j**2) - 8 * j * mixed
    return _Cosine(
        near - bow,
        slope * before.mean + bend * before.variance / 2 + change + bias,
        slope**2 * before.variance + own,
        # n Σ x_j⁴ of rectified Gaussians: E h⁴/(E h²)² = (3/2)/(1/4).
        0 * before.fourth + 6,
        near,
        second,
        mixed,
        slope * before.left_out + bend * before.variance / 2 + change - known - own / (2 * j),
    )


def _bent(before: _Cosine, rows: _Rows, parted: Array) -> Array:
    """48π√D·nΔκ at the overlap c − parted: F there, less what the sums of mixed powers lack of Σ x_j⁴."""
    k40, _, k22, _, k04 = rows.cumulants
    odd = rows.cumulants.k31 + rows.cumulants.k13 / rows.v
    straight = rows.level - 4 * parted * rows.tilt + 2 * parted**2 * (k40 + k04 / rows.v**2)
    lack = before.near * (rows.turn + parted * odd) - k22 * (before.near**2 + before.second)
    return before.fourth * straight - 24 * lack - 16 * before.mixed * (rows.c - parted) * odd


def _sine_change(after: _Cosine, mean: Array) -> Array:
    """n (E sin²/sin² − 1), of this n(E q − q̄)."""
    moved = 2 * (1 - after.lost) * mean + after.variance
    return -moved / (after.lost * (2 - after.lost))
