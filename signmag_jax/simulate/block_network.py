"""One network of the block, gated or not: W drawn and perturbed in two ways, the parts of both changes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence.errors import invalid
from signmag_jax.perturb import Weights, find_weights

from . import pairs
from .arguments import Arguments, AtLeast1, AtLeast2, Dtype
from .gaussian import Activation, sphere, weights
from .network import Statistics
from .split import Energies, energies, excess, share, turned, weight_controls

SecondLayer = Literal["integrated", "explicit", "none"]
Difference = Literal["linear", "finite"]
Gated = Literal["no", "both", "gate", "up"]
GAUSSIAN = find_weights("gaussian")
ARMS = ("first", "second")
# Statistics that a network lacks if nothing in it is perturbed.
OPTIONAL = frozenset(("ratio", *(f"{arm}_{where}fraction" for arm in ARMS for where in ("", "hidden_"))))
CONTROLS = (
    "square_control",
    "absolute_control",
    "clean_control",
    *(f"{arm}_{kind}_control" for arm in ARMS for kind in ("error", "along")),
)


@dataclass(frozen=True)
class BlockSample(Arguments):
    """One network of `block`; the fields are its arguments.

    Args:
      ratio: the arms whose transverse parts stand above and below in the network's ratio.
    """

    width: int
    hidden: AtLeast2
    outputs: AtLeast2
    inputs: AtLeast1
    activation: Activation
    second_layer: SecondLayer
    difference: Difference
    dtype: Dtype
    antipodal: bool
    pair: Any
    controlled: bool = False
    ratio: tuple[str, str] = ARMS
    law: Weights = GAUSSIAN
    gated: Gated = "no"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.antipodal and self.inputs % 2:
            raise invalid("inputs is even for antipodal inputs", self.inputs, "pass an even number")
        if self.difference == "finite" and self.second_layer == "integrated":
            raise invalid(
                "second_layer is 'explicit' or 'none' for finite differences",
                self.second_layer,
                "only the linear transverse energy has an exact mean over W2",
            )

    def work(self, parameters: int) -> float:
        """Floating-point operations: the matrix products, and about 300 for a random weight or input."""
        arms = 1 + 2 * parameters
        columns = 2.0 * self.inputs * arms / len(self._signs())
        explicit = self.outputs * self.hidden if self.second_layer == "explicit" else 0
        random = 300.0 * (self._rows() * 3 + self.inputs) * self.width
        return columns * (self._rows() * self.width + explicit) + random

    def __call__(self, parameters: Any, key: PRNGKeyArray) -> Statistics:
        """Statistics of one network, each with the leading axis of `parameters`."""
        for_w, for_x, for_pair, for_second = jax.random.split(key, 4)
        assert self.law.draw is not None
        w = self.law.draw(for_w, (self._rows(), self.width), self.dtype)
        x = sphere(for_x, self.width, self.inputs // len(self._signs()), self.dtype)
        second = None
        if self.second_layer == "explicit":
            second = weights(for_second, self.outputs, self.hidden, self.dtype)
            second = second / jnp.asarray(math.sqrt(self.hidden), self.dtype)
        # Held, because XLA would draw both again inside each consumer.
        w, x = lax.optimization_barrier((w, x))
        z = w @ x

        def compare(parameter: Any) -> Statistics:
            statistics: Statistics = {}
            pair = self._perturbed(parameter, for_pair, w)
            moved = [pairs.differ(changed, w) for changed in pair]
            for arm, changed, some in zip(ARMS, pair, moved, strict=True):
                after = changed @ x
                of_arm = self._arm(z, after, second)
                for where in ("", "hidden_"):
                    radial, energy = (of_arm[f"{where}{part}"] for part in ("radial", "energy"))
                    of_arm[f"{where}fraction"] = share(radial, energy, some)
                if self.controlled:
                    error, delta = changed - w, after - z
                    of_arm["error_control"] = excess(delta, delta, error, error)
                    of_arm["along_control"] = excess(z, delta, w, error)
                statistics |= {f"{arm}_{name}": value for name, value in of_arm.items()}
            if self.controlled:
                statistics |= {
                    "clean_control": excess(z, z, w, w),
                    **weight_controls(w, self.law.mean_magnitude),
                }
            top, bottom = self.ratio
            ratio = statistics[f"{top}_transverse"] / statistics[f"{bottom}_transverse"]
            # Equal matrices may differ in the last bit of their products: a ratio to that is no number.
            sound = moved[ARMS.index(bottom)] & self._turns(statistics, bottom)
            return {**statistics, "ratio": jnp.where(sound, ratio, jnp.nan)}

        # Not vmap: one rate's arrays at a time stay in cache, which is 1.1 to 1.4 times faster on a CPU
        # at widths 512 and 1024, and memory does not grow with the number of rates.
        return lax.map(compare, parameters)

    def _rows(self) -> int:
        """The number of rows of W; a gated block has the gate's and, below them, the other matrix's."""
        return self.hidden if self.gated == "no" else 2 * self.hidden

    def _perturbed(self, parameter: Any, key: PRNGKeyArray, w: Float[Array, "rows width"]) -> Any:
        if self.gated in ("no", "both"):
            return self.pair.draw(parameter, key, w)
        gate, up = w[: self.hidden], w[self.hidden :]
        if self.gated == "gate":
            return tuple(jnp.concatenate([one, up]) for one in self.pair.draw(parameter, key, gate))
        return tuple(jnp.concatenate([gate, one]) for one in self.pair.draw(parameter, key, up))

    def _hidden(self, z: Float[Array, "rows columns"]) -> Float[Array, "hidden columns"]:
        """h = φ(z), or φ(z_g)·z_u of a gated block."""
        if self.gated == "no":
            return self.activation(z)
        return self.activation(z[: self.hidden]) * z[self.hidden :]

    def _turns(self, statistics: Statistics, arm: str) -> Array:
        """Whether an error is more than a change of length (`Scale`, one active unit) and its rounding."""
        whole = 1.0 if self.difference == "finite" else statistics[f"{arm}_energy"]
        return statistics[f"{arm}_transverse"] > (8 * float(jnp.finfo(self.dtype).eps)) ** 2 * whole

    def _signs(self) -> tuple[int, ...]:
        return (1, -1) if self.antipodal else (1,)

    def _arm(
        self, z: Float[Array, "rows columns"], other: Float[Array, "rows columns"], second: Any
    ) -> Statistics:
        """Statistics of one perturbation: the mean over x and, with W(−x) = −Wx for nothing, over −x."""
        signed = [self._signed(sign * z, sign * other, second) for sign in self._signs()]
        return jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *signed)

    def _signed(
        self, z: Float[Array, "rows columns"], other: Float[Array, "rows columns"], second: Any
    ) -> Statistics:
        h, other = self._hidden(z), self._hidden(other)
        inside = energies(h, other - h)
        if self.second_layer == "integrated":
            # Of d outputs one direction is y's own; what turns within the hidden layer keeps the others.
            turns = (self.outputs - 1) / self.outputs * inside.transverse
            output = Energies(inside.energy, inside.energy - turns, turns)
        elif self.second_layer == "none":
            output = inside
        else:
            h, other = second @ h, second @ other
            output = energies(h, other - h)
        transverse = turned(h, other) if self.difference == "finite" else output.transverse
        return {
            "energy": output.energy,
            "radial": output.radial,
            "transverse": transverse,
            "hidden_energy": inside.energy,
            "hidden_radial": inside.radial,
        }
