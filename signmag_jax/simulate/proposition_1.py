"""One matrix without an activation: sign flips against an error of the magnitude."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Unpack

import numpy as np

from signmag_jax.evidence import Estimate
from signmag_jax.evidence.counts import counting
from signmag_jax.perturb import Weights

from . import pairs
from .arguments import Dtype, Numbers, numbers, whole
from .block import default_inputs
from .block_network import OPTIONAL, BlockSample
from .engine import Options
from .gaussian import activation, compiled_apart, drawn
from .network import Experiment
from .result import MEAN_OF_RATIOS, Estimates, Result


@dataclass(frozen=True)
class Proposition1(Result):
    """Estimates of shape () or (rates,).

    Args:
      energy_ratio: E‖δWx‖² of the flips over that of the other error, ratio of means.
      transverse_ratio: the other error over the flips, ratio of means (the way round of Proposition 1).
      transverse_ratio_per_network: the same as a mean of per-network ratios.
      flip_radial_fraction: E⟨Wx, δWx⟩²/‖Wx‖² over E‖δWx‖², of the flips, ratio of means. Where some networks
        hold no flip, and there are fewer than 400 in all, its interval is too narrow: read that per network.
      magnitude_radial_fraction: the same of the other error.
      flip_radial_fraction_per_network: of the flips, as a mean of per-network ratios; see `result` for what
        lies between the two.
      magnitude_radial_fraction_per_network: the same of the other error.
      flip_energy: E‖δWx‖² per row, for entries of variance 1 and unit inputs.
      magnitude_energy: the same of the other error.
      networks: how many were simulated.
    """

    energy_ratio: Estimate
    transverse_ratio: Estimate
    transverse_ratio_per_network: Estimate
    flip_radial_fraction: Estimate
    magnitude_radial_fraction: Estimate
    flip_radial_fraction_per_network: Estimate
    magnitude_radial_fraction_per_network: Estimate
    flip_energy: Estimate
    magnitude_energy: Estimate
    networks: int


@counting
def proposition_1(
    width: int,
    rate: Numbers,
    *,
    rows: int | None = None,
    magnitude: pairs.Magnitude = "noise",
    weights: str | Weights = "gaussian",
    match: pairs.Match = "realised",
    inputs: int | None = None,
    dtype: Dtype = "float32",
    **options: Unpack[Options],
) -> Proposition1:
    """Simulate y = Wx: flips of rate p against an error of the magnitude with equal Frobenius norm.

    Args:
      width: length n of the input x, at least 2.
      rate: flip rate in (0, 0.5], or a list.
      rows: number m of rows of W; by default the width.
      magnitude: the other error: "noise", sign(W)·g with g Gaussian (Proposition 1), or "shift", which moves
        all magnitudes alike.
      weights: law of W's entries, as in `block`.
      match: whether the two errors have equal Frobenius norms as drawn ("realised") or in the mean
        ("expected").
      inputs: number of inputs of each network, uniform on the sphere; by default 4n, but at least 256 and
        at most 8192.
      dtype: precision of the weights and of their products.
      options: targets (on the transverse ratio of means), seed, resume and mesh, as in `Options`.

    Returns:
      Estimates of shape () or (rates,), without unit.

    Raises:
      InvalidInput: for an argument out of its range, or a folder of another run.
      Incomplete: if the target is out of reach, or fewer than two networks hold a flip.

    Source: arXiv:2605.18933, Proposition 1 and section 9.7.
    """
    whole("width", width, 2)
    rates = numbers("rate", rate, pairs.RATES)
    rows = width if rows is None else rows
    whole("rows", rows, 2)
    (label, identity), (named_law, law) = activation("identity"), drawn(weights)
    sample = BlockSample(
        width=width,
        hidden=rows,
        outputs=rows,
        inputs=default_inputs(width) if inputs is None else inputs,
        activation=identity,
        second_layer="none",
        difference="linear",
        dtype=dtype,
        antipodal=False,  # x and −x have the same energies here
        pair=pairs.Matched(match, magnitude),
        # The way round of Proposition 1: the other error over the flips.
        ratio=("second", "first"),
        law=law,
    )
    experiment = Experiment(
        "proposition_1",
        *compiled_apart(sample, np.atleast_1d(rates)),
        {
            "rate": rates.tolist(),
            "match": match,
            "magnitude": magnitude,
            "activation": label,
            "weights": named_law,
            **sample.plain(),
        },
        sample.work(rates.size),
        lambda tally: tally.ratio("second_transverse", "first_transverse", "ratio"),
        OPTIONAL,
    )
    estimates = Estimates(experiment, rates.shape, **options)
    return Proposition1(
        energy_ratio=estimates.ratio("first_energy", "second_energy", among="ratio"),
        transverse_ratio=estimates.ratio("second_transverse", "first_transverse", among="ratio"),
        transverse_ratio_per_network=estimates.mean("ratio", MEAN_OF_RATIOS),
        flip_radial_fraction=estimates.ratio("first_radial", "first_energy", among="first_fraction"),
        magnitude_radial_fraction=estimates.ratio("second_radial", "second_energy", among="second_fraction"),
        flip_radial_fraction_per_network=estimates.mean("first_fraction", MEAN_OF_RATIOS),
        magnitude_radial_fraction_per_network=estimates.mean("second_fraction", MEAN_OF_RATIOS),
        flip_energy=estimates.mean("first_energy"),
        magnitude_energy=estimates.mean("second_energy"),
        networks=estimates.networks,
    )
