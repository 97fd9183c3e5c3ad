"""Quantisers whose scale is that of a row, or of a few neighbours in it, not of the whole tensor."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence import invalid
from signmag_jax.evidence.precision import law

from .base import GAUSSIAN_MAGNITUDE, Moments, Perturbation, perturbation
from .quantize import SignQuantize
from .uniform import UniformQuantize

ROW = "row"


@perturbation
class Grouped:
    """A quantiser with statistics of its own for every `size` neighbours in a row, or for every row.

    Rows run along the last axis; where one is not a multiple of the group, its last group is shorter. With
    b = E|w|/σ, √(2/π) of Gaussian weights, the sign quantiser has c = v = b² + (1 − b²)/size: a group's own
    mean|w| knows of each of its weights. Signs are independent of magnitudes, so that a weight's error is
    uncorrelated with the other weights of its group, and their errors.

    Args:
      quantizer: what is done to each group.
      size: of a group, at least 2, or "row".

    Raises:
      InvalidInput: for another size; from `moments`, for a quantiser whose moments in groups have no closed
        form: known are those of `SignQuantize` and of `UniformQuantize` to the group's maximum, and per row
        those of all, for rows are long.
    """

    quantizer: Perturbation
    size: int | str

    STATIC: ClassVar[tuple[str, ...]] = ("size",)

    def __post_init__(self) -> None:
        size = self.size
        if size != ROW and (isinstance(size, bool) or not isinstance(size, int) or size < 2):
            raise invalid(f"size is an integer of at least 2, or {ROW!r}", size, "pass a size like 32")

    def moments(self, mean_magnitude: ArrayLike = GAUSSIAN_MAGNITUDE) -> Moments:
        """The moments in groups of weights with this b, which no quantiser but the sign's takes."""
        one = self.quantizer
        if isinstance(one, SignQuantize):
            if isinstance(self.size, str):
                return one.moments(mean_magnitude)
            return _signs(mean_magnitude, self.size)
        if isinstance(self.size, str):
            return one.moments()
        if isinstance(one, UniformQuantize) and isinstance(one.scale, str) and one.scale == "absmax":
            return dataclasses.replace(one, entries=self.size).moments()
        raise invalid(
            "the moments of a sign quantiser in groups, or of a uniform one to their maxima",
            one,
            "pass perturb.OnWeights(perturbation, matrix), whose moments are of the matrix",
        )

    def apply(self, key: PRNGKeyArray, w: Float[Array, "*rows width"]) -> Float[Array, "*rows width"]:
        """Quantise each group by itself."""
        width = w.shape[-1]
        size = width if isinstance(self.size, str) else min(self.size, width)
        # The rows of whole groups as one table of groups; what is left over is a table of its own.
        whole = width - width % size if size else 0
        parts = [part for part in (w[..., :whole], w[..., whole:]) if part.shape[-1]]
        sizes = [min(size, part.shape[-1]) for part in parts]
        keys = jax.random.split(key, max(len(parts), 1))
        changed = [self._each(*one) for one in zip(keys, parts, sizes, strict=False)]
        return jnp.concatenate(changed, axis=-1) if changed else w

    def _each(self, key: PRNGKeyArray, w: Array, size: int) -> Array:
        groups = w.reshape(-1, size)
        changed = jax.vmap(self.quantizer.apply)(jax.random.split(key, len(groups)), groups)
        return changed.reshape(w.shape)


@law()
def _signs(mean_magnitude: ArrayLike, size: ArrayLike) -> Moments:
    b = jnp.asarray(mean_magnitude)
    beyond, lost = (1 - b) * (1 + b), 1 - 1 / jnp.asarray(size)
    # 1 − c = (1 − b²)(1 − 1/size) and c − c² = c(1 − c), as products: neither is a difference of near equals.
    c = b**2 + beyond / size
    return Moments(c, c, -beyond * lost, c * (beyond * lost))
