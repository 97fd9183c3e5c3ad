"""Composition: networks of infinite width made of layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from signmag_jax.evidence import invalid
from signmag_jax.evidence.precision import Real, is_traced
from signmag_jax.perturb import HasMoments

from . import state as of
from .activations import Activation, find_activation
from .arguments import error_of, resolved
from .energies import BlockEnergies
from .layers import Activated, Given, Layer, check_shapes
from .state import State

DIFFERENCES = ("linear", "finite")


@dataclass(frozen=True, eq=False)
class Network(Layer):
    """Layers one after another, asked about one perturbation of all matrices that are not their own.

    Its input is the same for both: entries of mean square 1, none of which dominates. Before anything but a
    `Dense` their mean counts as well, and is 0.

    Args:
      layers: at least one, as in `serial`.

    Raises:
      InvalidInput: as `serial` does.
    """

    layers: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise invalid(
                "at least one layer", self.layers, "pass theory.Dense(), 'relu', theory.RMSNorm(), ..."
            )
        object.__setattr__(self, "layers", tuple(as_layer(layer) for layer in self.layers))

    @property
    def fresh(self) -> bool:
        """Whether one layer's random weights make the output independent of the input."""
        return any(layer.fresh for layer in self.layers)

    def gaussian(self, before: bool) -> bool:
        """Whether the entries behind the last layer are Gaussian."""
        for layer in self.layers:
            before = layer.gaussian(before)
        return before

    def step(self, state: State, given: Given) -> State:
        """One layer after another."""
        for layer in self.layers:
            state = layer.step(state, given)
        return state

    def __call__(self, perturbation: HasMoments) -> BlockEnergies:
        """Energies of the difference at the output.

        Args:
          perturbation: of every `Dense` that has none of its own; anything with `moments()`.

        Returns:
          As `block` has them; `sine_squared` is the exact change behind a normalisation.

        Raises:
          InvalidInput: for what has no moments, or an activation of entries that are not Gaussian.
          Incomplete: where float64 does not hold a value.
        """
        return resolved("network", of.energies(self._states(lambda w: error_of(perturbation, w))[-1]))

    def after_each(self, perturbation: HasMoments) -> BlockEnergies:
        """Energies after each layer of this network, along the leading axis. Args and errors as of a call."""
        states = self._states(lambda weights: error_of(perturbation, weights))
        return resolved("network", _stacked([of.energies(state) for state in states]))

    def ratio(self, rate: ArrayLike, difference: str = "linear") -> Real:
        """What sign flips cost over a magnitude shift of equal Frobenius norm, at the output.

        Args:
          rate: flip rate in (0, 1/2], scalar or array, of every `Dense` that has no perturbation of its own.
          difference: "linear", the energy that the derivative of the normalisation at the end lets through,
            of RMSNorm where there is none; or "finite", sine² of the angle between both outputs.

        Returns:
          Array of the shape of `rate`; NaN where a traced rate lies outside.

        Raises:
          InvalidInput: for a concrete rate outside (0, 1/2], an activation of entries that are not Gaussian,
            or a network without a matrix to perturb.
          Incomplete: where float64 does not resolve it.

        Source: arXiv:2605.18933, section 4, layer by layer.
        """
        return self._ratios(rate, difference, slice(-1, None))[-1]

    def ratios(self, rate: ArrayLike, difference: str = "linear") -> Real:
        """`ratio` after each layer of this network: shape (layers, *rate.shape). Args and errors as there."""
        return self._ratios(rate, difference, slice(None))

    def _ratios(self, rate: ArrayLike, difference: str, where: slice) -> Any:
        if difference not in DIFFERENCES:
            raise invalid(f"difference in {DIFFERENCES}", difference, "choose one of these")
        # Once for all layers: c and v of flips are the same whatever the law of the weights, the shift's are
        # not.
        flip = of.flip_error(rate)
        flipped = self._states(lambda _: flip)[where]
        shifted = self._states(lambda weights: of.shift_error(rate, weights))[where]
        # Of the flips alone: what they do not reach, the shift of equal norm does not reach either.
        if not is_traced(flipped) and not all(np.all(state.pair.energy) for state in flipped):
            raise invalid("a difference to compare", 0.0, "perturb a Dense before what is asked about")
        law = of.linear_ratio if difference == "linear" else of.finite_ratio
        return resolved("network", _stacked([law(*pair) for pair in zip(flipped, shifted, strict=True)]))

    def _states(self, given: Given) -> list[State]:
        # The input is given and not drawn: its entries are Gaussian to no activation until a matrix has mixed
        # them.
        self.gaussian(False)
        states = [of.unit_input()]
        for layer in self.layers:
            states.append(layer.step(states[-1], given))
        return states[1:]


