"""The ReLU block by its sign crossings: what a linear network knows exactly is not simulated.

For any α that does not depend on x, with A and B the means over rows of hδ and h², a network's transverse
energy per row is

    T(x) = mean (δ − αh)² − (A − αB)²/B,

and since W(−x) = −Wx, the mean of (δ − αh)² over x and −x is, row by row,

    ½(z' − (1+α)z)² − (1+α)·max(−zz', 0).

- The square is a quadratic form in the weights: its mean follows from E w² = 1, E|w| = √(2/π) and the rate,
  up to the fluctuation of the shift's realised norm.
- A *crossing*, zz' < 0, is rare and carries few percent of T. Its mean is that of one row, so that a part of
  the rows is drawn, and needs no inputs: the projection of x on the plane of w and w', at an angle θ, has a
  direction independent of its length, whose square has the mean 2/n. The direction is uniform: z and z'
  differ in sign with probability θ/π, and where they do it is uniform still, and drawn. To a realised norm
  the other rows add a χ² of as many degrees of freedom as they have flips.
- What is left is about 2/m of T, and nearly all of it mean (hδ − αh²)²/(m E h²): again that of one row, if
  α is close to E hδ/E h². The difference needs all m rows and some inputs, but hardly any precision: it is
  computed for one network in 1/roulette, and weighted with 1/roulette, which is unbiased (Russian roulette).

Nothing is approximated: expectations are those of brute force at every width, number of rows and rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence import Estimate
from signmag_jax.evidence.errors import invalid
from signmag_jax.perturb import SignFlip

from . import pairs
from .engine import Options, run
from .gaussian import DTYPES, choose, sphere, weights, whole
from .network import Experiment, Statistics
from .result import Estimates, Result

# E|w| of a standard normal, and E h² of relu(z).
MEAN_ABSOLUTE = math.sqrt(2 / math.pi)
MEAN_SQUARE = 0.5
DEFAULT_ROWS = 64
DIRECTIONS = 16
DEFAULT_INPUTS = 512
# So many weights are drawn for all rows of a network, on average over networks.
WHOLE = 2**16
# However wide, all rows are drawn in one network of so many: fewer would be in no run, nor in its error.
RAREST = 64
# Of a network, in the rows that are drawn, on average: else no standard error knows of what flips do.
FEWEST_FLIPS = 0.25
# (3/2)·8/(3π): the slope of a crossing's mean in q at one flip in many, over √q.
CONTROL = 4 / math.pi
ESTIMATOR = (
    "exact quadratic mean, sign crossings of sampled rows in uniform directions, all rows by Russian roulette"
)


@dataclass(frozen=True)
class Crossings(Result):
    """The transverse ratio of a ReLU block; estimates of shape () or (rates,).

    Args:
      transverse_ratio: flips over shift, as `BlockResult.transverse_ratio_of_means`. A mean of
        per-network ratios has no counterpart here, because numerator and denominator of one network are
        never known; the two differ by the bias of a quotient, O(1/inputs) of the network.
      flip: E‖P⊥(h) δ‖²/m of the flips, for pre-activations N(0, 1).
      shift: the same of the magnitude shift.
      networks: how many were simulated.
    """

    transverse_ratio: Estimate
    flip: Estimate
    shift: Estimate
    networks: int


def crossings(
    width: int,
    rate: Any,
    *,
    hidden: int | None = None,
    match: str = "realised",
    rows: int | None = None,
    inputs: int = DEFAULT_INPUTS,
    roulette: float | None = None,
    dtype: str = "float32",
    **options: Unpack[Options],
) -> Crossings:
    """Simulate relu(Wx) under sign flips and the matched shift, fast: the expectations of brute force.

    For wide networks: with a handful of rows what needs all of them is heavy-tailed, and towards rate 0.5
    crossings are no longer rare; brute force then has the smaller error at the same number of networks.

    Args:
      width: length n of x, at least 2.
      rate: flip rate in (0, 0.5], or a list; several share weights, inputs and nested flips. At the lowest
        the rows that are drawn hold a flip in one network of four at least.
      hidden: rows m of W; `width` by default.
      match: "realised" or "expected" equality of the Frobenius norms, as in `block`.
      rows: drawn to meet crossings; 64 by default, at most m.
      inputs: of a network whose rows are all drawn, in antipodal pairs; an even number.
      roulette: part of the networks whose rows are all drawn, in (0, 1]; by default 2^16/(mn), at least 1/64
        and at most 1.
      dtype: "float32" or "float64".
      options: targets (on the transverse ratio), seed, resume and mesh, as in `Options`.

    Returns:
      Estimates of shape () or (rates,), without unit.

    Raises:
      InvalidInput: for an argument out of its range, or a folder of another run.
      Incomplete: if the target is out of reach.
    """
    values = pairs.rates(rate)
    whole("width", width, 2)
    hidden = width if hidden is None else hidden
    whole("hidden", hidden, 2)
    sample = CrossingSample(
        width,
        hidden,
        min(DEFAULT_ROWS, hidden) if rows is None else rows,
        inputs,
        default_roulette(width * hidden) if roulette is None else roulette,
        match,
        dtype,
    )
    flips = float(np.min(values)) * sample.rows * width
    if flips < FEWEST_FLIPS:
        raise invalid(
            f"rate * rows * width >= {FEWEST_FLIPS:g}",
            flips,
            "raise one of them: where networks draw no flip, the standard error does not show it",
        )
    experiment = Experiment(
        "crossings",
        sample,
        np.atleast_1d(values),
        {"rate": values.tolist(), **sample.arguments()},
        sample.work(values.size),
        lambda tally: tally.ratio("flip", "shift"),
    )
    tally, provenance = run(experiment, **options)
    found = Estimates(tally, provenance, values.shape)
    return Crossings(
        found.ratio("flip", "shift", f"ratio of means over networks (delta method): {ESTIMATOR}"),
        found.mean("flip", f"mean over networks: {ESTIMATOR}"),
        found.mean("shift", f"mean over networks: {ESTIMATOR}"),
        tally.count,
    )


def default_roulette(size: int) -> float:
    """Share of the networks whose rows are all drawn, for networks of that many weights."""
    return min(max(WHOLE / size, 1 / RAREST), 1.0)


class Row(NamedTuple):
    """Rows w and w': ‖w‖², the angle between them, and ‖w'‖/‖w‖."""

    square: Float[Array, " rows"]
    angle: Float[Array, " rows"]
    stretch: Float[Array, " rows"]


@dataclass(frozen=True)
class CrossingSample:
    """One network of `crossings`; the fields are its arguments."""

    width: int
    hidden: int
    rows: int
    inputs: int
    roulette: float
    match: str
    dtype: str

    def __post_init__(self) -> None:
        whole("rows", self.rows, 1)
        if self.rows > self.hidden:
            raise invalid("rows <= hidden", self.rows, f"pass at most {self.hidden}")
        whole("inputs", self.inputs, 2)
        if self.inputs % 2:
            raise invalid("inputs is even for antipodal inputs", self.inputs, "pass an even number")
        if (
            isinstance(self.roulette, bool)
            or not isinstance(self.roulette, float | int)
            or not 0 < self.roulette <= 1
        ):
            raise invalid(
                "0 < roulette <= 1", self.roulette, "pass roulette=1 to draw the rows of every network"
            )
        choose("match", self.match, pairs.MATCHES)
        choose("dtype", self.dtype, DTYPES)

    def arguments(self) -> dict[str, Any]:
        """The arguments that a record is known by: all of them are plain values."""
        names = ("width", "hidden", "rows", "inputs", "roulette", "match", "dtype")
        return {name: getattr(self, name) for name in names}

    def work(self, rates: int) -> float:
        """Floating-point operations: the matrix products, and about 300 for a random weight or input."""
        drawn = 300.0 * (2 * self.rows + self.roulette * (2 * self.hidden + self.inputs / 2))
        return self.width * (drawn + self.roulette * self.hidden * self.inputs * (1.0 + 2 * rates))

    def __call__(self, parameters: Float[Array, " rates"], key: PRNGKeyArray) -> Statistics:
        """Statistics of one network, of shape (rates,)."""
        for_part, for_whole, for_roulette = jax.random.split(key, 3)
        found = self._crossings(parameters, for_part)
        rest = lambda: self._rest(parameters, for_whole)  # noqa: E731
        if self.roulette < 1:
            none = jax.tree.map(jnp.zeros_like, found)
            scaled = lambda: jax.tree.map(lambda leaf: leaf / self.roulette, rest())  # noqa: E731
            taken = lax.cond(jax.random.bernoulli(for_roulette, self.roulette), scaled, lambda: none)
        else:
            taken = rest()
        return {name: found[name] - taken[name] for name in found}

    def _crossings(self, parameters: Float[Array, " rates"], key: PRNGKeyArray) -> Statistics:
        """What one row adds to both arms: the exact square, less its crossings and most of the last term."""
        for_w, for_flips, for_directions, for_others = jax.random.split(key, 4)
        w = lax.optimization_barrier(weights(for_w, self.rows, self.width, self.dtype))
        square, absolute = _rows(w * w), _rows(jnp.abs(w))
        places = jax.random.uniform(for_directions, (DIRECTIONS, self.rows), jnp.float64)
        places = (jnp.arange(DIRECTIONS, dtype=jnp.float64)[:, None] + places) / DIRECTIONS
        off_square = jnp.mean(square) / self.width - 1
        off_absolute = jnp.mean(absolute) / self.width - MEAN_ABSOLUTE

        def compare(rate: Array) -> Statistics:
            mask = (SignFlip(rate).apply(for_flips, w) != w).astype(w.dtype)
            flipped = _rows(mask * w * w)
            count, step = self._norms(rate, jnp.sum(_rows(mask)), flipped, square, for_others)
            # E w(w' − w) of a row, its part across w, and the length of w'.
            share = flipped / square
            flip = Row(square, 2 * jnp.arcsin(jnp.sqrt(jnp.minimum(share, 1.0))), jnp.ones_like(share))
            across = jnp.sqrt(jnp.maximum(self.width * square - absolute**2, 0.0))
            along = square + step * absolute
            angle = jnp.arctan2(step * across, along)
            shift = Row(square, angle, jnp.hypot(step * across, along) / square)
            # The share has the mean `rate`, and a crossing's mean grows as its power 3/2: unbiased, whatever
            # the factor.
            control = CONTROL * jnp.sqrt(rate) * (jnp.mean(share) - rate)
            # step² has the mean 4·rate: what is left of the shift's square is of second order.
            bend = MEAN_ABSOLUTE**2 * off_square - 2 * MEAN_ABSOLUTE * off_absolute
            squares = {
                "flip": 2 * rate * (1 - rate) * (1 - 1 / (self.hidden * self.width)) + control,
                "shift": 2 * rate * (1 - MEAN_ABSOLUTE**2) + (step**2 - 4 * rate) * bend / 2,
            }
            bias = _biases(rate)
            # What they add to the squares; E step·(off_absolute − …) is that of step's fluctuation alone.
            off = (step - 2 * jnp.sqrt(rate)) * (off_absolute - MEAN_ABSOLUTE * off_square)
            squares["flip"] += bias["flip"] ** 2 / 2
            squares["shift"] += bias["shift"] ** 2 / 2 - bias["shift"] * off
            rows = {
                "flip": (flip, _flip_drift(count) + bias["flip"]),
                "shift": (shift, _shift_drift(step) + bias["shift"]),
            }
            return {arm: squares[arm] - self._row(*rows[arm], places) for arm in rows}

        return lax.map(compare, parameters)

    def _row(self, row: Row, drift: Array, places: Float[Array, "directions rows"]) -> Array:
        """(1+α)·E max(−zz', 0) + E (hδ − αh²)²/(m E h²), over rows and directions."""
        n, m = self.width, self.hidden
        square, angle, stretch = (leaf[None, :] for leaf in row)
        # Where they differ in sign, z and z' are as sin(tθ) and −sin((1−t)θ).
        opposite = jnp.sin(places * angle) * jnp.sin((1 - places) * angle)
        crossing = 2 / n * square * stretch * angle / jnp.pi * opposite
        z, other = jnp.cos(jnp.pi * places), stretch * jnp.cos(jnp.pi * places - angle)
        # The projection's length to the power 4 has the mean 8/(n(n+2)); half of the directions have h > 0.
        fourth = 8 / (n * (n + 2)) * square**2 * _excess(z, other, drift) ** 2 / 2
        return (1 + drift) * jnp.mean(crossing) + jnp.mean(fourth) / (m * MEAN_SQUARE)

    def _norms(
        self, rate: Array, count: Array, flipped: Array, square: Array, key: PRNGKeyArray
    ) -> tuple[Array, Array]:
        """The share of flipped weights among all m rows, and the size a of the shift w + a·sign(w).

        From the rows that are drawn: the sums of w² of the others, flipped or not, are χ² of as many degrees
        of freedom as they have such weights.
        """
        size, others = self.hidden * self.width, (self.hidden - self.rows) * self.width
        flipped, kept = jnp.sum(flipped), jnp.sum(square - flipped)
        if others:
            for_count, for_squares = jax.random.split(key)
            more = jax.random.binomial(for_count, float(others), rate, dtype=jnp.float64)
            squares = _chi_square(for_squares, jnp.stack([more, others - more]))
            count, flipped, kept = count + more, flipped + squares[0], kept + squares[1]
        norm = flipped if self.match == "realised" else rate * (flipped + kept)
        return count / size, 2 * jnp.sqrt(norm / size)

    def _rest(self, parameters: Float[Array, " rates"], key: PRNGKeyArray) -> Statistics:
        """What (A − αB)²/B of both arms holds beyond its rows' parts, which needs all rows at once."""
        for_w, for_x, for_pair = jax.random.split(key, 3)
        w = weights(for_w, self.hidden, self.width, self.dtype)
        x = sphere(for_x, self.width, self.inputs // 2, self.dtype)
        w, x = lax.optimization_barrier((w, x))
        z = w @ x

        def compare(rate: Array) -> Statistics:
            flipped, shifted = pairs.Matched(self.match).draw(rate, for_pair, w)
            count = jnp.mean(_rows((flipped != w).astype(w.dtype))) / self.width
            step = jnp.sqrt(jnp.mean(_rows(jnp.square(shifted - w))) / self.width)
            bias = _biases(rate)
            return {
                "flip": _realignment(z, flipped @ x, _flip_drift(count) + bias["flip"]),
                "shift": _realignment(z, shifted @ x, _shift_drift(step) + bias["shift"]),
            }

        return lax.map(compare, parameters)


# α of both arms, of the share of the weights that are flipped or of the shift's step, plus a number: any will
# do, but near E hδ/E h² what needs all rows is small, and few standard errors miss it where it is not drawn.
def _flip_drift(count: Array) -> Array:
    return -2 * count


def _shift_drift(step: Array) -> Array:
    return step * MEAN_ABSOLUTE


def _biases(rate: Array) -> dict[str, Array]:
    """What crossings add to E hδ/E h² = E z(z' − z) + E max(−zz', 0), of wide rows at the mean angle."""
    step = 2 * jnp.sqrt(rate)
    across, along = step * math.sqrt(1 - MEAN_ABSOLUTE**2), 1 + step * MEAN_ABSOLUTE
    angles = {
        "flip": (2 * jnp.arcsin(jnp.sqrt(rate)), jnp.ones_like(rate)),
        "shift": (jnp.arctan2(across, along), jnp.hypot(across, along)),
    }
    places = (jnp.arange(DIRECTIONS, dtype=jnp.float64) + 0.5) / DIRECTIONS
    return {
        arm: 2 * stretch * angle / jnp.pi * jnp.mean(jnp.sin(places * angle) * jnp.sin((1 - places) * angle))
        for arm, (angle, stretch) in angles.items()
    }


def _chi_square(key: PRNGKeyArray, degrees: Float[Array, " kinds"]) -> Float[Array, " kinds"]:
    some = degrees > 0
    drawn = 2 * jax.random.gamma(key, jnp.where(some, degrees, 1.0) / 2, dtype=jnp.float64)
    return jnp.where(some, drawn, 0.0)


def _excess(z: Array, other: Array, drift: Array) -> Array:
    """hδ − αh² at x where z > 0, or at −x where z < 0: at the other of the two it is 0."""
    ahead = jnp.where(z < 0, -other, other)
    return jnp.abs(z) * (jnp.maximum(ahead, jnp.zeros_like(ahead)) - (1 + drift).astype(z.dtype) * jnp.abs(z))


def _realignment(
    z: Float[Array, "rows inputs"], other: Float[Array, "rows inputs"], drift: Array
) -> Float[Array, ""]:
    """Mean over x and −x of (A − αB)²/B, less that of mean (hδ − αh²)²/(m E h²).

    An input that activates no row has no first term.
    """
    excess, found = _excess(z, other, drift), []
    for side in (z > 0, z < 0):
        square = jnp.mean(jnp.where(side, z * z, jnp.zeros_like(z)), axis=0).astype(jnp.float64)
        mean = jnp.mean(jnp.where(side, excess, jnp.zeros_like(z)), axis=0).astype(jnp.float64)
        some = square > 0
        found.append(jnp.mean(jnp.where(some, mean**2 / jnp.where(some, square, 1.0), 0.0)))
    rows = jnp.mean(_rows(excess * excess)) / z.shape[1] / 2
    return (found[0] + found[1]) / 2 - rows / (z.shape[0] * MEAN_SQUARE)


def _rows(a: Float[Array, "rows columns"]) -> Float[Array, " rows"]:
    """Sums over columns, in float64 from there on."""
    return jnp.sum(a, axis=1).astype(jnp.float64)
