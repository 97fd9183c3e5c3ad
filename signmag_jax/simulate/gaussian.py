"""Gaussian weights, spherical inputs and activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence.errors import invalid

Activation = Callable[[Array], Array]


def _identity(z: Array) -> Array:
    return z


def _leaky_relu(z: Array) -> Array:
    return jax.nn.leaky_relu(z, 0.01)


def _relu_squared(z: Array) -> Array:
    return jnp.square(jax.nn.relu(z))


def _gelu(z: Array) -> Array:
    return jax.nn.gelu(z, approximate=False)


ACTIVATIONS: dict[str, Activation] = {
    "relu": jax.nn.relu,
    "leaky_relu": _leaky_relu,
    "relu_squared": _relu_squared,
    "identity": _identity,
    "gelu": _gelu,
    "erf": jax.scipy.special.erf,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
}
DTYPES = ("float32", "float64")
# No size is larger: the square of this many numbers exceeds every memory, but no counter of bytes.
LARGEST = 2**24


def weights(key: PRNGKeyArray, rows: int, columns: int, dtype: DTypeLike) -> Float[Array, "rows columns"]:
    """Independent N(0, 1) entries: with inputs of unit norm, every pre-activation is N(0, 1)."""
    return jax.random.normal(key, (rows, columns), dtype)


def sphere(key: PRNGKeyArray, width: int, inputs: int, dtype: DTypeLike) -> Float[Array, "width inputs"]:
    """Independent columns, uniform on the unit sphere."""
    return unit(jax.random.normal(key, (width, inputs), dtype))


def unit(h: Float[Array, "width inputs"]) -> Float[Array, "width inputs"]:
    """Every column divided by its norm; a column of zeros stays as it is."""
    norm = jnp.sqrt(jnp.sum(h * h, axis=0, keepdims=True))
    return h / jnp.where(norm > 0, norm, jnp.ones_like(norm))


def activation(name: str | Activation) -> tuple[str, Activation]:
    """The function of that name, or a function of your own, and what to call it.

    Raises:
      InvalidInput: for an unknown name.
    """
    if callable(name):
        label = f"{getattr(name, '__module__', '')}.{getattr(name, '__qualname__', '<>')}"
        # Two nameless functions may differ under one label: their address keeps their records apart.
        return repr(name) if "<" in label else label, name
    choose("activation", name, tuple(ACTIVATIONS))
    return name, ACTIVATIONS[name]


def choose(argument: str, received: Any, valid: tuple[str, ...]) -> None:
    """Raise `InvalidInput` unless `received` is one of the valid names."""
    if received not in valid:
        raise invalid(f"{argument} in {valid}", received, f"choose one of {', '.join(valid)}")


def whole(argument: str, received: Any, low: int) -> None:
    """Raise `InvalidInput` unless `received` is an integer of at least `low`, and no absurd one."""
    if isinstance(received, bool) or not isinstance(received, int) or received < low:
        raise invalid(f"{argument} is an integer >= {low}", received, f"pass a whole number from {low} up")
    if received > LARGEST:
        raise invalid(f"{argument} <= {LARGEST}", received, "nothing of this size fits in memory")