def _stacked(values: list[Any]) -> Any:
    # Where nothing is perturbed yet, values lack the axes of the rates.
    array = jnp if is_traced(values) else np
    return jax.tree.map(lambda *each: array.stack(array.broadcast_arrays(*each)), *values)


@dataclass(frozen=True, eq=False)
class Residual(Layer):
    """y + f(y), f the given layers, of which one has to be a matrix.

    Args:
      layers: of f, as in `serial`.

    Raises:
      InvalidInput: as `serial` does; without a matrix, for y and f(y) are then not independent.
    """

    branch: Network

    def __init__(self, *layers: Any) -> None:
        object.__setattr__(self, "branch", serial(*layers))
        if not self.branch.fresh:
            raise invalid(
                "a Dense in a residual branch",
                layers,
                "put theory.Dense(...) into it, outside of inner branches",
            )

    def gaussian(self, before: bool) -> bool:
        """Whether the entries of y and of f(y) are Gaussian."""
        return self.branch.gaussian(before) and before

    def step(self, state: State, given: Given) -> State:
        """Second moments add; where both have a mean, their product besides."""
        after = self.branch.step(state, given)
        check_shapes(state.pair.energy, after.pair.energy)
        return of.added(state, after)


@dataclass(frozen=True, eq=False)
class Gate(Layer):
    """a(y) ∘ b(y), entry by entry: ReGLU is Gate(serial(Dense(), "relu"), Dense()).

    Args:
      gate: a layer, or what `serial` takes.
      up: likewise. One of both has to contain a matrix.

    Raises:
      InvalidInput: without a matrix, for a(y) and b(y) are then not independent.
    """

    gate: Any
    up: Any

    def __post_init__(self) -> None:
        for name in ("gate", "up"):
            object.__setattr__(self, name, as_layer(getattr(self, name)))
        if not (self.gate.fresh or self.up.fresh):
            raise invalid("a Dense in one branch of a gate", (self.gate, self.up), "put theory.Dense(...) in")

    @property
    def fresh(self) -> bool:
        """Whether both factors are independent of what they take."""
        return self.gate.fresh and self.up.fresh

    def gaussian(self, before: bool) -> bool:
        """Never: products of Gaussian entries are not."""
        self.gate.gaussian(before)
        self.up.gaussian(before)
        return False

    def step(self, state: State, given: Given) -> State:
        """Second moments multiply."""
        gate, up = self.gate.step(state, given), self.up.step(state, given)
        check_shapes(gate.pair.energy, up.pair.energy)
        return of.multiplied(gate, up)


def serial(*layers: Any) -> Network:
    """The network of these layers, one after another.

    Args:
      layers: `Dense`, `RMSNorm`, `LayerNorm`, `Residual`, `Gate`, networks, activations by name or as
        `Activation`.

    Raises:
      InvalidInput: for none, or for what is no layer.
    """
    return Network(layers)


def as_layer(layer: Any) -> Layer:
    """A layer, or an activation as one.

    Raises:
      InvalidInput: for what is neither.
    """
    if isinstance(layer, Layer):
        return layer
    if isinstance(layer, str | Activation):
        return Activated(find_activation(layer))
    raise invalid("a layer or an activation", layer, "pass theory.Dense(), 'relu', theory.RMSNorm(), ...")
