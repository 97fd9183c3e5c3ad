"""Gated blocks of finite width: the fourth cumulants of a row, to first order in 1/n.

Given an input x, (z_g, z_g') has the fourth cumulants κ_ab·Σ x_j⁴ of (w, w'), by which E f(z)f(z') changes as
in `cumulants`. Second moments of z_u, which is linear in the weights, are the same at every width.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array

from signmag_jax.evidence import invalid
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import Real, is_traced, law
from signmag_jax.perturb import MagnitudeShift, Moments, SignFlip

from .activations import Activation, find_activation
from .arguments import SCALE, check_scale, moments_of, resolved
from .blocks import GATED, block_ratio
from .cumulants import FourthCumulants, flip_cumulants, shift_cumulants
from .quadrature import Rule, derivative_of
from .smooth import Smooth
from .width import check_width

RATE = Interval(1e-6, 0.5, fix="pass a flip rate from 1e-6 to 1/2: terms cancel below")
BINOMIAL = (1, 4, 6, 4, 1)
LARGEST_CHANGE = 0.25
"""Largest relative change of a transverse energy: beyond it, the orders in 1/n left out count as well."""


class _Means(NamedTuple):
    """E φφ', E φ'² and E φ² of the gate."""

    cross: Array
    other: Array
    own: Array


@counting
def gated_width_ratio(
    rate: ArrayLike,
    n: int,
    activation: str | Activation = "silu",
    gated: str = "both",
    scale: ArrayLike = 1.0,
    weights: Any = "gaussian",
) -> Real:
    """`block_ratio` of a gated block with n inputs, to first order in 1/n: A·(1 + a/(n + 2)).

    Of the mean over inputs on the sphere; what finitely many rows change is left out. Rows may hold few
    flips: unlike a ReLU's, the kernel of a smooth activation is smooth in the flips of a row.

    Args:
      rate: flip rate from 1e-6 to 1/2, scalar or array.
      n: inputs, at least 2.
      activation: φ, smooth: "silu" (SwiGLU), "gelu" (GeGLU), "tanh", "erf", or one of your own.
      gated: which matrices are perturbed: "both", "gate" or "up", which has no such term.
      scale: standard deviation of the clean pre-activations.
      weights: a law with third and fourth moments, as in `perturb.find_weights`.

    Raises:
      InvalidInput: for an argument out of its range, an activation that is not smooth, or a width at which
        the first order changes an energy by more than a quarter, as of weights with heavy tails.

    Source: proofs/any_weights_width.py for the cumulants; Edgeworth's expansion.
    """
    if gated not in GATED[1:]:
        raise invalid(f"gated in {GATED[1:]}", gated, "choose one of these")
    check_scale(scale)
    chosen = find_activation(activation).resolved(scale)
    if not isinstance(chosen.pair, Smooth):
        raise invalid("a smooth activation", chosen.name, "choose silu or tanh, or pass theory.smooth(...)")
    if not is_traced(rate):
        RATE.require("rate", rate)
    limit = block_ratio(rate, activation, gated=gated, scale=scale, weights=weights)
    # E Σ x_j⁴ over the sphere.
    share = 3 / (check_width(n) + 2)
    if gated == "up":
        return limit
    # NumPy's root keeps float64 whatever JAX's flag says.
    size = 2 * jnp.sqrt(jnp.asarray(rate)) if is_traced(rate) else 2 * np.sqrt(rate)
    arms = (
        (SignFlip(rate), flip_cumulants(rate, weights)),
        (MagnitudeShift(size), shift_cumulants(size, weights)),
    )
    rule = chosen.pair.rule
    above, below = (share * _change(moments_of(one, weights), k, rule, gated, scale) for one, k in arms)
    if not is_traced(above, below):
        _check_change(np.maximum(np.abs(above), np.abs(below)))
    # Linear, not (1 + above)/(1 + below): that quotient's second order is no nearer to the one left out.
    return resolved("gated_width_ratio", limit * (1 + above - below))


def _check_change(change: Any) -> None:
    # NaN is not too large: it is not resolved.
    if np.any(np.asarray(change) > LARGEST_CHANGE):
        raise invalid(
            f"a first order in 1/n that changes an energy by at most {LARGEST_CHANGE:g} of it",
            float(np.nanmax(change)),
            "raise the width: the law leaves out higher orders",
        )


@law(static=("rule", "gated"), domain={"scale": SCALE})
def _change(moments: Moments, cumulants: FourthCumulants, rule: Rule, gated: str, scale: ArrayLike) -> Array:
    """ΔT/T for each unit of Σ x_j⁴, T = E φ'²·v_u − (E φφ'·c_u)²/E φ²."""

    def one(given: tuple[Moments, FourthCumulants]) -> Array:
        error, k = given
        values, changes = _gate(rule, error, k, jnp.asarray(scale))
        c, v = (error.c, error.v) if gated == "both" else (1.0, 1.0)
        ratio = values.cross / values.own
        transverse = values.other * v - values.cross * ratio * c**2
        moved = changes.other * v - c**2 * (2 * ratio * changes.cross - ratio**2 * changes.own)
        return moved / transverse

    every = jnp.broadcast_arrays(*moments, *cumulants)
    shape = every[0].shape
    flat = [jnp.ravel(each) for each in every]
    # One rate after another: the plane has many nodes.
    terms = jax.lax.map(one, (Moments(*flat[:4]), FourthCumulants(*flat[4:])))
    return terms.reshape(shape)


def _gate(rule: Rule, error: Moments, k: FourthCumulants, scale: Array) -> tuple[_Means, _Means]:
    """The three means, and what the cumulants change in each."""
    derivatives = [rule.function, rule.derivative, rule.curvature]
    for _ in range(2):
        derivatives.append(derivative_of(derivatives[-1]))
    # Towards 0 the panels narrow to what the activation's own size asks for.
    x, weight = rule.grid.axis(jnp.zeros_like(error.c), rule.analytic / (scale * jnp.maximum(error.c, 1)))
    root = jnp.sqrt(error.noise)
    far = error.c * x[:, None] + (root * x)[None, :]
    clean, moved = ([f(scale * z) for f in derivatives] for z in (x, far))
    mean = lambda a, b: weight @ (clean[a][:, None] * moved[b]) @ weight  # noqa: E731
    line = lambda each: weight @ each  # noqa: E731
    spread = jnp.sqrt(error.v) * x
    others = [f(scale * spread) for f in derivatives]
    fourth = scale**4 / 24
    cross = sum(
        times * kappa * mean(4 - b, b) for b, (times, kappa) in enumerate(zip(BINOMIAL, k, strict=True))
    )
    means = _Means(mean(0, 0), line(others[0] ** 2), line(clean[0] ** 2))
    bent = [line(_square(each)) for each in (others, clean)]
    return means, _Means(fourth * cross, fourth * k.k04 * bent[0], fourth * k.k40 * bent[1])


def _square(f: list[Array]) -> Array:
    """The fourth derivative of φ²."""
    return 2 * f[0] * f[4] + 8 * f[1] * f[3] + 6 * f[2] ** 2
