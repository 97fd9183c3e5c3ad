"""What the networks learn: a teacher's few directions, or the next byte of a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence import invalid, keys

DIRECTIONS, TARGETS = 8, 16
BYTES, CONTEXT = 256, 8
HELD_OUT = 0.1
"""Part of a text, its last, on which nothing is learned."""
SHORTEST = 4096


@dataclass(frozen=True)
class Regression:
    """y = V relu(U x) of `DIRECTIONS` directions of Gaussian inputs: U, V are the same for all networks.

    Args:
      width: of the inputs.
      seed: of U and V.
    """

    width: int
    seed: int = 0
    unit: str = "1"

    def shape(self) -> dict[str, int]:
        """The form of a network: vectors in, `TARGETS` numbers out."""
        return {"width": self.width, "outputs": TARGETS}

    def drawn(self, key: PRNGKeyArray, count: int, held_out: bool) -> tuple[Array, Array]:
        """Fresh inputs: none is ever seen twice."""
        part = "held out" if held_out else "learned"
        x = jax.random.normal(keys.fold(key, part), (count, self.width), jnp.float32)
        hidden = jax.nn.relu(x @ self._matrix("U", (DIRECTIONS, self.width), self.width).T)
        # Mean square 1: relu of a normal number has ½.
        return x, hidden @ self._matrix("V", (TARGETS, DIRECTIONS), DIRECTIONS / 2).T

    def losses(self, outputs: Array, targets: Array) -> Float[Array, " batch"]:
        """Mean squared error over the targets."""
        return 2 * optax.l2_loss(outputs, targets).mean(axis=-1)

    def _matrix(self, name: str, shape: tuple[int, int], variance: float | int) -> Array:
        key = keys.fold(keys.root(self.seed), "teacher", name)
        return jax.random.normal(key, shape, jnp.float32) / variance**0.5


@dataclass(frozen=True, eq=False)
class NextByte:
    """The next byte from the `CONTEXT` bytes before it.

    Args:
      content: UTF-8 bytes, at least `SHORTEST`.
      width: of the embeddings, side by side.
    """

    content: bytes
    width: int
    unit: str = "nat/byte"

    def __post_init__(self) -> None:
        if len(self.content) < SHORTEST:
            raise invalid(f"text of {SHORTEST} bytes at least", len(self.content), "pass a longer text")

    def shape(self) -> dict[str, int]:
        """The form of a network: bytes in, a logit for each byte out."""
        return {"width": self.width, "outputs": BYTES, "vocabulary": BYTES, "context": CONTEXT}

    def drawn(self, key: PRNGKeyArray, count: int, held_out: bool) -> tuple[Array, Array]:
        """Random places of the first part, or of the part that is held out."""
        text = np.frombuffer(self.content, np.uint8)
        cut = round(len(text) * (1 - HELD_OUT))
        part = jnp.asarray(text[cut:] if held_out else text[:cut])
        first = jax.random.randint(key, (count, 1), 0, len(part) - CONTEXT)
        rows = part[first + jnp.arange(CONTEXT + 1)[None]].astype(jnp.int32)
        return rows[:, :-1], rows[:, -1]

    def losses(self, outputs: Array, targets: Array) -> Float[Array, " batch"]:
        """Cross-entropy."""
        return optax.softmax_cross_entropy_with_integer_labels(outputs, targets)


Task = Regression | NextByte
TASKS: dict[str, Any] = {"regression": Regression, "text": NextByte}
