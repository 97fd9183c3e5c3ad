"""A magnitude shift taken apart: a growth that all weights of a tensor have in common, and the rest."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence import keys
from signmag_jax.evidence.precision import unit_of
from signmag_jax.perturb import Compose, MagnitudeShift, Moments, Scale, SignFlip
from signmag_jax.perturb.base import GAUSSIAN_MAGNITUDE, mean_absolute, perturbation, root_mean_square

from .pools import Pools
from .stretch import signs

SHIFT, GROWTH, REST, SCATTERED = "shift", "growth", "rest", "scattered"
SHIFT_PARTS = (SHIFT, GROWTH, REST)


@perturbation
class ShiftPart:
    """A shift w + size·σ·sign(w), times a power of its growth 1 + size·b, where b = E|w|/σ of the tensor.

    The shift's component along the weights is `size·b·w`: growth alone is w → (1 + size·b)w, and the shift
    divided by it has c = 1, so that nothing of it is common growth. Growth after the rest is the shift.

    Args:
      size: of the shift, in units of σ.
      shifted: 1, or 0 for no shift.
      power: of the growth: 0 for the shift, 1 for growth alone, −1 for the rest.
    """

    size: ArrayLike
    shifted: ArrayLike
    power: ArrayLike

    @classmethod
    def of(cls, part: str, size: ArrayLike) -> ShiftPart:
        """The part of a shift that `part`, one of `SHIFT_PARTS`, names."""
        return cls(size, *{SHIFT: (1.0, 0.0), GROWTH: (0.0, 1.0), REST: (1.0, -1.0)}[part])

    def moments(self) -> Moments:
        """Moments of a shift and a factor, under Gaussian weights."""
        return self._under(GAUSSIAN_MAGNITUDE).moments()

    def apply(self, key: PRNGKeyArray, w: Float[Array, ...]) -> Float[Array, ...]:
        """Shift the tensor by its own b; `key` is not used."""
        root = root_mean_square(w)
        b = jnp.where(root > 0, mean_absolute(w) / jnp.where(root > 0, root, 1), 0)
        return self._under(b.astype(w.dtype)).apply(key, w)

    def _under(self, b: Any) -> Compose:
        size, shifted, power = (
            jnp.asarray(x, getattr(b, "dtype", float)) for x in (self.size, self.shifted, self.power)
        )
        return Compose(MagnitudeShift(size * shifted), Scale((1 + size * b) ** power))


class Shift(NamedTuple):
    """The weight transform that shifts magnitudes, or a part of that, where layers and matrices take part.

    Args:
      part: what is done to a tensor, but for the size.
      size: by matrix and layer, in units of the matrix's root mean square.
    """

    part: ShiftPart
    size: dict[str, Float[Array, " layers"]]

    def __call__(self, weight: Float[Array, "outputs inputs"], layer: Array, name: str) -> Any:
        """The transformed weight, as `models.token_nll` asks for it."""
        if name not in self.size:
            return weight
        # At unit scale, where the squares of tiny or huge weights exist; a power of two changes no bit.
        unit = unit_of(weight)
        wide = (weight.astype(unit.dtype) / unit).astype(weight.dtype)
        part = ShiftPart(self.size[name][layer], self.part.shifted, self.part.power)
        # A shift draws nothing, so that any key will do.
        shifted = part.apply(jax.random.key(0), wide)
        return (shifted.astype(unit.dtype) * unit).astype(weight.dtype)


class Scattered(NamedTuple):
    """A shift that gives every weight's change a random sign: nothing coherent is left of it."""

    shift: Shift
    key: PRNGKeyArray

    def __call__(self, weight: Float[Array, "outputs inputs"], layer: Array, name: str) -> Any:
        """The transformed weight, as `models.token_nll` asks for it."""
        change = self.shift(weight, layer, name) - weight
        return weight + signs(keys.fold(self.key, name, layer), weight.shape, weight.dtype) * change


def matching(pools: Pools, rate: float, part: str = SHIFT) -> Shift:
    """The shift whose error has in every matrix the squared norm that flips of that rate have in the mean.

    Args:
      pools: what takes part.
      rate: of the flips.
      part: one of `SHIFT_PARTS` of that shift.
    """
    taking_part = np.isin(np.arange(pools.layers_of_model), pools.layers)
    size = jnp.asarray(MagnitudeShift.matching(SignFlip(rate)).size, jnp.float32)
    sizes = dict.fromkeys(pools.outputs, jnp.where(taking_part, size, jnp.zeros_like(size)))
    one = ShiftPart.of(part, size)
    return Shift(jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), one), sizes)
