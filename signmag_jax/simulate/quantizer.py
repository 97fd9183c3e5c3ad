"""One matrix quantised: how parallel it stays, and where its error points before and after a ReLU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence import Estimate
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.errors import invalid
from signmag_jax.perturb import Perturbation, SignQuantize, Weights

from . import pairs
from .arguments import Arguments, AtLeast1, AtLeast2, Dtype
from .engine import Options
from .gaussian import compiled_apart, drawn, sphere
from .network import Experiment, Statistics
from .result import MEAN_OF_RATIOS, Estimates, Result
from .split import energies, turned
from .tally import Pair, Tally

Granularity = Literal["row", "tensor"]


@dataclass(frozen=True)
class Quantizer(Result):
    """Estimates of shape ().

    Args:
      row_cosine: E cos²(w, w') over rows that are not quantised to zeros, which have no direction.
      vector_cosine: E cos²(Wx, W'x) over inputs.
      pre_radial_fraction: of the error W'x − Wx, along Wx; ratio of means.
      post_radial_fraction: of relu(W'x) − relu(Wx), along relu(Wx); ratio of means.
      pre_radial_fraction_per_network: before the ReLU, as a mean of per-network ratios; see `result` for
        what lies between the two.
      post_radial_fraction_per_network: the same behind it.
      networks: how many were simulated.
    """

    row_cosine: Estimate
    vector_cosine: Estimate
    pre_radial_fraction: Estimate
    post_radial_fraction: Estimate
    pre_radial_fraction_per_network: Estimate
    post_radial_fraction_per_network: Estimate
    networks: int


@counting
def quantizer(
    width: int,
    perturbation: Perturbation | None = None,
    *,
    rows: int | None = None,
    granularity: Granularity = "row",
    weights: str | Weights = "gaussian",
    inputs: int | None = None,
    dtype: Dtype = "float32",
    **options: Unpack[Options],
) -> Quantizer:
    """Simulate Theorem 4: a matrix of independent weights and its quantised version on spherical inputs.

    Args:
      width: length n of the input x, at least 2.
      perturbation: `SignQuantize()` by default; `Ternarize(...)` or any other.
      rows: number of rows of W; by default the width.
      granularity: whether each row is quantised with a scale of its own ("row"), or the matrix with one
        ("tensor").
      weights: law of W's entries, as in `block`.
      inputs: number of inputs of each network; by default the width.
      dtype: precision of the weights and of their products.
      options: targets (on the worst of the four estimates), seed, resume and mesh, as in `Options`.

    Returns:
      Estimates of shape (), without unit.

    Raises:
      InvalidInput: for an argument out of its range, or a folder of another run.
      Incomplete: if the target is out of reach, or all rows are quantised to zeros.

    Source: arXiv:2605.18933, Theorem 4 and section 9.6.
    """
    chosen = SignQuantize() if perturbation is None else perturbation
    pair, parameters, shape = pairs.given((chosen,), 1)
    named_law, law = drawn(weights)
    if shape != ():
        raise invalid("the perturbation has scalar parameters", chosen, "simulate one quantiser at a time")
    sample = QuantizerSample(
        width,
        width if rows is None else rows,
        width if inputs is None else inputs,
        granularity,
        dtype,
        pair,
        law,
    )
    experiment = Experiment(
        "quantizer",
        *compiled_apart(sample, parameters),
        {"perturbation": repr(chosen), "weights": named_law, **sample.plain()},
        sample.work(),
        _worst,
        # Rows quantised to zeros have no cosine, and an error that is 0 has no fraction.
        frozenset(("row_cosine", "pre_fraction", "post_fraction")),
    )
    estimates = Estimates(experiment, **options)
    return Quantizer(
        estimates.mean("row_cosine"),
        estimates.mean("vector_cosine"),
        estimates.ratio("pre_radial", "pre_energy"),
        estimates.ratio("post_radial", "post_energy"),
        estimates.mean("pre_fraction", MEAN_OF_RATIOS),
        estimates.mean("post_fraction", MEAN_OF_RATIOS),
        estimates.networks,
    )


def _worst(tally: Tally) -> Pair:
    parts = [tally.mean("row_cosine"), tally.mean("vector_cosine")]
    parts += [tally.ratio(f"{side}_radial", f"{side}_energy") for side in ("pre", "post")]
    values, standard_errors = zip(*parts, strict=True)
    return np.stack(values), np.stack(standard_errors)


@dataclass(frozen=True)
class QuantizerSample(Arguments):
    """One network of `quantizer`; the fields are its arguments."""

    width: AtLeast2
    rows: AtLeast2
    inputs: AtLeast1
    granularity: Granularity
    dtype: Dtype
    pair: Any
    law: Weights

    def work(self) -> float:
        """Floating-point operations: two products, and about 300 for a random number."""
        return self.width * (4.0 * self.rows * self.inputs + 300 * (self.rows + self.inputs))

    def __call__(self, parameters: Any, key: PRNGKeyArray) -> Statistics:
        """Statistics of one network, each a scalar."""
        for_w, for_x, for_draw = jax.random.split(key, 3)
        assert self.law.draw is not None
        w = self.law.draw(for_w, (self.rows, self.width), self.dtype)
        x = sphere(for_x, self.width, self.inputs, self.dtype)
        # Held, because XLA would draw both again inside each consumer.
        w, x = lax.optimization_barrier((w, x))
        quantized = self._quantize(parameters, for_draw, w)
        z, other = w @ x, quantized @ x
        # By the sine, which of nearly parallel rows keeps digits that a scalar product of unit rows lacks.
        h, directed = jax.nn.relu(z), jnp.sum(jnp.any(quantized != 0, axis=1), dtype=jnp.float64)
        # A row of zeros has no direction, adds nothing to the mean, and is not counted in it.
        cosine = 1 - turned(w.T, quantized.T) * (self.rows / directed)
        pre, post = energies(z, other - z), energies(h, jax.nn.relu(other) - h)
        return {
            "row_cosine": jnp.where(directed > 0, cosine, jnp.nan),
            "vector_cosine": 1 - turned(z, other),
            "pre_energy": pre.energy,
            "pre_radial": pre.radial,
            "post_energy": post.energy,
            "post_radial": post.radial,
            "pre_fraction": pre.radial / pre.energy,
            "post_fraction": post.radial / post.energy,
        }

    def _quantize(
        self, parameters: Any, key: PRNGKeyArray, w: Float[Array, "rows width"]
    ) -> Float[Array, "rows width"]:
        if self.granularity == "tensor":
            return self.pair.draw(parameters, key, w)[0]
        # A key for each row: quantisers do not draw, but other perturbations may.
        one = lambda own, row: self.pair.draw(parameters, own, row)[0]  # noqa: E731
        return jax.vmap(one)(jax.random.split(key, self.rows), w)
