"""Networks of layers as they are written in one line, drawn and perturbed by brute force.

Each matrix that is not fixed is drawn, perturbed in two ways and multiplied; what is random about the clean
network is the same in both perturbed ones.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence import Estimate, invalid, keys, written
from signmag_jax.evidence.compiling import platform
from signmag_jax.evidence.counts import counting
from signmag_jax.perturb import Weights
from signmag_jax.perturb.weights import Resampled

from . import pairs
from .arguments import Arguments, AtLeast1, AtLeast2, Dtype, Numbers
from .engine import Options
from .gaussian import Activation, drawn, sphere, unit, weights
from .gaussian import activation as named_activation
from .network import Experiment, Statistics
from .result import Estimates, Result, flips_over_shift
from .split import let_through, turned

DEFAULT_INPUTS = 256
EXAMPLE = "dense, relu, 2*residual(rmsnorm, gate(serial(dense, relu), dense), dense)"

Difference = Literal["linear", "finite"]
Arms = Float[Array, "3 width inputs"]
"""The clean state and the two perturbed ones."""
Errors = Callable[[PRNGKeyArray, Array], tuple[Array, ...]]
"""Makes both perturbed versions of a matrix, with a key."""
Layer = Callable[[Errors, PRNGKeyArray, Arms], Arms]


@dataclass(frozen=True)
class Composed(Result):
    """The transverse ratio at the output; estimates have shape () or (rates,).

    Args:
      transverse_ratio: flips over shift (first over second perturbation), mean of per-network ratios.
      transverse_ratio_of_means: the same as a ratio of means, which the laws predict.
      flip: what the ratio compares, of the flips: the energy per entry that the normalisation's derivative
        lets through, or E sin² of the angle.
      shift: the same of the magnitude shift.
      networks: how many were simulated.
    """

    transverse_ratio: Estimate
    transverse_ratio_of_means: Estimate
    flip: Estimate
    shift: Estimate
    networks: int


@counting
def composed(
    width: int,
    rate: Numbers | None,
    network: str,
    *,
    perturbations: Any = None,
    difference: Difference = "linear",
    match: pairs.Match = "realised",
    inputs: int = DEFAULT_INPUTS,
    dtype: Dtype = "float32",
    **options: Unpack[Options],
) -> Composed:
    """Simulate a network of layers, clean and perturbed, by brute force.

    Args:
      width: of every vector, at least 2.
      rate: flip rate in (0, 0.5], or a list; the shift has the Frobenius norm of the flips in each matrix.
        None beside perturbations.
      network: its layers, such as "dense, relu, 4*residual(rmsnorm, gate(serial(dense, silu), dense),
        dense)", as `signmag law network_ratio` reads them: dense(scale=0.5, bias=0.1, weights=laplace), with
        laws of weights as in `block`, or dense(fixed) without an error; activations; rmsnorm(gain=2,
        eps=0.1) and layernorm(bias=0.1), where [1, 2] are the gains or biases of features in turn;
        residual(...), gate(a, b), serial(...).
      perturbations: instead of a rate, a pair of `perturb.Perturbation`, taken as they are.
      difference: "linear", the finite difference behind the derivative of the norm at the end, of RMSNorm
        where there is none; or "finite", sin² of the angle between the outputs.
      match: whether the two errors have equal Frobenius norms as drawn ("realised") or in the mean
        ("expected").
      inputs: number of inputs of each network, of direction uniform on the sphere and mean square 1.
      dtype: precision of the weights and of their products.
      options: targets, seed, resume and mesh, as in `Options`.

    Returns:
      Estimates of shape () or (rates,), without unit.

    Raises:
      InvalidInput: for an argument out of its range, what is no network, or a folder of another run.
      Incomplete: if the target is out of reach, or fewer than two networks have a ratio.

    Source: arXiv:2605.18933, section 4, layer by layer.
    """
    pair, parameters, shape, named = pairs.either(rate, perturbations, match)
    layers = _serial(*written.layers(network, MADE, _entrywise)).layers
    if not any(one.perturbed for one in _matrices(layers)):
        raise invalid("a matrix to perturb", network, "put dense into it")
    named |= {"network": network} | _files(layers)
    sample = NetworkSample(width, layers, difference, inputs, dtype, pair)
    experiment = Experiment(
        "network",
        sample,
        parameters,
        {**named, **sample.plain()},
        sample.work(math.prod(shape)),
        lambda tally: tally.mean("ratio"),
        frozenset(("ratio",)),
    )
    return Composed(*flips_over_shift(Estimates(experiment, shape, **options)))


@dataclass(frozen=True)
class NetworkSample(Arguments):
    """One network of `composed`; the fields are its arguments, with the layers as they were read."""

    width: AtLeast2
    layers: tuple[Any, ...]
    difference: Difference
    inputs: AtLeast1
    dtype: Dtype
    pair: Any

    def work(self, rates: int) -> float:
        """Floating-point operations: three products of a matrix for each rate, and 900 for a weight."""
        each = self.width**2 * (6.0 * self.inputs * rates + 900)
        return each * len(_matrices(self.layers))

    def __call__(self, parameters: Any, key: PRNGKeyArray) -> Statistics:
        """Statistics of one network, of shape (rates,)."""
        x = sphere(keys.fold(key, "inputs"), self.width, self.inputs, self.dtype)
        # Entries of mean square 1, as those of a normalised stream.
        x = x * jnp.asarray(math.sqrt(self.width), self.dtype)
        *most, last = self.layers
        # A norm at the end is taken apart: a linear difference goes through its derivative.
        before, norm = (tuple(most), last) if isinstance(last, Norm) else (self.layers, Norm())
        inner = Serial(before)
        for_layers = keys.fold(key, "layers")

        def compare(parameter: Any) -> Statistics:
            errors = functools.partial(self.pair.draw, parameter)
            clean, *others = inner(errors, for_layers, jnp.stack([x] * 3))
            flip, shift = (self._parted(norm, clean, other) for other in others)
            return {"flip": flip, "shift": shift, "ratio": jnp.where(shift > 0, flip / shift, jnp.nan)}

        # Not vmap: one rate's arrays at a time stay in cache.
        return lax.map(compare, parameters)

    def _parted(self, norm: Norm, clean: Array, other: Array) -> Float[Array, ""]:
        if self.difference == "finite":
            return turned(norm.of(clean), norm.of(other))
        return norm.through(clean, other - clean)


@dataclass(frozen=True)
class Dense:
    """z = W x + β, with independent entries of W of variance scale²/width and of β of variance bias²."""

    perturbed: bool | None = True
    weights: str | Weights = "gaussian"
    scale: float = 1.0
    bias: float = 0.0

    def __post_init__(self) -> None:
        # A file is read here: within a program it could not be.
        object.__setattr__(self, "weights", drawn(self.weights)[1])
        if not (self.scale > 0 and math.isfinite(self.scale)):
            raise invalid("scale > 0", self.scale, "pass the standard deviation of the pre-activations")
        if not 0 <= self.bias < math.inf:
            raise invalid("bias >= 0", self.bias, "pass the standard deviation of the biases")

    def __call__(self, errors: Errors, key: PRNGKeyArray, arms: Arms) -> Arms:
        """Multiply each state by its matrix; both perturbed ones are drawn from the clean one."""
        width, dtype = arms.shape[1], arms.dtype
        for_w, for_errors, for_bias = jax.random.split(key, 3)
        assert isinstance(self.weights, Weights)
        draw = self.weights.draw
        assert draw is not None
        # Held, because XLA would draw it again for each of the states that it acts on.
        w = lax.optimization_barrier(draw(for_w, (width, width), dtype))
        each = (w, *errors(for_errors, w)) if self.perturbed else (w,) * 3
        z = jnp.stack([matrix @ arm for matrix, arm in zip(each, arms, strict=True)])
        # One bias for all three states: it carries no error.
        shift = weights(for_bias, width, 1, dtype) * jnp.asarray(self.bias, dtype)
        return z * jnp.asarray(self.scale / math.sqrt(width), dtype) + shift[None]


@dataclass(frozen=True)
class Entrywise:
    """φ of every entry."""

    activation: Activation

    def __call__(self, errors: Errors, key: PRNGKeyArray, arms: Arms) -> Arms:
        """Nothing is drawn."""
        del errors, key
        return self.activation(arms)


@dataclass(frozen=True)
class Norm:
    """g ∘ (y − m)/√(mean (y − m)² + eps) + β, m the mean of y if it is centred and 0 otherwise."""

    gain: float | tuple[float, ...] = 1.0
    eps: float = 0.0
    bias: float | tuple[float, ...] = 0.0
    centred: bool = False

    def __post_init__(self) -> None:
        if not np.any(self.gain):
            raise invalid("a gain that is not all 0", self.gain, "pass the norm's weights")
        if not 0 <= self.eps < math.inf:
            raise invalid("eps >= 0", self.eps, "pass a number of at least 0")

    def __call__(self, errors: Errors, key: PRNGKeyArray, arms: Arms) -> Arms:
        """Nothing is drawn."""
        del errors, key
        return jax.vmap(self.of)(arms)

    def of(self, y: Float[Array, "width inputs"]) -> Float[Array, "width inputs"]:
        """One state, normalised."""
        if self.centred:
            y = y - jnp.mean(y, axis=0, keepdims=True)
        if self.eps:
            square = jnp.mean(y * y, axis=0, keepdims=True)
            y = y / jnp.sqrt(square + jnp.asarray(self.eps, y.dtype))
        else:
            # By `unit`, which leaves a state of zeros as it is: 0/0 would be in every mean.
            y = unit(y) * jnp.asarray(math.sqrt(y.shape[0]), y.dtype)
        gain, bias = (self._features(one, y) for one in (self.gain, self.bias))
        return y * gain + bias

    def through(
        self, y: Float[Array, "width inputs"], delta: Float[Array, "width inputs"]
    ) -> Float[Array, ""]:
        """The energy per entry of what the derivative at y makes of δ."""
        if self.centred:
            y, delta = (each - jnp.mean(each, axis=0, keepdims=True) for each in (y, delta))
        return let_through(y, delta, self._features(self.gain, y), self.eps)

    def _features(self, numbers: Any, y: Array) -> Array:
        return jnp.asarray(np.resize(np.asarray(numbers), (y.shape[0], 1)), y.dtype)


@dataclass(frozen=True)
class Serial:
    """One layer after another."""

    layers: tuple[Any, ...]

    def __call__(self, errors: Errors, key: PRNGKeyArray, arms: Arms) -> Arms:
        """Apply the layers in turn; one that is repeated has matrices of its own each time."""
        for layer, run in itertools.groupby(range(len(self.layers)), self.layers.__getitem__):
            indices = list(run)

            def step(index: Any, arms: Arms, layer: Layer = layer) -> Arms:
                return layer(errors, keys.fold(key, index), arms)

            # Compiled once, however often it is repeated; a CPU's programs keep their last bit as they are.
            if len(indices) > 1 and platform() != "cpu":
                arms = lax.fori_loop(indices[0], indices[-1] + 1, step, arms)
            else:
                for index in indices:
                    arms = step(index, arms)
        return arms


@dataclass(frozen=True)
class Residual:
    """y + f(y)."""

    branch: Serial

    def __call__(self, errors: Errors, key: PRNGKeyArray, arms: Arms) -> Arms:
        """Add the branch to each state."""
        return arms + self.branch(errors, key, arms)


@dataclass(frozen=True)
class Gate:
    """a(y) ∘ b(y)."""

    gate: Any
    up: Any

    def __call__(self, errors: Errors, key: PRNGKeyArray, arms: Arms) -> Arms:
        """Multiply both branches, each with keys of its own."""
        for_gate, for_up = jax.random.split(key)
        return self.gate(errors, for_gate, arms) * self.up(errors, for_up, arms)


def _norm(centred: bool, gain: Any = 1.0, eps: float = 0.0, bias: Any = 0.0) -> Norm:
    gain, bias = (tuple(one) if isinstance(one, list) else one for one in (gain, bias))
    return Norm(gain, eps, bias, centred)


def _rmsnorm(gain: Any = 1.0, eps: float = 0.0) -> Norm:
    return _norm(False, gain, eps)


def _entrywise(name: Any) -> Entrywise:
    return Entrywise(named_activation(name)[1])


MADE: dict[str, Callable[..., Layer]] = {
    "dense": Dense,
    "rmsnorm": _rmsnorm,
    "layernorm": functools.partial(_norm, True),
    "residual": lambda *layers: Residual(_serial(*layers)),
    "gate": Gate,
    "serial": lambda *layers: _serial(*layers),
}


def _serial(*layers: Any) -> Serial:
    if not layers:
        raise invalid("at least one layer", layers, f"write layers like {EXAMPLE!r}")
    # Flat, so that serial(a, serial(b, c)) draws what serial(a, b, c) does.
    flat = (one.layers if isinstance(one, Serial) else (one,) for one in layers)
    return Serial(tuple(layer for each in flat for layer in each))


def _files(layers: tuple[Any, ...]) -> dict[str, Any]:
    """By what a record knows matrices of weights that were read: a file may change under its name."""
    laws = [one.weights for one in _matrices(layers)]
    names = [law.name for law in laws if isinstance(law, Weights) and isinstance(law.draw, Resampled)]
    return {"weights": names} if names else {}


def _matrices(layers: tuple[Any, ...]) -> list[Dense]:
    """Every matrix, as often as it is drawn."""
    matrices: list[Dense] = []
    for layer in layers:
        if isinstance(layer, Dense):
            matrices.append(layer)
        elif isinstance(layer, Serial):
            matrices += _matrices(layer.layers)
        elif isinstance(layer, Residual):
            matrices += _matrices(layer.branch.layers)
        elif isinstance(layer, Gate):
            matrices += _matrices((layer.gate, layer.up))
    return matrices
