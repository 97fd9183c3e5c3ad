"""Layers of a network of infinite width, each a small object with its law."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax.typing import ArrayLike

from signmag_jax.evidence import invalid
from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import is_traced
from signmag_jax.perturb import find_weights

from . import state as of
from .activations import Activation
from .arguments import check_scale, error_of, resolved, shape_of
from .state import NOT_NEGATIVE, State

GIVEN = "given"
FINITE = Interval(fix="pass finite numbers")

Given = Callable[[Any], Any]
"""The error of a matrix that is perturbed as the network is, by the law of its weights."""


class Layer:
    """What makes one pair of vectors, clean and perturbed, of another."""

    @property
    def fresh(self) -> bool:
        """Whether random weights make what it gives independent of what it took, entry by entry."""
        return False

    def gaussian(self, before: bool) -> bool:
        """Whether its entries are Gaussian, after some that are or are not.

        Raises:
          InvalidInput: where the layer takes Gaussian entries alone.
        """
        return before

    def step(self, state: State, given: Given) -> State:
        """What comes out."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Dense(Layer):
    """z = W x + β: i.i.d. symmetric weights, a matrix of its own wherever it stands.

    Args:
      perturbation: of W: "given", the one that the network is asked about; None, for a W that stays; or one
        of its own, anything with `moments()`.
      weights: law of the weights, as in `perturb.find_weights`: a name, b = E|w|/σ or `perturb.Weights`.
      scale: σ√n, the standard deviation of W x for E x² = 1.
      bias: standard deviation of β, Gaussian with mean 0 and without an error.

    Raises:
      InvalidInput: for a perturbation or weights that are none, scale <= 0, or bias < 0.
    """

    perturbation: Any = GIVEN
    weights: Any = "gaussian"
    scale: ArrayLike = 1.0
    bias: ArrayLike = 0.0

    def __post_init__(self) -> None:
        find_weights(self.weights)
        check_scale(self.scale)
        _check("bias", self.bias)
        own = self.perturbation
        if isinstance(own, str) and own != GIVEN:
            raise invalid(f"perturbation is {GIVEN!r}, None or has moments()", own, "pass one of these")
        if own is not None and not isinstance(own, str):
            # Here already: a mistake is told where it is made.
            error_of(own, self.weights)

    @property
    def fresh(self) -> bool:
        """Always: the matrix is drawn for this layer alone."""
        return True

    def gaussian(self, before: bool) -> bool:
        """Always: entries are sums of many terms."""
        del before
        return True

    def step(self, state: State, given: Given) -> State:
        """c and v multiply those of the input; β adds to the power."""
        own = self.perturbation
        if own is None:
            error = of.NO_ERROR
        elif isinstance(own, str):
            error = given(self.weights)
        else:
            error = of.own_error(error_of(own, self.weights))
        check_shapes(error.c, state.pair.energy)
        after = of.dense(state, error, self.scale)
        return after if _is_zero(self.bias) else of.shifted(after, of.spread(self.bias))


@dataclass(frozen=True, eq=False)
class Activated(Layer):
    """φ of every entry; in a network its name or an `Activation` stands for it."""

    activation: Activation

    def gaussian(self, before: bool) -> bool:
        """Never, and the entries that it takes have to be Gaussian."""
        if not before:
            raise invalid(
                f"Gaussian entries before {self.activation.name!r}",
                "a layer that gives others",
                "put theory.Dense(...) before it; between them may stand norms with one gain for all",
            )
        return False

    def step(self, state: State, given: Given) -> State:
        """The moments by the activation's own kernel, at the scale of the entries."""
        del given
        scale, moments = of.seen(state)
        for one in (scale, *moments):  # a quadrature is chosen by them
            resolved("network", one)
        return of.activated(state, self.activation.resolved(scale, moments))


@dataclass(frozen=True, eq=False)
class RMSNorm(Layer):
    """g ∘ y/√(mean y² + eps), each vector by its own length.

    Args:
      gain: one number, or an array of one a feature, of which the law sees E g and E g²: they are taken to
        be independent of the entries.
      eps: at least 0.

    Raises:
      InvalidInput: for a gain that is not finite or all 0, or eps < 0.
    """

    gain: Any = 1.0
    eps: ArrayLike = 0.0

    def __post_init__(self) -> None:
        _check_features("gain", self.gain)
        if _is_zero(self.gain):
            raise invalid("a gain that is not all 0", self.gain, "pass the norm's weights")
        _check("eps", self.eps)

    def gaussian(self, before: bool) -> bool:
        """Whether entries stay Gaussian; never with a gain for each feature."""
        # Entries of several deviations are together a mixture of Gaussians, and not Gaussian.
        return before and shape_of("gain", self.gain) == ()

    def step(self, state: State, given: Given) -> State:
        """The exact, finite change; the energy that the derivative lets through is kept beside it."""
        del given
        return of.normalised(state, of.two_moments(self.gain), self.eps)


@dataclass(frozen=True, eq=False)
class LayerNorm(RMSNorm):
    """g ∘ (y − mean y)/√(var y + eps) + β.

    Args:
      gain: as in `RMSNorm`.
      eps: at least 0.
      bias: β, one number or an array, of which the law sees mean and mean square, likewise independent.

    Raises:
      InvalidInput: as `RMSNorm` does; for a bias that is not finite.
    """

    bias: Any = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_features("bias", self.bias)

    def gaussian(self, before: bool) -> bool:
        """Whether entries stay Gaussian; never with a bias or a gain for each feature."""
        # The laws of activations are those of Gaussians of mean 0: even one bias for all entries leaves them.
        return super().gaussian(before) and _is_zero(self.bias)

    def step(self, state: State, given: Given) -> State:
        """RMSNorm of the entries' deviations from their mean, then the bias."""
        after = super().step(of.centred(state), given)
        if _is_zero(self.bias):
            return after
        # β is added behind the normalisation, whose derivative does not see it.
        return of.shifted(after, of.two_moments(self.bias))._replace(linear=after.linear)


def check_shapes(*arrays: Any) -> None:
    """Refuse perturbations of several matrices that are arrays of different shapes.

    Raises:
      InvalidInput: naming the shapes.
    """
    shapes = [np.shape(array) for array in arrays]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        raise invalid(
            "perturbations of one shape", shapes, "pass numbers, or arrays that broadcast"
        ) from None


def _check(name: str, value: Any) -> None:
    if shape_of(name, value) != ():
        raise invalid(f"{name} is one number", value, "pass a number")
    if not is_traced(value):
        NOT_NEGATIVE.require(name, value)


def _check_features(name: str, value: Any) -> None:
    if len(shape_of(name, value)) > 1 or not np.size(value):
        raise invalid(f"{name} is a number, or one a feature", np.shape(value), "pass a vector")
    if not is_traced(value):
        FINITE.require(name, value)


def _is_zero(value: Any) -> bool:
    return not is_traced(value) and not np.any(np.asarray(value))
