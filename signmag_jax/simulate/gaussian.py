"""Weights, Gaussian unless another law is asked for, spherical inputs and activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence.errors import invalid
from signmag_jax.perturb import Weights, find_weights

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
    return jax.random.normal(key, (rows, columns), dtype)


def drawn(law: str | Weights) -> Weights:
    """The law of weights of that name, or the one given.

    Raises:
      InvalidInput: as `perturb.find_weights` does, and for one that cannot be drawn from.
    """
    found = find_weights(law)
    if found.draw is None:
        raise invalid("weights with a draw", found.name, "pass a name or perturb.empirical_weights(matrix)")
    return found


def sphere(key: PRNGKeyArray, width: int, inputs: int, dtype: DTypeLike) -> Float[Array, "width inputs"]:
    """Independent columns, uniform on the unit sphere."""
    return unit(jax.random.normal(key, (width, inputs), dtype))


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
        label = f"{getattr(name, '__module__', '')}.{getattr(name, '__qualname__', '<>')}"
        # Two nameless functions may differ under one label: their address keeps their records apart.
        return repr(name) if "<" in label else label, name
    choose("activation", name, ActivationName)
    return name, ACTIVATIONS[name]
