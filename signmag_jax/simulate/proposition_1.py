"""One matrix without an activation: sign flips against an error of the magnitude."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np

from signmag_jax.evidence import Estimate

from . import pairs
from .block import BlockSample, default_inputs
from .engine import Options, run
from .gaussian import activation, whole
from .network import Experiment
from .result import MEAN_OF_RATIOS, Estimates, Result


@dataclass(frozen=True)
class Proposition1(Result):
    """Estimates of shape () or (rates,).

    Args:
      energy_ratio: E‖δWx‖² of the flips over that of the other error, ratio of means.
      transverse_ratio: the other error over the flips, ratio of means (the way round of Proposition 1).
      transverse_ratio_per_network: the same as a mean of per-network ratios.
      flip_radial_fraction: E⟨Wx, δWx⟩²/‖Wx‖² over E‖δWx‖², of the flips, ratio of means.
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


def proposition_1(
    width: int,
    rate: Any,
    *,
    rows: int | None = None,
    magnitude: str = "noise",
    match: str = "realised",
    inputs: int | None = None,
    dtype: str = "float32",
    **options: Unpack[Options],
) -> Proposition1:
    """Simulate y = Wx: flips of rate p against an error of the magnitude with equal Frobenius norm.

    Args:
      width: length of x, at least 2.
      rate: flip rate in (0, 0.5], or a list.
      rows: of W; `width` by default.
      magnitude: "noise", sign(W)·g with g Gaussian (Proposition 1), or "shift", the coherent one.
      match: "realised" or "expected" equality of the Frobenius norms.
      inputs: per network, uniform on the sphere; `block.default_inputs(width)` by default.
      dtype: "float32" or "float64".
      options: targets (on the transverse ratio of means), seed, resume and mesh, as in `Options`.

    Returns:
      Estimates of shape () or (rates,), without unit.

    Raises:
      InvalidInput: for an argument out of its range, or a folder of another run.
      Incomplete: if the target is out of reach.

    Source: arXiv:2605.18933, Proposition 1 and section 9.7.
    """
    whole("width", width, 2)
    values = pairs.rates(rate)
    rows = width if rows is None else rows
    whole("rows", rows, 2)
    label, identity = activation("identity")
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
        second_over_first=True,
    )
    experiment = Experiment(
        "proposition_1",
        sample,
        np.atleast_1d(values),
        {"rate": values.tolist(), "match": match, "magnitude": magnitude, "activation": label}
        | sample.arguments(),
        sample.work(values.size),
        lambda tally: tally.ratio("second_transverse", "first_transverse"),
    )
    tally, provenance = run(experiment, **options)
    found = Estimates(tally, provenance, values.shape)
    return Proposition1(
        energy_ratio=found.ratio("first_energy", "second_energy"),
        transverse_ratio=found.ratio("second_transverse", "first_transverse"),
        transverse_ratio_per_network=found.mean("ratio", MEAN_OF_RATIOS),
        flip_radial_fraction=found.ratio("first_radial", "first_energy"),
        magnitude_radial_fraction=found.ratio("second_radial", "second_energy"),
        flip_radial_fraction_per_network=found.mean("first_fraction", MEAN_OF_RATIOS),
        magnitude_radial_fraction_per_network=found.mean("second_fraction", MEAN_OF_RATIOS),
        flip_energy=found.mean("first_energy"),
        magnitude_energy=found.mean("second_energy"),
        networks=tally.count,
    )
