"""Chains of layers, each with a normalisation, perturbed in all layers or in the first."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Unpack

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence import Estimate, keys
from signmag_jax.evidence.counts import counting
from signmag_jax.perturb import Weights

from . import pairs
from .arguments import Arguments, AtLeast1, AtLeast2, Dtype, Numbers
from .engine import Options
from .gaussian import Activation, ActivationName, compiled_apart, drawn, sphere, unit
from .gaussian import activation as named_activation
from .gaussian import weights as gaussian
from .network import Experiment, Statistics
from .result import Estimates, Result, flips_over_shift
from .split import energies, turned

Layers = Literal["all", "first"]
Scale = Literal["unit", "paper"]
DEFAULT_INPUTS = 256


@dataclass(frozen=True)
class Depth(Result):
    """The transverse ratio after each layer; estimates have shape (depth,) or (rates, depth).

    Args:
      transverse_ratio: C_l, flips over shift (first over second perturbation), mean of per-network ratios.
      transverse_ratio_of_means: the same as a ratio of means; see `result` for what lies between the two.
        With depth it grows, as a network's spread does.
      flip: what the ratio compares, of the flips: E sin² of the angle to the clean state (normalised
        chains) or E‖P⊥(y) δy‖²/width (the unnormalised stream of a residual chain of single matrices).
      shift: the same of the magnitude shift.
      networks: how many were simulated.
    """

    transverse_ratio: Estimate
    transverse_ratio_of_means: Estimate
    flip: Estimate
    shift: Estimate
    networks: int


@counting
def depth(
    width: int,
    rate: Numbers | None,
    depth: int,
    *,
    perturbations: Any = None,
    residual: bool = False,
    activation: ActivationName | Activation = "relu",
    weights: str | Weights = "gaussian",
    layers: Layers = "all",
    hidden: int | None = None,
    scale: Scale = "unit",
    match: pairs.Match = "realised",
    inputs: int = DEFAULT_INPUTS,
    dtype: Dtype = "float32",
    **options: Unpack[Options],
) -> Depth:
    """Simulate a chain, clean and perturbed, by brute force; weights have independent entries.

    Plain: h ← unit(φ(W h)). Residual: y ← y + φ(W y/‖y‖), differences of the unnormalised y. With
    `hidden`, a layer is [W_up, φ, W_down, normalise] with W_up perturbed: h ← unit(W_down φ(W_up h)),
    and with `residual` h ← unit(h + W_down φ(W_up h)).

    Args:
      width: length of the state, at least 2.
      rate: flip rate in (0, 0.5], or a list; the shift has the Frobenius norm of the flips in each layer.
        None beside perturbations.
      depth: number of layers, at least 1.
      perturbations: instead of a rate, a pair of `perturb.Perturbation`, taken as they are.
      residual: add the input of each layer to its output (skips).
      activation: of each pre-activation, by name, or in Python as a function of an array.
      weights: law of the entries of what is perturbed: gaussian, laplace, uniform, student_t:5 (or other
        degrees of freedom), a matrix in NumPy's format, w.npy, whose magnitudes are drawn with replacement,
        with random signs, or in Python `perturb.Weights`. W_down is Gaussian.
      layers: which layers are perturbed.
      hidden: number of rows of W_up; without it, each layer is a single matrix.
      scale: standard deviation of the pre-activations, 1 ("unit") or 1/√width ("paper"). Chains of ReLU do
        not depend on it.
      match: whether the two errors have equal Frobenius norms as drawn ("realised") or in the mean
        ("expected").
      inputs: number of inputs of each network, uniform on the sphere. With depth the states of one network
        gather around a common direction, so that networks help more than inputs.
      dtype: precision of the weights and of their products.
      options: targets, seed, resume and mesh, as in `Options`.

    Returns:
      Estimates of shape (depth,) or (rates, depth), without unit.

    Raises:
      InvalidInput: for an argument out of its range, or a folder of another run.
      Incomplete: if the target is out of reach, or fewer than two networks have a ratio.

    Source: arXiv:2605.18933, section 9.4 and appendix D (plain, residual; with `hidden`: V2, V3).
    """
    (label, function), (named_law, law) = named_activation(activation), drawn(weights)
    pair, parameters, shape, named = pairs.either(rate, perturbations, match)
    sample = ChainSample(width, depth, residual, function, layers, hidden, scale, inputs, dtype, pair, law)
    experiment = Experiment(
        "depth",
        *compiled_apart(sample, parameters),
        {**named, "activation": label, "weights": named_law, **sample.plain()},
        sample.work(math.prod(shape)),
        lambda tally: tally.mean("ratio"),
        frozenset(("ratio",)),
    )
    return Depth(*flips_over_shift(Estimates(experiment, shape, **options)))


State = Float[Array, "width inputs"]
Layer = Callable[[Float[Array, "rows width"], State], State]


@dataclass(frozen=True)
class ChainSample(Arguments):
    """One network of `depth`; the fields are its arguments."""

    width: AtLeast2
    depth: AtLeast1
    residual: bool
    activation: Activation
    layers: Layers
    hidden: AtLeast2 | None
    scale: Scale
    inputs: AtLeast1
    dtype: Dtype
    pair: Any
    law: Weights

    def work(self, rates: int) -> float:
        """Floating-point operations: the matrix products, and about 900 for a random weight."""
        rows = self.width if self.hidden is None else 2 * self.hidden
        return self.depth * rows * self.width * (2.0 * self.inputs * (1 + 2 * rates) + 900)

    def __call__(self, parameters: Any, key: PRNGKeyArray) -> Statistics:
        """Statistics of one network, of shape (rates, depth)."""
        x = sphere(keys.fold(key, "inputs"), self.width, self.inputs, self.dtype)
        # A stream begins with entries of the pre-activations' deviation: every layer adds as much.
        start = x if not self._stream() else x * self._tensor(self._deviation() * math.sqrt(self.width))
        count = jax.tree.leaves(parameters)[0].shape[0]
        both = jnp.broadcast_to(start, (count, 2, *start.shape))
        step = functools.partial(self._step, parameters, key)
        still = jnp.zeros(count, bool)
        # Where only the first layer is perturbed, the others are another program. A scan, and not a loop:
        # what is compiled does not grow with the depth.
        apart = 1 if self.layers == "first" else 0
        carry, layers = (start, both, still), jnp.arange(self.depth, dtype=jnp.int32)
        parts = []
        for some, perturbed in ((layers[:apart], True), (layers[apart:], not apart)):
            if some.size:
                carry, statistics = lax.scan(functools.partial(step, perturbed=perturbed), carry, some)
                parts.append(statistics)
        statistics = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)
        return {name: leaf.T for name, leaf in statistics.items()}

    def _step(self, parameters: Any, key: PRNGKeyArray, carry: Any, layer: Array, perturbed: bool) -> Any:
        clean, both, moved = carry
        for_w, for_pair, for_down = jax.random.split(keys.fold(key, layer), 3)
        rows = self.width if self.hidden is None else self.hidden
        # Held, because XLA would draw it again for each of the states that it acts on.
        assert self.law.draw is not None
        w = lax.optimization_barrier(self.law.draw(for_w, (rows, self.width), self.dtype))
        apply = functools.partial(self._layer, down=self._down(for_down))
        clean = apply(w, clean)

        def compare(piece: Any) -> Any:
            parameter, states, before = piece
            changed = self.pair.draw(parameter, for_pair, w) if perturbed else (w, w)
            after = [apply(matrix, state) for matrix, state in zip(changed, states, strict=True)]
            flip, shift = (self._transverse(clean, state) for state in after)
            moved = before | pairs.differ(changed[1], w)
            # Equal chains may differ in the last bit of their products: a ratio to that is no number.
            ratio = jnp.where(moved, flip / shift, jnp.nan)
            return jnp.stack(after), moved, {"flip": flip, "shift": shift, "ratio": ratio}

        # Not vmap over rates: one rate's arrays at a time stay in cache.
        both, moved, statistics = lax.map(compare, (parameters, both, moved))
        return (clean, both, moved), statistics

    def _layer(self, w: Float[Array, "rows width"], state: State, down: Any) -> State:
        pre = w @ (unit(state) if self._stream() else state)
        out = self.activation(pre * self._tensor(self._deviation()))
        if self.hidden is not None:
            # The skip has entries of variance 1/width; W_down keeps the mean square of φ.
            out = down @ out
            return unit(state + out if self.residual else out)
        return state + out if self.residual else unit(out)

    def _down(self, key: PRNGKeyArray) -> Any:
        if self.hidden is None:
            return None
        gain = 1 / math.sqrt(self.hidden * self.width) / self._deviation()
        return gaussian(key, self.width, self.hidden, self.dtype) * self._tensor(gain)

    def _transverse(self, clean: State, state: State) -> Float[Array, ""]:
        return energies(clean, state - clean).transverse if self._stream() else turned(clean, state)

    def _stream(self) -> bool:
        return self.residual and self.hidden is None

    def _deviation(self) -> float:
        return 1.0 if self.scale == "unit" else 1 / math.sqrt(self.width)

    def _tensor(self, number: float) -> Array:
        return jnp.asarray(number, self.dtype)
