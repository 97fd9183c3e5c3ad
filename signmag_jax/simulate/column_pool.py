"""Perturbed columns that carry the input, against the rest perturbed alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from signmag_jax.evidence import Estimate
from signmag_jax.evidence.compiling import one_by_one
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.domain import Interval
from signmag_jax.perturb import SignFlip, Weights

from . import pairs
from .arguments import Arguments, AtLeast1, AtLeast2, Dtype, Numbers, numbers, whole
from .engine import Options
from .gaussian import Activation, ActivationName, compiled_apart, drawn
from .gaussian import activation as named_activation
from .network import Experiment, Statistics
from .profiles import Profile
from .profiles import profile as named_profile
from .result import FEWEST_TERMS, MEAN_OF_RATIOS, Estimates, Result
from .split import energies

FRACTION = Interval(
    0.0, 1.0, open_low=True, open_high=True, fix="pass the pool's part of the columns, in (0, 1)"
)
Match = Literal["count", "rate"]
REGIONS = ("pool", "rest", "everywhere")
PERTURBATIONS = ("flip", "shift")
# Flips expected in all networks on the smaller side: with fewer, intervals cover less than 92% (measured).
FEWEST_FLIPS = 100.0
DEFAULT_ROWS = 512
DEFAULT_INPUTS = 256


@dataclass(frozen=True)
class ColumnPool(Result):
    """Estimates of shape () or (rates,); ratios are ratios of means unless they say otherwise.

    Args:
      leverage: E‖δ‖² of flips in the pool over that of flips in the rest, per flip.
      leverage_per_network: the same as a mean of per-network ratios; a network's denominator fluctuates
        with its flips, so that this is larger by its relative variance; see `result`. None where fewer than
        32 flips are expected in the smaller side of a network: the mean of such a quotient does not exist.
      transverse_leverage: of the parts across h.
      shift_leverage: E‖δ‖² of the magnitude shift in the pool over that in the rest, matched alike.
      pool_ratio: transverse energy of flips over that of the shift of equal Frobenius norm, in the pool.
      rest_ratio: the same in the rest.
      everywhere_ratio: the same over all columns, at the rate as given.
      share: the pool's part of the input's energy, exact.
      networks: how many were simulated.
    """

    leverage: Estimate
    leverage_per_network: Estimate | None
    transverse_leverage: Estimate
    shift_leverage: Estimate
    pool_ratio: Estimate
    rest_ratio: Estimate
    everywhere_ratio: Estimate
    share: float
    networks: int


@counting
def column_pool(
    width: int,
    rate: Numbers,
    *,
    profile: Profile = "lognormal",
    spread: float = 1.0,
    fraction: float = 0.05,
    match: Match = "count",
    rows: int = DEFAULT_ROWS,
    activation: ActivationName | Activation = "relu",
    weights: str | Weights = "gaussian",
    inputs: int = DEFAULT_INPUTS,
    dtype: Dtype = "float32",
    **options: Unpack[Options],
) -> ColumnPool:
    """Simulate h = φ(Wx) for inputs x_j = ±α_j with independent signs, W perturbed in some columns.

    Args:
      width: number n of columns, at least 2.
      rate: flip rate in (0, 0.5], or a list. Refused unless 100 flips, networks·rate·rows·columns, are
        expected at the lowest in the smaller side.
      profile: distribution of the scales of the columns, "lognormal" or "student", or n squares α_j².
      spread: standard deviation of the scales' logarithms, or Student's degrees of freedom.
      fraction: part of the columns that make the pool, those of the largest α², in (0, 1).
      match: what pool and rest have in common: "count", the smaller is flipped at the rate and the larger
        at the rate that gives as many flips; or "rate", and damages are divided by the number of columns.
      rows: number of rows of W, at least 2.
      activation: of each pre-activation, by name, or in Python as a function of an array.
      weights: law of W's entries, as in `block`.
      inputs: number of inputs of each network.
      dtype: precision of the weights and of their products.
      options: targets (on the leverage), seed, resume and mesh, as in `Options`.

    Returns:
      Estimates of shape () or (rates,), without unit.

    Raises:
      InvalidInput: for an argument out of its range, or a folder of another run.
      Incomplete: if the target is out of reach, or no network holds a flip on one side.

    Source: arXiv:2605.18933, section 5 and Exp E, on independent weights.
    """
    whole("width", width, 2)
    rates = numbers("rate", rate, pairs.RATES)
    FRACTION.require("fraction", fraction)
    squares = named_profile(profile, width, spread)
    (label, function), (named_law, law) = named_activation(activation), drawn(weights)
    sample = ColumnPoolSample(width, rows, inputs, match, dtype, function, law)
    pool = top(squares, fraction)
    shown = profile if isinstance(profile, str) else squares.tolist()
    named = {"profile": shown, "spread": spread, "fraction": fraction}
    named |= {"activation": label, "weights": named_law}
    flips = float(np.min(rates)) * rows * min(pool.sum(), (~pool).sum())
    experiment = Experiment(
        "column_pool",
        *compiled_apart(sample, {"rate": np.atleast_1d(rates), "amplitudes": np.sqrt(squares), "pool": pool}),
        {"rate": rates.tolist(), **named, **sample.plain()},
        sample.work(rates.size),
        lambda tally: tally.ratio("pool_flip_energy", "rest_flip_energy"),
        frozenset(("ratio",)),
        flips,
        FEWEST_FLIPS,
    )
    estimates = Estimates(experiment, rates.shape, **options)

    def ratio(region: str) -> Estimate:
        return estimates.ratio(f"{region}_flip_transverse", f"{region}_shift_transverse")

    return ColumnPool(
        leverage=estimates.ratio("pool_flip_energy", "rest_flip_energy"),
        leverage_per_network=estimates.mean("ratio", MEAN_OF_RATIOS) if flips >= 2 * FEWEST_TERMS else None,
        transverse_leverage=estimates.ratio("pool_flip_transverse", "rest_flip_transverse"),
        shift_leverage=estimates.ratio("pool_shift_energy", "rest_shift_energy"),
        pool_ratio=ratio("pool"),
        rest_ratio=ratio("rest"),
        everywhere_ratio=ratio("everywhere"),
        share=float(math.fsum(squares[pool])),
        networks=estimates.networks,
    )


def top(squares: np.ndarray, fraction: float) -> np.ndarray:
    """Mask of the columns with the largest squares: at least one, and not all."""
    # A pool of none or of all columns has no leverage.
    count = int(np.clip(round(fraction * squares.size), 1, squares.size - 1))
    mask = np.zeros(squares.size, dtype=bool)
    mask[np.argsort(squares, kind="stable")[-count:]] = True
    return mask


@dataclass(frozen=True)
class ColumnPoolSample(Arguments):
    """One network of `column_pool`; the fields are its arguments."""

    width: int
    rows: AtLeast2
    inputs: AtLeast1
    match: Match
    dtype: Dtype
    activation: Activation
    law: Weights

    def work(self, rates: int) -> float:
        """Floating-point operations: the matrix products, and about 300 for a random number."""
        products = 2.0 * self.rows * self.inputs * (1 + len(REGIONS) * len(PERTURBATIONS) * rates)
        return self.width * (products + 300 * ((1 + len(REGIONS) * rates) * self.rows + self.inputs))

    def __call__(self, parameters: Any, key: PRNGKeyArray) -> Statistics:
        """Statistics of one network, of shape (rates,)."""
        for_w, for_x, for_flips = jax.random.split(key, 3)
        assert self.law.draw is not None
        w = self.law.draw(for_w, (self.rows, self.width), self.dtype)
        # Only the signs are drawn: |x_j| = α_j in every input, so that leverage has no noise of the profile.
        signs = jax.random.rademacher(for_x, (self.width, self.inputs), self.dtype)
        # Held, because XLA would draw both again inside each consumer.
        w, x = lax.optimization_barrier((w, parameters["amplitudes"].astype(w.dtype)[:, None] * signs))
        z = w @ x
        h = self.activation(z)
        pool = parameters["pool"]

        def compare(rate: Array) -> Statistics:
            def of_region(region: tuple[Any, Array, Array, Array]) -> Statistics:
                index, columns, thinned, divisor = region
                # A key for each, so that flips everywhere are not those of the pool over again.
                both = _perturb(rate * thinned, jax.random.fold_in(for_flips, index), w, columns)
                found: Statistics = {}
                for perturbation, matrix in zip(PERTURBATIONS, both, strict=True):
                    parts = energies(h, self.activation(matrix @ x) - h)
                    found[f"{perturbation}_energy"] = parts.energy / divisor
                    found[f"{perturbation}_transverse"] = parts.transverse / divisor
                return found

            each = one_by_one(of_region, self._regions(pool))
            statistics: Statistics = {
                f"{region}_{name}": value
                for region, found in zip(REGIONS, each, strict=True)
                for name, value in found.items()
            }
            ratio = statistics["pool_flip_energy"] / statistics["rest_flip_energy"]
            return {**statistics, "ratio": ratio}

        # Not vmap: one rate's arrays at a time stay in cache, and memory does not grow with their number.
        return lax.map(compare, parameters["rate"])

    def _regions(self, pool: Bool[Array, " width"]) -> list[tuple[int, Array, Array, Array]]:
        """Each region: its number, its columns, what thins its rate, and what its damage is divided by."""
        size = jnp.sum(pool, dtype=jnp.float64)
        sizes, one = (size, self.width - size), jnp.ones_like(size)
        least = jnp.minimum(*sizes)
        count = self.match == "count"
        sides = [
            (index, columns, least / own if count else one, one if count else own)
            for index, (columns, own) in enumerate(zip((pool, ~pool), sizes, strict=True))
        ]
        return [*sides, (len(sides), jnp.ones_like(pool), one, one)]


def _perturb(
    rate: Array, key: PRNGKeyArray, w: Float[Array, "rows width"], columns: Bool[Array, " width"]
) -> pairs.Two:
    """Flips in these columns, and there the shift of the same Frobenius norm."""
    inside = columns[None, :]
    flipped = jnp.where(inside, SignFlip(rate).apply(key, w), w)
    # Float64 over rows: one float32 sum over all weights loses digits.
    error = jnp.sum(jnp.sum(jnp.square(flipped - w), axis=1).astype(jnp.float64))
    # The realised norm, as in `pairs.Matched`: the luck of the draw cancels between the two.
    step = jnp.sqrt(error / (w.shape[0] * jnp.sum(columns, dtype=jnp.float64))).astype(w.dtype)
    return flipped, jnp.where(inside, w + jnp.where(w < 0, -step, step), w)
