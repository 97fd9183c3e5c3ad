"""A clean and a perturbed vector inside a network of infinite width, and what its layers make of them.

Entries of one vector are identically distributed, and independent of fresh random matrices. So two vectors
are their second moments and means, and a layer is one of a few operations on these, none of which forms a
difference of near equals; see `Scaled`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array

from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import law
from signmag_jax.perturb import Moments

from .activations import Activation
from .arguments import RATE, SCALE, WEIGHTS
from .blocks import without_means
from .energies import BlockEnergies, activated_block, compared, energies_of, held
from .scaled import Scaled, flips, scaled, shift
from .second_moments import SecondMoments

NOT_NEGATIVE = Interval(0.0, fix="pass a number of at least 0")


class State(NamedTuple):
    """A clean vector y and a perturbed one y'.

    Args:
      unit: of the difference, as in `Scaled`.
      pair: second moments and means of an entry, in that unit.
      linear: E‖DN(y)[δ]‖² an entry where a normalisation N gave it, y being what went in; else the transverse
        energy, which the derivative of a normalisation behind it would let through. In units of unit².
    """

    unit: Any
    pair: SecondMoments
    linear: Any


class TwoMoments(NamedTuple):
    """E g and E g² of numbers that are the same in both vectors."""

    mean: Any
    square: Any


NO_ERROR = Moments(1.0, 1.0, 0.0, 0.0)


def two_moments(numbers: Any) -> TwoMoments:
    """E g and E g² of one number, or of one for each feature."""
    return _two_moments(numbers)


def spread(deviation: ArrayLike) -> TwoMoments:
    """E g and E g² of numbers of mean 0 and this standard deviation."""
    return two_moments(deviation)._replace(mean=0.0)


def _state(power: Any, of: Scaled, mean: Any, mean_shift: Any) -> State:
    pair = SecondMoments(
        energy=power * (of.drift**2 + of.noise),
        alignment=power * of.drift,
        transverse=power * of.noise,
        signal=power,
        perturbed=power * of.v,
        overlap=power * of.c,
        mean=mean,
        mean_shift=mean_shift,
    )
    return State(of.unit, pair, pair.transverse)


def _relative(state: State) -> Scaled:
    """Moments of y' for E y² = 1."""
    pair = state.pair
    # A vector of zeros has moments as well, all 0.
    power = jnp.where(pair.signal == 0, jnp.ones_like(pair.signal), pair.signal)
    return Scaled(pair.overlap / power, state.unit, pair.alignment / power, pair.transverse / power)


def _in_one_unit(a: State, b: State) -> tuple[State, State]:
    """Both states in one unit: the larger of those in which anything differs.

    Units that are equal are one: all are of the network's own rate, or constants, see `own_error`.
    """
    same = a.pair.energy == 0, b.pair.energy == 0
    unit = jnp.where(same[0], b.unit, jnp.where(same[1], a.unit, jnp.maximum(a.unit, b.unit)))
    return _in_unit(a, unit), _in_unit(b, unit)


def _in_unit(state: State, unit: Array) -> State:
    # Of one unit the quotient is 1 and has no slope: rounding would leave one of eps/unit.
    r, pair = jnp.where(state.unit == unit, 1.0, state.unit / unit), state.pair
    pair = pair._replace(
        energy=pair.energy * r * r,
        alignment=pair.alignment * r,
        transverse=pair.transverse * r * r,
        mean_shift=pair.mean_shift * r,
    )
    return State(unit, pair, state.linear * r * r)


def _product(a: State, b: State) -> State:
    """The product, entry by entry, of independent vectors, or of a matrix's rows, of mean 0, and a vector."""
    a, b = _in_one_unit(a, b)
    x, y = _relative(a), _relative(b)
    # c_x·c_y − 1 and v_x·v_y − (c_x·c_y)², each as a sum of what the factors themselves lack: no difference
    # of products near 1.
    of = Scaled(x.c * y.c, a.unit, x.drift * y.c + y.drift, y.v * x.noise + x.c**2 * y.noise)
    p, q = a.pair, b.pair
    rise = p.mean * q.mean_shift + p.mean_shift * q.mean + a.unit * p.mean_shift * q.mean_shift
    return _state(p.signal * q.signal, of, p.mean * q.mean, rise)


def _sum(a: State, b: State) -> State:
    """The sum, entry by entry, of independent vectors: T = E(δ − D y)² for D = E yδ/E y²."""
    a, b = _in_one_unit(a, b)
    p, q, unit = a.pair, b.pair, a.unit
    power = p.signal + q.signal + 2 * p.mean * q.mean
    along = p.alignment + q.alignment + p.mean * q.mean_shift + p.mean_shift * q.mean
    overlap = p.overlap + q.overlap
    overlap = overlap + p.mean * (q.mean + unit * q.mean_shift) + q.mean * (p.mean + unit * p.mean_shift)
    drift = along / power
    # What each part has across itself, and its drift against the common one: E δ² − (E yδ)²/E y² would
    # cancel.
    noise = sum(
        one.transverse + one.signal * (_relative(State(unit, one, 0.0)).drift - drift) ** 2 for one in (p, q)
    )
    noise = noise + 2 * (p.mean_shift - drift * p.mean) * (q.mean_shift - drift * q.mean)
    of = Scaled(overlap / power, unit, drift, noise / power)
    return _state(power, of, p.mean + q.mean, p.mean_shift + q.mean_shift)


