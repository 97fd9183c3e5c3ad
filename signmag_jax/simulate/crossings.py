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

from dataclasses import dataclass
from typing import Unpack

import numpy as np

from signmag_jax.evidence import Estimate
from signmag_jax.evidence.counts import counting

from . import pairs
from .arguments import Dtype, Numbers, numbers, whole
from .crossing_network import CrossingSample
from .engine import Options
from .network import Experiment
from .result import Estimates, Result

DEFAULT_ROWS = 64
DEFAULT_INPUTS = 512
# Weights that are drawn for all rows of a network, on average over networks.
WHOLE = 2**16
# However wide, all rows are drawn in one network out of this many: a rarer one would be in no run.
RAREST = 64
# Flips expected in the drawn rows of all networks: a flip's crossing scatters as widely as w³, and with
# fewer flips intervals cover less than 92 to 98% (measured: 85% from 32, 92% from 200, 94% from 400).
FEWEST_FLIPS = 400.0
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


@counting
def crossings(
    width: int,
    rate: Numbers,
    *,
    hidden: int | None = None,
    match: pairs.Match = "realised",
    rows: int | None = None,
    inputs: int = DEFAULT_INPUTS,
    roulette: float | None = None,
    dtype: Dtype = "float32",
    **options: Unpack[Options],
) -> Crossings:
    """Simulate relu(Wx) under sign flips and the matched shift, fast: the expectations of brute force.

    For wide networks: with a handful of rows what needs all of them is heavy-tailed, and towards rate 0.5
    crossings are no longer rare; brute force then has the smaller error at the same number of networks.
    Weights are Gaussian: only then is the norm of the rows that are not drawn a χ². `block` draws all rows,
    and takes any `weights`.

    Args:
      width: length n of the input x, at least 2.
      rate: flip rate in (0, 0.5], or a list; several share weights, inputs and nested flips. Refused unless
        400 flips, networks·rate·rows·width, are expected at the lowest.
      hidden: number m of rows of W; by default the width.
      match: whether the two errors have equal Frobenius norms as drawn ("realised") or in the mean
        ("expected").
      rows: number of rows that are drawn to meet crossings, at most m; by default 64.
      inputs: number of inputs of each network whose rows are all drawn, even: they come in antipodal pairs.
      roulette: part of the networks whose rows are all drawn, in (0, 1]; by default 2^16/(mn), but at least
        1/64 and at most 1.
      dtype: precision of the weights and of their products.
      options: targets (on the transverse ratio), seed, resume and mesh, as in `Options`.

    Returns:
      Estimates of shape () or (rates,), without unit.

    Raises:
      InvalidInput: for an argument out of its range, or a folder of another run.
      Incomplete: if the target is out of reach.
    """
    rates = numbers("rate", rate, pairs.RATES)
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
    experiment = Experiment(
        "crossings",
        sample,
        np.atleast_1d(rates),
        {"rate": rates.tolist(), **sample.plain()},
        sample.work(rates.size),
        lambda tally: tally.ratio("flip", "shift"),
        flips=float(np.min(rates)) * sample.rows * width,
        fewest_flips=FEWEST_FLIPS,
    )
    estimates = Estimates(experiment, rates.shape, **options)
    return Crossings(
        estimates.ratio("flip", "shift", f"ratio of means over networks (delta method): {ESTIMATOR}"),
        estimates.mean("flip", f"mean over networks: {ESTIMATOR}"),
        estimates.mean("shift", f"mean over networks: {ESTIMATOR}"),
        estimates.networks,
    )


def default_roulette(size: int) -> float:
    """Share of the networks whose rows are all drawn, for networks of that many weights."""
    return min(max(WHOLE / size, 1 / RAREST), 1.0)
