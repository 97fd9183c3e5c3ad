"""One block with a normalised output, perturbed in its first matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Unpack

from signmag_jax.evidence import Estimate
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.errors import invalid
from signmag_jax.perturb import Weights

from . import pairs
from .arguments import Dtype, Numbers, whole
from .block_network import CONTROLS, OPTIONAL, BlockSample, Difference, Gated, SecondLayer
from .engine import Options
from .gaussian import Activation, ActivationName, compiled_apart, drawn
from .gaussian import activation as named_activation
from .network import Experiment
from .result import MEAN_OF_RATIOS, Estimates, Result
from .tally import fewest_networks

CONTROLLED = "mean of per-network ratios, regressed on control variates of mean zero"


@dataclass(frozen=True)
class Arm(Result):
    """What one perturbation does, per output coordinate, for pre-activations N(0, 1).

    Args:
      energy: E‖δy‖²/d.
      transverse: what the ratio compares: E‖P⊥(y) δy‖²/d, or E sin² of the angle for finite differences.
      radial_fraction: of the hidden difference δ, E⟨h, δ⟩²/‖h‖² over E‖δ‖², ratio of means.
      output_radial_fraction: the same of y and δy.
      radial_fraction_per_network: of the hidden difference, as a mean of per-network ratios; see `result`
        for what lies between the two.
      output_radial_fraction_per_network: the same of y and δy.
    """

    energy: Estimate
    transverse: Estimate
    radial_fraction: Estimate
    output_radial_fraction: Estimate
    radial_fraction_per_network: Estimate
    output_radial_fraction_per_network: Estimate


@dataclass(frozen=True)
class BlockResult(Result):
    """Two perturbations compared after the normalisation.

    Args:
      transverse_ratio: first over second, mean of per-network ratios.
      transverse_ratio_of_means: the same as a ratio of means; see `result` for what lies between the two.
        Its expectation does not depend on the number of inputs, and is that of `crossings`.
      first: the first perturbation (the sign flips).
      second: the second (the magnitude shift).
      networks: how many were simulated.
      controlled_ratio: the same expectation as `transverse_ratio` with a smaller error, where asked for.
    """

    transverse_ratio: Estimate
    transverse_ratio_of_means: Estimate
    first: Arm
    second: Arm
    networks: int
    controlled_ratio: Estimate | None = None


@counting
def block(
    width: int,
    rate: Numbers | None = None,
    *,
    perturbations: Any = None,
    hidden: int | None = None,
    outputs: int | None = None,
    activation: ActivationName | Activation = "relu",
    gated: Gated = "no",
    weights: str | Weights = "gaussian",
    second_layer: SecondLayer = "integrated",
    difference: Difference = "linear",
    match: pairs.Match = "realised",
    inputs: int | None = None,
    antipodal: bool = True,
    controlled: bool = False,
    dtype: Dtype = "float32",
    **options: Unpack[Options],
) -> BlockResult:
    """Simulate y = W₂ φ(W x) with W perturbed, by brute force: draw W, perturb it, multiply.

    W (hidden × width) has independent entries of variance 1, N(0, 1) by default, x is uniform on the unit
    sphere, W₂ (outputs × hidden) has N(0, 1/hidden) entries. Each network has its own W, W₂, perturbations
    and inputs, and is one sample.

    Args:
      width: length n of the input x, at least 2.
      rate: flip rate in (0, 0.5], or a list; the second perturbation is then the magnitude shift of
        equal Frobenius norm. Several rates share weights, inputs and nested flips.
      perturbations: instead of a rate, a pair of `perturb.Perturbation`, taken as they are.
      hidden: number m of rows of W; by default the width.
      outputs: length d of the output y, at least 2; by default the width.
      activation: of each pre-activation, by name, or in Python as a function of an array.
      gated: whether the block is φ(W_g x)·(W_u x), and whether the errors are in both matrices, in the gate
        or in the other one.
      weights: law of W's entries: gaussian, laplace, uniform, student_t:5 (or other degrees of freedom), a
        matrix in NumPy's format, w.npy, whose magnitudes are drawn with replacement, with random signs, or in
        Python `perturb.Weights`. W₂ is Gaussian.
      second_layer: "integrated" uses E‖P⊥(y) δy‖² = (d−1)/m ‖δ⊥‖², exact for Gaussian W₂; "explicit"
        draws W₂; "none" is y = φ(W x).
      difference: "linear", the Fréchet derivative of the normalisation applied to the finite δy:
        ‖P⊥(y) δy‖²; or "finite", the change of the normalised output itself, sin² of the angle.
      match: whether the two errors have equal Frobenius norms as drawn ("realised") or in the mean
        ("expected").
      inputs: number of inputs of each network; by default 4n, but at least 256 and at most 8192.
      antipodal: draw the inputs in pairs x, −x, whose products with W are each other's negatives; each
        is uniform on the sphere, so no mean and no ratio of means is biased, and half of the products are
        saved. The bias of a mean of per-network ratios is that of half as many inputs where x and −x tell
        the same, as under an odd activation.
      controlled: also regress each network's ratio on ‖Wx‖², ‖ΔWx‖² and ⟨Wx, ΔWx⟩ minus their means over
        the sphere, ‖W‖²/n, ‖ΔW‖²/n and tr(WᵀΔW)/n, exact whatever W and ΔW are, and on the means of w²
        and |w| minus 1 and E|w|: about 13 times less variance at p = 0.01, 5 times at
        0.2. Targets then refer to this estimate.
      dtype: precision of the weights and of their products.
      options: targets, seed, resume and mesh, as in `Options`.

    Returns:
      Estimates of shape () or (rates,), without unit.

    Raises:
      InvalidInput: for an argument out of its range, or a folder of another run.
      Incomplete: if the target is out of reach, or fewer than two networks have a ratio.

    Source: arXiv:2605.18933, section 9.3 (V1; with second_layer="none", difference="finite": V0).
    """
    whole("width", width, 2)
    pair, parameters, shape, named = pairs.either(rate, perturbations, match)
    (label, function), (named_law, law) = named_activation(activation), drawn(weights)
    sample = BlockSample(
        width,
        width if hidden is None else hidden,
        width if outputs is None else outputs,
        default_inputs(width) if inputs is None else inputs,
        function,
        second_layer,
        difference,
        dtype,
        antipodal,
        pair,
        controlled=controlled,
        law=law,
        gated=gated,
    )
    # Before anything is computed: the regression itself would say so only at the end.
    fewest, networks = fewest_networks(CONTROLS), options.get("networks")
    if controlled and isinstance(networks, int) and networks < fewest:
        raise invalid(f"networks >= {fewest} with control variates", networks, "raise it, or leave them out")
    experiment = Experiment(
        "block",
        *compiled_apart(sample, parameters),
        {**named, "activation": label, "weights": named_law, **sample.plain()},
        sample.work(math.prod(shape)),
        lambda tally: tally.controlled("ratio", CONTROLS) if controlled else tally.mean("ratio"),
        OPTIONAL,
    )
    estimates = Estimates(experiment, shape, **options)
    return BlockResult(
        estimates.mean("ratio", MEAN_OF_RATIOS),
        # Networks without a flip add 0 to both means: they say nothing of the ratio, and make no error
        # smaller.
        estimates.ratio("first_transverse", "second_transverse", among="ratio"),
        _arm(estimates, "first"),
        _arm(estimates, "second"),
        estimates.networks,
        estimates.controlled("ratio", CONTROLS, CONTROLLED) if controlled else None,
    )


def default_inputs(width: int) -> int:
    """Inputs per network when none are asked for: 4n, between 256 and 8192.

    The variance of a network's ratio falls as A + B/inputs with A = O(1/n²), so that more inputs pay
    until their products cost what the network's random numbers do and B/inputs is down to A: measured,
    about 4n at n = 256 (1.6 times the efficiency of n). The upper end bounds the memory.
    """
    return min(max(256, 4 * width), 8192)


def _arm(estimates: Estimates, arm: str) -> Arm:
    return Arm(
        estimates.mean(f"{arm}_energy"),
        estimates.mean(f"{arm}_transverse"),
        estimates.ratio(f"{arm}_hidden_radial", f"{arm}_hidden_energy", among=f"{arm}_hidden_fraction"),
        estimates.ratio(f"{arm}_radial", f"{arm}_energy", among=f"{arm}_fraction"),
        estimates.mean(f"{arm}_hidden_fraction", MEAN_OF_RATIOS),
        estimates.mean(f"{arm}_fraction", MEAN_OF_RATIOS),
    )