def _constant(moments: TwoMoments) -> State:
    """Numbers that do not change."""
    none = 0 * moments.square
    return _state(moments.square, Scaled(1 + none, 1 + none, none, none), moments.mean, none)


@law()
def unit_input() -> State:
    """Two equal vectors of mean 0 and mean square 1."""
    return _constant(TwoMoments(jnp.asarray(0.0), jnp.asarray(1.0)))


@law(domain={"scale": SCALE})
def dense(state: State, error: Moments | Scaled, scale: ArrayLike) -> State:
    """z = W x of a fresh W, E W² = scale²/n."""
    size = jnp.asarray(scale)
    return _product(_state(held(jnp.ones_like(size), size, size), scaled(error), 0 * size, 0 * size), state)


@law()
def own_error(error: Moments | Scaled) -> Scaled:
    """An error of one matrix alone, in a unit that is held constant, and is not that of a rate by chance."""
    of = scaled(error)
    # A factor of π: a rate's unit that is equal by chance would be taken for the same.
    unit = math.pi * jax.lax.stop_gradient(of.unit)
    r = of.unit / unit
    return Scaled(of.c, unit, of.drift * r, of.noise * r * r)


@law()
def shifted(state: State, by: TwoMoments) -> State:
    """y + β, β the same in both and independent of y."""
    return _sum(state, _constant(by))


@law(static=("activation",))
def activated(state: State, activation: Activation) -> State:
    """φ(y) of Gaussian y."""
    scale = jnp.sqrt(state.pair.signal)
    moments = Scaled(*jnp.broadcast_arrays(*_relative(state)))
    out, own = activated_block(moments, activation, scale).pair, activation.size(scale)
    pair = SecondMoments(
        energy=held(out.energy, own, own),
        alignment=held(out.alignment, own, own),
        transverse=held(out.transverse, own, own),
        signal=held(_clean(out.signal), own, own),
        perturbed=held(out.perturbed, own, own),
        overlap=held(out.overlap, own, own),
        mean=held(_clean(out.mean), own),
        mean_shift=held(out.mean_shift, own),
    )
    return State(moments.unit, pair, pair.transverse)


def _clean(value: Array) -> Array:
    """What is the same beside all perturbed vectors; those that are NaN do not count."""
    return jnp.nanmax(value) if value.size else jnp.ones(())


@law(domain={"eps": NOT_NEGATIVE})
def normalised(state: State, gain: TwoMoments, eps: ArrayLike) -> State:
    """g ∘ y/√(E y² + eps), each vector by its own length; one without length keeps no direction."""
    pair, unit, of = state.pair, state.unit, _relative(state)
    gone = (of.v == 0) & (jnp.asarray(eps) == 0)
    own, v = pair.signal + eps, jnp.where(gone, jnp.ones_like(of.v), of.v)
    other = pair.signal * v + eps
    # 0 stays 0, whatever it is divided by: nothing is left of its direction.
    f = jnp.where(gone, 0 * v, jnp.sqrt(own / other))
    # c·f − 1 by its square where that is a difference of near equals.
    ahead = of.c > 0
    parts = eps * of.drift * (1 + of.c) - pair.signal * unit * of.noise
    drift = jnp.where(ahead, parts / (other * jnp.where(ahead, 1 + of.c * f, 1.0)), (of.c * f - 1) / unit)
    noise = jnp.where(gone, 1 / unit**2, of.noise * f**2)
    # (f − 1)/unit, again without the difference.
    bend = -pair.signal * of.growth / (jnp.sqrt(other) * (jnp.sqrt(other) + jnp.sqrt(own)))
    rise = jnp.where(gone, -pair.mean / unit, pair.mean_shift * f + pair.mean * bend) / jnp.sqrt(own)
    after = _state(
        pair.signal / own * gain.square,
        Scaled(of.c * f, unit, drift, noise),
        pair.mean / jnp.sqrt(own) * gain.mean,
        rise * gain.mean,
    )
    # DN(y)[y] = y·eps/(y² + eps): so much of a radial error is let through.
    linear = (of.drift * (eps / own)) ** 2 + of.noise
    return after._replace(linear=pair.signal / own * gain.square * linear)


@law()
def centred(state: State) -> State:
    """y less its mean."""
    pair = without_means(state.pair, state.unit)
    return State(state.unit, pair, pair.transverse)


@law()
def seen(state: State) -> tuple[Array, Scaled]:
    """What an activation sees: the entries' standard deviation, and the moments of what they become."""
    return jnp.sqrt(state.pair.signal), _relative(state)


@law()
def _two_moments(numbers: Any) -> TwoMoments:
    each = jnp.asarray(numbers)
    return TwoMoments(jnp.mean(each), jnp.mean(each**2))


added = law()(_sum)
multiplied = law()(_product)
flip_error = law(domain={"rate": RATE})(flips)
shift_error = law(domain={"rate": RATE}, read=WEIGHTS)(shift)


@law()
def energies(state: State) -> BlockEnergies:
    """The energies that can be read off a state."""
    return energies_of(compared(state.pair, state.unit), state.unit, jnp.ones_like(state.unit))


@law()
def linear_ratio(above: State, below: State) -> Array:
    """The ratio of what the normalisation's derivative lets through, for errors in the same units."""
    return above.linear / below.linear


@law()
def finite_ratio(above: State, below: State) -> Array:
    """The ratio of sine² of the angle between clean and perturbed vector, for errors in the same units."""
    a, b = (compared(state.pair, state.unit).sine_squared for state in (above, below))
    return a / b
