"""Weights, Gaussian unless another law is asked for, spherical inputs and activations."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence.compiling import held
from signmag_jax.evidence.errors import InvalidInput, invalid
from signmag_jax.perturb import Weights, find_weights
from signmag_jax.perturb.weights import Resampled

from .arguments import choose

Activation = Callable[[Array], Array]
ActivationName = Literal[
    "relu", "leaky_relu", "relu_squared", "identity", "gelu", "erf", "silu", "tanh"
]  # fmt: skip


# Functions with names of their own and no lambdas: compiled programs are kept by them.
def _identity(z: Array) -> Array:
    return z


def _leaky_relu(z: Array) -> Array:
    return jax.nn.leaky_relu(z, 0.01)


def _relu_squared(z: Array) -> Array:
    return jnp.square(jax.nn.relu(z))


def _gelu(z: Array) -> Array:
    # The exact one: the theory's law is not that of the approximation by tanh.
    return jax.nn.gelu(z, approximate=False)


ACTIVATIONS: dict[ActivationName, Activation] = {
    "relu": jax.nn.relu,
    "leaky_relu": _leaky_relu,
    "relu_squared": _relu_squared,
    "identity": _identity,
    "gelu": _gelu,
    "erf": jax.scipy.special.erf,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
}


def weights(key: PRNGKeyArray, rows: int, columns: int, dtype: DTypeLike) -> Float[Array, "rows columns"]:
    """Independent N(0, 1) entries: with inputs of unit norm, every pre-activation is N(0, 1)."""
    return held(jax.random.normal(key, (rows, columns), dtype))


def drawn(law: str | Weights) -> tuple[str, Weights]:
    """The law of weights of that name, or the one given, and what to call it.

    Raises:
      InvalidInput: as `perturb.find_weights` does, and for one that cannot be drawn from.
    """
    weights = find_weights(law)
    if weights.draw is None:
        known = "a number E|w|/σ" if weights.name == "given" else repr(weights.name)
        fix = "pass gaussian, laplace, uniform, student_t:5, a .npy file or perturb.Weights with a draw"
        raise invalid("weights that can be drawn", f"{known}, which has no draw", fix)
    if isinstance(weights.draw, Resampled) or _has_that_name(weights):
        return weights.name, weights
    # Two laws of one's own may have one name: what they are keeps their records apart.
    moments = weights.mean_magnitude, weights.third, weights.fourth
    return f"{weights.name} {moments} {_label(weights.draw)}", weights


def _has_that_name(law: Weights) -> bool:
    try:
        return find_weights(law.name) == law
    except InvalidInput:
        return False


@dataclass(frozen=True)
class FromMatrix:
    """A sample of which the magnitudes of the weights are an argument and no constant of the program.

    Args:
      sample: with a field `law`.
    """

    sample: Any

    def __call__(self, parameters: Any, key: PRNGKeyArray) -> dict[str, Array]:
        """The sample's statistics of one network."""
        sizes, rest = parameters
        law = dataclasses.replace(self.sample.law, draw=Resampled(sizes))
        return dataclasses.replace(self.sample, law=law)(rest, key)


def compiled_apart(sample: Any, parameters: Any) -> tuple[Any, Any]:
    """The sample and its parameters, so that what is compiled holds no matrix of weights."""
    law: Weights = sample.law
    if not isinstance(law.draw, Resampled):
        return sample, parameters
    bare = dataclasses.replace(sample, law=dataclasses.replace(law, name="a matrix", draw=None))
    return FromMatrix(bare), (law.draw.sizes, parameters)


def sphere(key: PRNGKeyArray, width: int, inputs: int, dtype: DTypeLike) -> Float[Array, "width inputs"]:
    """Independent columns, uniform on the unit sphere."""
    return unit(held(jax.random.normal(key, (width, inputs), dtype)))


def unit(h: Float[Array, "width inputs"]) -> Float[Array, "width inputs"]:
    """Every column divided by its norm; a column of zeros stays as it is."""
    norm = jnp.sqrt(jnp.sum(h * h, axis=0, keepdims=True))
    # A layer of ReLUs may be silent, and 0/0 would spoil the means over all other inputs.
    return h / jnp.where(norm > 0, norm, jnp.ones_like(norm))


def activation(name: ActivationName | Activation) -> tuple[str, Activation]:
    """The function of that name, or a function of your own, and what to call it.

    Raises:
      InvalidInput: for an unknown name.
    """
    if callable(name):
        return _label(name), name
    choose("activation", name, ActivationName)
    return name, ACTIVATIONS[name]


def _label(function: Any) -> str:
    label = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '<>')}"
    # Two nameless functions may differ under one label: their address keeps their records apart.
    return repr(function) if "<" in label else label
