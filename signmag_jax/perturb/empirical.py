"""Moments of a perturbation on weights that need not be Gaussian."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num, PRNGKeyArray

from signmag_jax.evidence import invalid
from signmag_jax.evidence.precision import floating, is_traced

from .base import Moments, Perturbation, on_arrays
from .flip import SignFlip
from .linear import Scale
from .magnitude import MagnitudeNoise


def empirical_moments(
    perturbation: Perturbation,
    weights: Num[Array, "..."] | Num[np.ndarray, "..."] | Sequence[Any],
    key: PRNGKeyArray | None = None,
) -> Moments:
    """c = Σ w w'/Σ w², v = Σ w'²/Σ w², drift and noise without cancellation, for one tensor of weights.

    Flips, factors and magnitude noise do not depend on the weights' law: their expectations are exact.
    Quantisers, pruning and shifts are applied to the tensor. Anything else that is random is drawn once.

    Args:
      perturbation: a perturbation of this package or your own.
      weights: any shape, not all zero.
      key: for a random perturbation without a closed form.

    Returns:
      Scalar moments in float64.

    Raises:
      InvalidInput: for weights that are empty, not finite or all zero, or a random draw without a key.
    """
    if isinstance(perturbation, SignFlip | Scale | MagnitudeNoise):
        checked_weights(weights)
        return perturbation.moments()
    w = checked_weights(weights)
    # Evaluated even while a law that takes the moments is traced: the weights are known.
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        changed = np.asarray(perturbation.apply(jax.random.key(0) if key is None else key, jnp.asarray(w)))
        # Another key: what draws nothing gives the same again.
        again = np.asarray(perturbation.apply(jax.random.key(1), jnp.asarray(w)))
    if key is None and not np.array_equal(changed, again):
        raise invalid("key for a perturbation that draws", None, "pass key=jax.random.key(...)")
    square = np.mean(w**2)
    error = changed - w
    drift, energy = np.mean(error * w) / square, np.mean(error**2) / square
    # From the residual: energy − drift² cancels where the error is almost radial.
    noise = np.mean((error - drift * w) ** 2) / square
    return Moments(1 + drift, energy + 1 + 2 * drift, drift, noise)


def checked_weights(weights: Any) -> np.ndarray:
    """One tensor of weights in float64.

    Raises:
      InvalidInput: for weights that are empty, not finite, all zero or traced.
    """
    if is_traced(weights):
        raise invalid("weights whose values are known", "a traced array", "take moments outside of jax.jit")
    with jax.enable_x64(True):
        w = np.asarray(floating("weights", weights), dtype=np.float64)
    if not w.size or not np.all(np.isfinite(w)) or not np.any(w):
        raise invalid("weights are finite and not all 0", w.shape, "pass one tensor of weights")
    return w


class OnWeights:
    """A perturbation as it acts on one given tensor: the laws take it instead of the Gaussian's.

    `moments` are those of `empirical_moments`; `apply` is the perturbation's own.

    Args:
      perturbation, weights, key: as in `empirical_moments`.

    Raises:
      InvalidInput: as `empirical_moments` does.
    """

    def __init__(self, perturbation: Perturbation, weights: Any, key: PRNGKeyArray | None = None) -> None:
        self.perturbation = perturbation
        self._moments = empirical_moments(perturbation, weights, key)

    def moments(self) -> Moments:
        """The empirical moments."""
        return self._moments

    @on_arrays
    def apply(self, key: PRNGKeyArray, w: Float[Array, "..."]) -> Float[Array, "..."]:
        """Draw w' as the perturbation does that these moments are of."""
        return self.perturbation.apply(key, w)
