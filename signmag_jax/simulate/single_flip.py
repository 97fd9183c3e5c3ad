"""One flipped sign in every row, at an entry of given amplitude against a delocalised one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence import Estimate
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.errors import invalid
from signmag_jax.perturb import Weights

from .arguments import Arguments, AtLeast1, AtLeast2, Dtype, Numbers, numbers, whole
from .engine import Options
from .gaussian import Activation, ActivationName, compiled_apart, drawn, sphere
from .gaussian import activation as named_activation
from .network import Experiment, Statistics
from .result import FEWEST_TERMS, MEAN_OF_RATIOS, Estimates, Result
from .split import Energies, energies

AMPLITUDE = Interval(0.0, 1.0, open_low=True, open_high=True, fix="pass |x_j|/‖x‖, in (0, 1)")
DEFAULT_ROWS = 512
DEFAULT_INPUTS = 128


@dataclass(frozen=True)
class SingleFlip(Result):
    """Estimates of shape () or (amplitudes,).

    Args:
      amplification: E‖δ‖² of the flip at the outlier over that at the delocalised entry, ratio of means.
      amplification_per_network: the same as a mean of per-network ratios, larger by the relative variance
        of a network's denominator; see `result`. None below 16 rows: the mean of a quotient of so few terms
        does not exist, or converges to nothing that a standard error would tell.
      transverse_amplification: the ratio of means of the parts across h.
      outlier_energy: E‖δ‖²/m at the outlier, for pre-activations N(0, 1).
      delocalised_energy: the same at the delocalised entry.
      networks: how many were simulated.
    """

    amplification: Estimate
    amplification_per_network: Estimate | None
    transverse_amplification: Estimate
    outlier_energy: Estimate
    delocalised_energy: Estimate
    networks: int


@counting
def single_flip(
    width: int,
    alpha: Numbers,
    *,
    rows: int = DEFAULT_ROWS,
    activation: ActivationName | Activation = "relu",
    weights: str | Weights = "gaussian",
    inputs: int = DEFAULT_INPUTS,
    dtype: Dtype = "float32",
    **options: Unpack[Options],
) -> SingleFlip:
    """Simulate R(α, n): h = φ(Wx), in whose every row one sign is flipped.

    The unit input has one entry α, one entry 1/√n, and a direction uniform on the sphere in the others.

    Args:
      width: length n of the input x, at least 3.
      alpha: amplitude of the outlier, in (0, 1) with α² + 1/n < 1, or a list.
      rows: number of rows of W, at least 2.
      activation: of each pre-activation, by name, or in Python as a function of an array.
      weights: law of W's entries, as in `block`; R(α, n) is of Gaussian ones, since a weight at an outlier
        is not averaged over.
      inputs: number of inputs of each network.
      dtype: precision of the weights and of their products.
      options: targets (on the amplification), seed, resume and mesh, as in `Options`.

    Returns:
      Estimates of shape () or (amplitudes,), without unit.

    Raises:
      InvalidInput: for an argument out of its range, or a folder of another run.
      Incomplete: if the target is out of reach.

    Source: arXiv:2605.18933, section 5.
    """
    whole("width", width, 3)
    amplitudes = numbers("alpha", alpha, AMPLITUDE)
    if np.any(amplitudes**2 + 1 / width >= 1):
        raise invalid("alpha**2 + 1/width < 1", float(amplitudes.max()), "leave length for the other entries")
    (label, function), (named_law, law) = named_activation(activation), drawn(weights)
    sample = SingleFlipSample(width, rows, inputs, dtype, function, law)
    experiment = Experiment(
        "single_flip",
        *compiled_apart(sample, np.atleast_1d(amplitudes)),
        {"alpha": amplitudes.tolist(), "activation": label, "weights": named_law, **sample.plain()},
        sample.work(amplitudes.size),
        lambda tally: tally.ratio("outlier_energy", "delocalised_energy"),
        frozenset(("ratio",)),
    )
    estimates = Estimates(experiment, amplitudes.shape, **options)
    return SingleFlip(
        estimates.ratio("outlier_energy", "delocalised_energy"),
        estimates.mean("ratio", MEAN_OF_RATIOS) if rows >= FEWEST_TERMS else None,
        estimates.ratio("outlier_transverse", "delocalised_transverse"),
        estimates.mean("outlier_energy"),
        estimates.mean("delocalised_energy"),
        estimates.networks,
    )


@dataclass(frozen=True)
class SingleFlipSample(Arguments):
    """One network of `single_flip`; the fields are its arguments."""

    width: int
    rows: AtLeast2
    inputs: AtLeast1
    dtype: Dtype
    activation: Activation
    law: Weights

    def work(self, amplitudes: int) -> float:
        """Floating-point operations: one product, about 300 for a random number and 50 for an activation."""
        drawn = 300.0 * self.width * (self.rows + self.inputs)
        return self.rows * self.inputs * (2.0 * self.width + 150 * amplitudes) + drawn

    def __call__(self, parameters: Float[Array, " amplitudes"], key: PRNGKeyArray) -> Statistics:
        """Statistics of one network, of shape (amplitudes,)."""
        for_w, for_x = jax.random.split(key)
        assert self.law.draw is not None
        w = self.law.draw(for_w, (self.rows, self.width), self.dtype)
        others = sphere(for_x, self.width - 2, self.inputs, self.dtype)
        # Held, because XLA would draw both again inside each consumer.
        w, others = lax.optimization_barrier((w, others))
        # The one product, whatever the amplitudes: they only scale it and add two columns.
        rest = w[:, 2:] @ others
        small = 1 / math.sqrt(self.width)

        def compare(alpha: Array) -> Statistics:
            # As a product, since 1 − α² has no digits left near α = 1.
            length = jnp.sqrt((1 - alpha) * (1 + alpha) - 1 / self.width).astype(rest.dtype)
            terms = [alpha.astype(rest.dtype) * w[:, :1], jnp.asarray(small, rest.dtype) * w[:, 1:2]]
            z = terms[0] + terms[1] + length * rest
            outlier, delocalised = (self._flip(z, term) for term in terms)
            return {
                "outlier_energy": outlier.energy,
                "outlier_transverse": outlier.transverse,
                "delocalised_energy": delocalised.energy,
                "delocalised_transverse": delocalised.transverse,
                "ratio": outlier.energy / delocalised.energy,
            }

        # Not vmap: one amplitude at a time stays in cache, and memory does not grow with their number.
        return lax.map(compare, parameters)

    def _flip(self, z: Float[Array, "rows inputs"], term: Float[Array, "rows 1"]) -> Energies:
        """Energies of flipping, in every row, the weight that contributes `term`."""
        h = self.activation(z)
        return energies(h, self.activation(z - 2 * term) - h)
