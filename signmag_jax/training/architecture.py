"""Small networks of normalised blocks: h ← RMSNorm(h), then W₂ φ(W₁ h) or W₂ (silu(W_g h)·W_u h)."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence import invalid, keys
from signmag_jax.frechet import rmsnorm

Params = dict[str, Array]
ENTERING: dict[str, tuple[str, ...]] = {"relu": ("up",), "swiglu": ("gate", "up")}
"""The matrices that a block's input meets, which are those that are perturbed."""
EPSILON = 1e-6
NARROWEST, WIDEST, DEEPEST = 32, 2048, 8


@dataclass(frozen=True)
class Architecture:
    """What a network is, its weights aside.

    Args:
      activation: "relu" or "swiglu".
      blocks: number of blocks.
      width: inputs, hidden units and outputs of each block.
      outputs: of the readout, a matrix on the normalised last state.
      vocabulary: symbols whose embeddings, side by side, are the input; 0 where it is a vector.
      context: symbols of an input.
    """

    activation: str
    blocks: int
    width: int
    outputs: int
    vocabulary: int = 0
    context: int = 1

    def __post_init__(self) -> None:
        if self.activation not in ENTERING:
            raise invalid(f"activation in {tuple(ENTERING)}", self.activation, "name one of them")
        if not 1 <= self.blocks <= DEEPEST:
            raise invalid(f"1 <= blocks <= {DEEPEST}", self.blocks, "pass a number of blocks in between")
        if not NARROWEST <= self.width <= WIDEST or self.width % self.context:
            share = f" and a multiple of {self.context}" if self.context > 1 else ""
            raise invalid(f"{NARROWEST} <= width <= {WIDEST}{share}", self.width, "pass a width like 256")

    def init(self, key: PRNGKeyArray) -> Params:
        """Gaussian weights of variance 1/width, so that every pre-activation has variance 1."""
        square = (self.blocks, self.width, self.width)
        shapes = dict.fromkeys((*ENTERING[self.activation], "down"), square)
        params = {
            name: jax.random.normal(keys.fold(key, name), shape, jnp.float32) / self.width**0.5
            for name, shape in (shapes | {"readout": (self.outputs, self.width)}).items()
        }
        if self.vocabulary:
            table = (self.vocabulary, self.width // self.context)
            params["embed"] = jax.random.normal(keys.fold(key, "embed"), table, jnp.float32)
        return params

    def apply(self, params: Params, inputs: Array) -> Float[Array, "batch outputs"]:
        """The outputs for a batch of vectors, or of symbols."""
        return rms(self.states(params, inputs)[-1]) @ params["readout"].T

    def states(self, params: Params, inputs: Array) -> list[Float[Array, "batch width"]]:
        """What enters each block, before it is normalised, and what leaves the last one."""
        state = params["embed"][inputs].reshape(len(inputs), self.width) if self.vocabulary else inputs
        states = [state]
        for block in range(self.blocks):
            states.append(self.block(self.matrices(params, block), rms(states[-1])))
        return states

    def matrices(self, params: Params, block: int) -> Params:
        """The matrices of one block."""
        return {name: params[name][block] for name in (*ENTERING[self.activation], "down")}

    def block(self, matrices: Params, x: Float[Array, "batch width"]) -> Float[Array, "batch width"]:
        """What a block makes of normalised inputs."""
        up = _product(x, matrices["up"])
        hidden = jax.nn.silu(_product(x, matrices["gate"])) * up if "gate" in matrices else jax.nn.relu(up)
        return _product(hidden, matrices["down"])


def rms(state: Float[Array, "batch width"]) -> Float[Array, "batch width"]:
    """Rows of unit root mean square."""
    return rmsnorm(state, None, EPSILON)


def _product(x: Float[Array, "batch inputs"], matrix: Float[Array, "outputs inputs"]) -> Array:
    # The difference of two nearly equal outputs is measured: a GPU's TF32 would be all that is left of it.
    return jnp.matmul(x, matrix.T, precision=jax.lax.Precision.HIGHEST)
