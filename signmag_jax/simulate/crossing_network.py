"""One network of the fast estimator: what single rows tell, and now and then what all of them do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence.compiling import held
from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.errors import invalid
from signmag_jax.perturb import SignFlip

from . import pairs
from .arguments import Arguments, AtLeast1, AtLeast2, Dtype
from .crossing_drift import (
    DIRECTIONS,
    MEAN_ABSOLUTE,
    MEAN_SQUARE,
    biases,
    excess,
    flip_drift,
    per_row,
    realignment,
    shift_drift,
    sums,
)
from .gaussian import sphere, weights
from .network import Statistics

ROULETTE = Interval(0.0, 1.0, open_low=True, fix="pass roulette=1 to draw the rows of every network")
# (3/2)·8/(3π): the slope of a crossing's mean in q at one flip in many, over √q.
CONTROL = 4 / math.pi


class RowPairs(NamedTuple):
    """Rows w and w': ‖w‖², the angle between them, and ‖w'‖/‖w‖."""

    square: Float[Array, " rows"]
    angle: Float[Array, " rows"]
    stretch: Float[Array, " rows"]


@dataclass(frozen=True)
class CrossingSample(Arguments):
    """One network of `crossings`; the fields are its arguments."""

    width: int
    hidden: int
    rows: AtLeast1
    inputs: AtLeast2
    roulette: float
    match: pairs.Match
    dtype: Dtype

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rows > self.hidden:
            raise invalid("rows <= hidden", self.rows, f"pass at most {self.hidden}")
        if self.inputs % 2:
            raise invalid("inputs is even for antipodal inputs", self.inputs, "pass an even number")
        ROULETTE.require("roulette", self.roulette)

    def work(self, rates: int) -> float:
        """Floating-point operations: the matrix products, and about 300 for a random weight or input."""
        drawn = 300.0 * (2 * self.rows + self.roulette * (2 * self.hidden + self.inputs / 2))
        return self.width * (drawn + self.roulette * self.hidden * self.inputs * (1.0 + 2 * rates))

    def __call__(self, parameters: Float[Array, " rates"], key: PRNGKeyArray) -> Statistics:
        """Statistics of one network, of shape (rates,)."""
        for_rows, for_whole, for_roulette = jax.random.split(key, 3)
        rows = self._single_rows(parameters, for_rows)
        if self.roulette < 1:
            # A branch that is not taken is not computed, which is where the time is saved. Of networks side
            # by side, `vmap` would compute both branches of all.
            taken = jax.custom_batching.sequential_vmap(self._rarely)(parameters, for_whole, for_roulette)
        else:
            taken = self._all_rows(parameters, for_whole)
        return {arm: rows[arm] - taken[arm] for arm in rows}

    def _single_rows(self, parameters: Float[Array, " rates"], key: PRNGKeyArray) -> Statistics:
        """What one row adds to both arms: the exact square, less its crossings and most of the last term."""
        for_w, for_flips, for_directions, for_others = jax.random.split(key, 4)
        # Held, because XLA would draw it again inside each consumer.
        w = lax.optimization_barrier(weights(for_w, self.rows, self.width, self.dtype))
        wide = per_row()
        square, absolute = sums(w * w).astype(wide), sums(jnp.abs(w)).astype(wide)
        # One direction in each of equal parts of the half circle: their mean scatters less than that of as
        # many free ones, and is as unbiased.
        t = jax.random.uniform(for_directions, (DIRECTIONS, self.rows), wide)
        t = (jnp.arange(DIRECTIONS, dtype=wide)[:, None] + t) / DIRECTIONS
        off_square = _mean(square) / self.width - 1
        off_absolute = _mean(absolute) / self.width - MEAN_ABSOLUTE

        def compare(rate: Array) -> Statistics:
            # One key for all rates: flips of a smaller rate are among those of a larger one, and curves over
            # the rate are smooth.
            mask = (SignFlip(rate).apply(for_flips, w) != w).astype(w.dtype)
            flipped = sums(mask * w * w).astype(wide)
            count, step = self._norms(rate, jnp.sum(sums(mask)), flipped, square, for_others)
            # E w(w' − w) of a row, its part across w, and the length of w'.
            share = flipped / square
            # The share is a quotient of rounded sums: just above 1 its root has no arcsine.
            angle = 2 * jnp.arcsin(jnp.sqrt(jnp.minimum(share, 1.0)))
            flip = RowPairs(square, angle, jnp.ones_like(share))
            across = jnp.sqrt(jnp.maximum(self.width * square - absolute**2, 0.0))
            along = square + step.astype(wide) * absolute
            aside = step.astype(wide) * across
            angle = jnp.arctan2(aside, along)
            shift = RowPairs(square, angle, jnp.hypot(aside, along) / square)
            # The share has the mean `rate`, and a crossing's mean grows as its power 3/2: unbiased, whatever
            # the factor.
            control = CONTROL * jnp.sqrt(rate) * (_mean(share) - rate)
            # step² has the mean 4·rate: what is left of the shift's square is of second order.
            bend = MEAN_ABSOLUTE**2 * off_square - 2 * MEAN_ABSOLUTE * off_absolute
            exact = {
                "flip": 2 * rate * (1 - rate) * (1 - 1 / (self.hidden * self.width)) + control,
                "shift": 2 * rate * (1 - MEAN_ABSOLUTE**2) + (step**2 - 4 * rate) * bend / 2,
            }
            bias = biases(rate)
            # What they add to the squares; E step·(off_absolute − …) is that of step's fluctuation alone.
            off = (step - 2 * jnp.sqrt(rate)) * (off_absolute - MEAN_ABSOLUTE * off_square)
            exact["flip"] += bias["flip"] ** 2 / 2
            exact["shift"] += bias["shift"] ** 2 / 2 - bias["shift"] * off
            drawn = {
                "flip": (flip, flip_drift(count) + bias["flip"]),
                "shift": (shift, shift_drift(step) + bias["shift"]),
            }
            return {arm: exact[arm] - self._row(*drawn[arm], t) for arm in drawn}

        return lax.map(compare, parameters)

    def _row(self, rows: RowPairs, drift: Array, t: Float[Array, "directions rows"]) -> Array:
        """(1+α)·E max(−zz', 0) + E (hδ − αh²)²/(m E h²), over rows and directions."""
        n, m = self.width, self.hidden
        square, angle, stretch = (leaf[None, :] for leaf in rows)
        # Where they differ in sign, z and z' are as sin(tθ) and −sin((1−t)θ).
        opposite = jnp.sin(t * angle) * jnp.sin((1 - t) * angle)
        z, other = jnp.cos(jnp.pi * t), stretch * jnp.cos(jnp.pi * t - angle)
        opposite, z, other = held((opposite, z, other))
        crossing = 2 / n * square * stretch * angle / jnp.pi * opposite
        # The projection's length to the power 4 has the mean 8/(n(n+2)); half of the directions have h > 0.
        fourth = 8 / (n * (n + 2)) * square**2 * excess(z, other, drift) ** 2 / 2
        return (1 + drift) * _mean(crossing) + _mean(fourth) / (m * MEAN_SQUARE)

    def _norms(
        self, rate: Array, count: Array, flipped: Array, square: Array, key: PRNGKeyArray
    ) -> tuple[Array, Array]:
        """The share of flipped weights among all m rows, and the size a of the shift w + a·sign(w).

        From the rows that are drawn: the sums of w² of the others, flipped or not, are χ² of as many degrees
        of freedom as they have such weights.
        """
        size, others = self.hidden * self.width, (self.hidden - self.rows) * self.width
        flipped, kept = (jnp.sum(some.astype(jnp.float64)) for some in (flipped, square - flipped))
        if others:
            for_count, for_squares = jax.random.split(key)
            more = _binomial(for_count, float(others), rate)
            squares = _chi_square(for_squares, jnp.stack([more, others - more]))
            count, flipped, kept = count + more, flipped + squares[0], kept + squares[1]
        norm = flipped if self.match == "realised" else rate * (flipped + kept)
        return count / size, 2 * jnp.sqrt(norm / size)

    def _rarely(
        self, parameters: Float[Array, " rates"], for_whole: PRNGKeyArray, for_roulette: PRNGKeyArray
    ) -> Statistics:
        """What all rows add, of a random part of the networks, and more by what the others lack."""
        every = lambda: self._all_rows(parameters, for_whole)  # noqa: E731
        none = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(every))
        scaled = lambda: jax.tree.map(lambda leaf: leaf / self.roulette, every())  # noqa: E731
        return lax.cond(jax.random.bernoulli(for_roulette, self.roulette), scaled, lambda: none)

    def _all_rows(self, parameters: Float[Array, " rates"], key: PRNGKeyArray) -> Statistics:
        """What (A − αB)²/B of both arms holds beyond its rows' parts, which needs all rows at once."""
        for_w, for_x, for_pair = jax.random.split(key, 3)
        w = weights(for_w, self.hidden, self.width, self.dtype)
        x = sphere(for_x, self.width, self.inputs // 2, self.dtype)
        w, x = lax.optimization_barrier((w, x))
        z = w @ x

        def compare(rate: Array) -> Statistics:
            flipped, shifted = pairs.Matched(self.match).draw(rate, for_pair, w)
            count = jnp.mean(sums((flipped != w).astype(w.dtype))) / self.width
            step = jnp.sqrt(jnp.mean(sums(jnp.square(shifted - w))) / self.width)
            bias = biases(rate)
            return {
                "flip": realignment(z, flipped @ x, flip_drift(count) + bias["flip"]),
                "shift": realignment(z, shifted @ x, shift_drift(step) + bias["shift"]),
            }

        return lax.map(compare, parameters)


def _mean(a: Array) -> Float[Array, ""]:
    return jnp.mean(a.astype(jnp.float64))


def _binomial(key: PRNGKeyArray, number: float, rate: Array) -> Float[Array, ""]:
    wide = per_row()
    return jax.random.binomial(key, number, rate.astype(wide), dtype=wide).astype(jnp.float64)


def _chi_square(key: PRNGKeyArray, degrees: Float[Array, " kinds"]) -> Float[Array, " kinds"]:
    some, wide = degrees > 0, per_row()
    half = (jnp.where(some, degrees, 1.0) / 2).astype(wide)
    drawn = 2 * jax.random.gamma(key, half, dtype=wide).astype(jnp.float64)
    return jnp.where(some, drawn, 0.0)
