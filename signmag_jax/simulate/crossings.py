"""The ReLU block by its sign crossings: what a linear network knows exactly is not simulated.

For any α that does not depend on x, with A and B the means over rows of hδ and h², a network's transverse
energy per row is

    T(x) = mean (δ − αh)² − (A − αB)²/B,

and since W(−x) = −Wx, the mean of (δ − αh)² over x and −x is, row by row,

    ½(z' − (1+α)z)² − (1+α)·max(−zz', 0).

- The square is a quadratic form in the weights: its mean follows from E w² = 1, E|w| = √(2/π) and the rate,
  up to the fluctuation of the shift's realised norm.
- A *crossing*, zz' < 0, is rare and carries few percent of T. Its mean is that of one row, so that a part of
  the rows is drawn: for flips by the exact conditional that, given mask and input, (z, z') is a Gaussian pair
  of correlation 1 − 2q, q = Σ M_j x_j²; for the shift by products. To a realised norm the other rows add a
  χ² of as many degrees of freedom as they have flips.
- What is left is about 2/m of T. It needs all m rows, but hardly any precision: it is computed for one
  network in 1/share, and weighted with 1/share, which is unbiased (Russian roulette).

Nothing is approximated: expectations are those of brute force at every width, number of rows and rate. The
law of q is not used: rows that share an input are drawn with their masks, and one product with x² gives q.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence import Estimate
from signmag_jax.evidence.errors import invalid
from signmag_jax.perturb import MagnitudeShift, SignFlip

from . import pairs
from .engine import Experiment, Options, Statistics, run
from .gaussian import DTYPES, choose, sphere, weights, whole
from .result import Estimates, Result

MEAN_ABSOLUTE = math.sqrt(2 / math.pi)
DEFAULT_ROWS = 256
DEFAULT_INPUTS = 512
# Networks of up to this many weights have all their rows drawn; larger ones so many in all, or one in 8.
WHOLE = 2**19
LEAST_SHARE = 0.125
# (3/2)·8/(3π): the slope of a crossing's mean in q at one flip in many, over √q.
CONTROL = 4 / math.pi
ESTIMATOR = "exact quadratic mean, sampled sign crossings, all rows by Russian roulette"


@dataclass(frozen=True)
class Crossings(Result):
    """The transverse ratio of a ReLU block; estimates of shape () or (rates,).

    Args:
      transverse_ratio: flips over shift, the ratio of means of `Block.transverse_ratio_of_means`. A mean of
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
    share: float | None = None,
    dtype: str = "float32",
    **options: Unpack[Options],
) -> Crossings:
    """Simulate relu(Wx) under sign flips and the matched shift, fast: the expectations of brute force.

    Args:
      width: length n of x, at least 2.
      rate: flip rate in (0, 0.5], or a list; several share weights, inputs and nested flips.
      hidden: rows m of W; `width` by default.
      match: "realised" or "expected" equality of the Frobenius norms, as in `block`.
      rows: drawn to meet crossings; 256 by default, at most m.
      inputs: per network, in antipodal pairs; an even number.
      share: of the networks whose rows are all drawn, in (0, 1]; by default all up to 2^19 weights, and
        beyond that as many as have these together, but at least one in 8.
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
        default_share(width * hidden) if share is None else share,
        match,
        dtype,
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


def default_share(size: int) -> float:
    """Share of the networks whose rows are all drawn, for networks of that many weights."""
    return float(np.clip(WHOLE / size, LEAST_SHARE, 1.0))


@dataclass(frozen=True)
class CrossingSample:
    """One network of `crossings`; the fields are its arguments."""

    width: int
    hidden: int
    rows: int
    inputs: int
    share: float
    match: str
    dtype: str

    def __post_init__(self) -> None:
        whole("rows", self.rows, 1)
        if self.rows > self.hidden:
            raise invalid("rows <= hidden", self.rows, f"pass at most {self.hidden}")
        whole("inputs", self.inputs, 2)
        if self.inputs % 2:
            raise invalid("inputs is even for antipodal inputs", self.inputs, "pass an even number")
        if isinstance(self.share, bool) or not isinstance(self.share, float | int) or not 0 < self.share <= 1:
            raise invalid("0 < share <= 1", self.share, "pass share=1 to draw the rows of every network")
        choose("match", self.match, pairs.MATCHES)
        choose("dtype", self.dtype, DTYPES)

    def arguments(self) -> dict[str, Any]:
        """All of them."""
        names = ("width", "hidden", "rows", "inputs", "share", "match", "dtype")
        return {name: getattr(self, name) for name in names}

    def work(self, rates: int) -> float:
        """Floating-point operations: the matrix products, and about 300 for a random weight or input."""
        rows = self.rows + self.share * self.hidden
        products = rows * self.inputs * (1.0 + 2 * rates)
        return self.width * (products + 300.0 * (3 * rows + self.inputs))

    def __call__(self, parameters: Float[Array, " rates"], key: PRNGKeyArray) -> Statistics:
        """Statistics of one network, of shape (rates,)."""
        for_part, for_whole, for_roulette = jax.random.split(key, 3)
        found = self._crossings(parameters, for_part)
        rest = lambda: self._rest(parameters, for_whole)  # noqa: E731
        if self.share < 1:
            none = jax.tree.map(jnp.zeros_like, found)
            scaled = lambda: jax.tree.map(lambda leaf: leaf / self.share, rest())  # noqa: E731
            taken = lax.cond(jax.random.bernoulli(for_roulette, self.share), scaled, lambda: none)
        else:
            taken = rest()
        return {name: found[name] - taken[name] for name in found}

    def _crossings(self, parameters: Float[Array, " rates"], key: PRNGKeyArray) -> Statistics:
        """E (δ − αh)² of both arms: the exact part, and the crossings of some rows."""
        for_draw, for_flips, for_pair, for_others = jax.random.split(key, 4)
        w, x = self._draw(for_draw, self.rows)
        z, energy = w @ x, x * x
        normal = weights(for_pair, self.rows, self.inputs // 2, self.dtype)
        square, absolute = _mean(w * w), _mean(jnp.abs(w))

        def compare(rate: Array) -> Statistics:
            mask = (SignFlip(rate).apply(for_flips, w) != w).astype(w.dtype)
            count, step = self._norms(rate, w, mask, for_others)
            # Given mask and input, (z, z') is a Gaussian pair of correlation 1 − 2q: z' needs no product.
            q = mask @ energy
            pair = (1 - 2 * q) * z + 2 * jnp.sqrt(q * jnp.maximum(1 - q, jnp.zeros_like(q))) * normal
            met = (1 + _flip_drift(count)) * _crossing(z, pair)
            # q has the mean `rate`, and a crossing's mean grows as q^(3/2): any factor would be unbiased.
            controlled = met - CONTROL * jnp.sqrt(rate) * (_mean(q) - rate)
            shifted = MagnitudeShift(step / jnp.sqrt(square)).apply(for_others, w)
            # step² has the mean 4·rate: what is left of the shift's square is of second order.
            bend = MEAN_ABSOLUTE**2 * (square - 1) - 2 * MEAN_ABSOLUTE * (absolute - MEAN_ABSOLUTE)
            shift = 2 * rate * (1 - MEAN_ABSOLUTE**2) + (step**2 - 4 * rate) * bend / 2
            return {
                "flip": 2 * rate * (1 - rate) * (1 - 1 / (self.hidden * self.width)) - controlled,
                "shift": shift - (1 + _shift_drift(step)) * _crossing(z, shifted @ x),
            }

        return lax.map(compare, parameters)

    def _norms(self, rate: Array, w: Array, mask: Array, key: PRNGKeyArray) -> tuple[Array, Array]:
        """Of all m rows: the share of the weights that are flipped, and a of the shift w + a·sign(w).

        From the rows that are drawn: the sums of w² of the others, flipped or not, are χ² of as many degrees
        of freedom as they have such weights.
        """
        size, others = self.hidden * self.width, (self.hidden - self.rows) * self.width
        flipped, kept = _sum(mask * w * w), _sum((1 - mask) * w * w)
        count = _sum(mask)
        if others:
            for_count, for_squares = jax.random.split(key)
            more = jax.random.binomial(for_count, float(others), rate, dtype=jnp.float64)
            squares = _chi_square(for_squares, jnp.stack([more, others - more]))
            count, flipped, kept = count + more, flipped + squares[0], kept + squares[1]
        norm = flipped if self.match == "realised" else rate * (flipped + kept)
        return count / size, 2 * jnp.sqrt(norm / size)

    def _rest(self, parameters: Float[Array, " rates"], key: PRNGKeyArray) -> Statistics:
        """E (A − αB)²/B of both arms: it needs all rows of one network, at the same inputs."""
        for_draw, for_pair = jax.random.split(key)
        w, x = self._draw(for_draw, self.hidden)
        z = w @ x

        def compare(rate: Array) -> Statistics:
            flipped, shifted = pairs.Matched(self.match).draw(rate, for_pair, w)
            count, step = _mean((flipped != w).astype(w.dtype)), jnp.sqrt(_mean(jnp.square(shifted - w)))
            return {
                "flip": _realignment(z, flipped @ x, _flip_drift(count)),
                "shift": _realignment(z, shifted @ x, _shift_drift(step)),
            }

        return lax.map(compare, parameters)

    def _draw(self, key: PRNGKeyArray, rows: int) -> tuple[Array, Array]:
        for_w, for_x = jax.random.split(key)
        w = weights(for_w, rows, self.width, self.dtype)
        return lax.optimization_barrier((w, sphere(for_x, self.width, self.inputs // 2, self.dtype)))


# α of both arms, of the share of the weights that are flipped and of the shift's step: any would do, but with
# the mean of w(w' − w) what needs all rows is small.
def _flip_drift(count: Array) -> Array:
    return -2 * count


def _shift_drift(step: Array) -> Array:
    return step * MEAN_ABSOLUTE


def _chi_square(key: PRNGKeyArray, degrees: Float[Array, " kinds"]) -> Float[Array, " kinds"]:
    some = degrees > 0
    drawn = 2 * jax.random.gamma(key, jnp.where(some, degrees, 1.0) / 2, dtype=jnp.float64)
    return jnp.where(some, drawn, 0.0)


def _crossing(z: Float[Array, "rows inputs"], other: Float[Array, "rows inputs"]) -> Float[Array, ""]:
    return _mean(jnp.maximum(-z * other, jnp.zeros_like(z)))


def _realignment(
    z: Float[Array, "rows inputs"], other: Float[Array, "rows inputs"], drift: Array
) -> Float[Array, ""]:
    """Mean over x and −x of (A − αB)²/B; an input that activates no row has none."""
    found = []
    for way in (1, -1):
        h = jax.nn.relu(way * z)
        delta = jax.nn.relu(way * other) - h
        square = jnp.mean(h * h, axis=0).astype(jnp.float64)
        excess = jnp.mean(h * delta, axis=0).astype(jnp.float64) - drift * square
        some = square > 0
        found.append(jnp.mean(jnp.where(some, excess**2 / jnp.where(some, square, 1.0), 0.0)))
    return (found[0] + found[1]) / 2


def _mean(a: Float[Array, "rows columns"]) -> Float[Array, ""]:
    return _sum(a) / a.size


def _sum(a: Float[Array, "rows columns"]) -> Float[Array, ""]:
    return jnp.sum(jnp.sum(a, axis=0).astype(jnp.float64))
