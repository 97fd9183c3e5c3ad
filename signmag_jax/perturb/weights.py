"""What weights are before an error: a symmetric law of independent entries, as moments and as a draw."""

import functools
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence import invalid
from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.files import user_path
from signmag_jax.evidence.precision import is_traced

from .base import GAUSSIAN_MAGNITUDE, HasMoments, Moments
from .empirical import checked_weights
from .flip import SignFlip
from .linear import Scale
from .magnitude import MagnitudeNoise, MagnitudeShift
from .quantize import SignQuantize

MEAN_MAGNITUDE = Interval(0.0, 1.0, open_low=True, open_high=True, fix="pass E|w|/σ of your weights")
DEGREES = Interval(2.0, open_low=True, fix="pass degrees of freedom above 2, for a finite variance")

Draw = Callable[[PRNGKeyArray, tuple[int, ...], DTypeLike], Float[Array, "..."]]


@dataclass(frozen=True)
class Weights:
    """A symmetric law of independent weights, in units of their standard deviation σ.

    Laws of infinite width see `mean_magnitude` alone, those of finite width the other two besides.

    Args:
      name: by which records know it.
      mean_magnitude: b = E|w|/σ, in (0, 1); 1 − b² is what of sign(w) is not along w.
      third: E|w|³/σ³; None where it is not known or infinite.
      fourth: E w⁴/σ⁴; None likewise.
      draw: entries of variance 1, from a key, a shape and a dtype; None where only moments are known.
    """

    name: str
    mean_magnitude: Any
    third: float | None = None
    fourth: float | None = None
    draw: Draw | None = None

    def __post_init__(self) -> None:
        if not is_traced(self.mean_magnitude):
            MEAN_MAGNITUDE.require("E|w|/σ", self.mean_magnitude)


def _laplace(key: PRNGKeyArray, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    return jax.random.laplace(key, shape, dtype) / jnp.asarray(math.sqrt(2), dtype)


def _uniform(key: PRNGKeyArray, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    return jax.random.uniform(key, shape, dtype, -math.sqrt(3), math.sqrt(3))


GAUSSIAN = Weights("gaussian", GAUSSIAN_MAGNITUDE, 2 * GAUSSIAN_MAGNITUDE, 3.0, jax.random.normal)
NAMED = {
    "gaussian": GAUSSIAN,
    "laplace": Weights("laplace", math.sqrt(0.5), math.sqrt(4.5), 6.0, _laplace),
    "uniform": Weights("uniform", math.sqrt(0.75), math.sqrt(27 / 16), 1.8, _uniform),
}
STUDENT = "student_t:"


@functools.cache
def student_t(degrees: float) -> Weights:
    """Student's t, scaled to variance 1: heavy tails, a fourth moment for more than 4 degrees of freedom.

    Args:
      degrees: of freedom, above 2.

    Raises:
      InvalidInput: for 2 degrees or fewer.
    """
    DEGREES.require("degrees", degrees)
    nu = float(degrees)

    def absolute(k: int) -> float | None:
        if nu <= k:
            return None
        from scipy.special import gamma, poch  # slow to import, and few ask for it

        return float((nu - 2) ** (k / 2) * gamma((k + 1) / 2) * poch(nu / 2, -k / 2) / math.sqrt(math.pi))

    def draw(key: PRNGKeyArray, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        unit = math.sqrt(1 - 2 / nu)
        return jax.random.t(key, jnp.asarray(nu, dtype), shape, dtype) * jnp.asarray(unit, dtype)

    return Weights(f"{STUDENT}{nu:g}", absolute(1), absolute(3), absolute(4), draw)


def empirical_weights(matrix: Any) -> Weights:
    """The law of a matrix's entries in random places: its moments, and draws with replacement.

    Args:
      matrix: any shape, not all zero. Signs are taken to be symmetric, as they are of trained matrices to a
        few parts in a thousand.

    Raises:
      InvalidInput: for entries that are none, not finite or all zero, or all of one size, which have no law
        beside their signs'.
    """
    w = checked_weights(matrix).ravel()
    first, third, fourth = absolute_moments(w)
    w = w / np.sqrt(np.mean(w**2))

    def draw(key: PRNGKeyArray, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        return jax.random.choice(key, jnp.asarray(w, dtype), shape)

    return Weights(f"empirical:{hashlib.sha256(w.tobytes()).hexdigest()[:16]}", first, third, fourth, draw)


def absolute_moments(matrix: Any) -> tuple[float, float, float]:
    """E|w|, E|w|³ and E w⁴ of a matrix's entries, in units of their root mean square.

    Raises:
      InvalidInput: for entries that are none, not finite or all zero.
    """
    w = np.abs(checked_weights(matrix))
    w = w / np.sqrt(np.mean(w**2))
    first, third, fourth = (float(np.mean(w**k)) for k in (1, 3, 4))
    return first, third, fourth


def _from_file(path: str) -> Weights:
    try:
        return empirical_weights(np.load(user_path(path), allow_pickle=False))
    except (OSError, ValueError) as error:
        raise invalid("a matrix in NumPy's format", path, str(error).partition("\n")[0]) from None


def find_weights(weights: Any) -> Weights:
    """Weights by name, by b = E|w|/σ, or as they are.

    Args:
      weights: "gaussian", "laplace", "uniform", "student_t:5" (or more or fewer degrees of freedom), the path
        of a matrix in NumPy's format, "w.npy", for `empirical_weights` of it, a number b in (0, 1), which
        laws of infinite width take, or `Weights`.

    Raises:
      InvalidInput: for anything else.
    """
    if isinstance(weights, Weights):
        return weights
    if isinstance(weights, str):
        if weights in NAMED:
            return NAMED[weights]
        if weights.endswith(".npy"):
            return _from_file(weights)
        name, colon, degrees = weights.partition(":")
        if name + colon == STUDENT:
            try:
                return student_t(float(degrees))
            except ValueError:
                pass
    elif is_traced(weights):
        return Weights("given", weights)
    elif isinstance(weights, Real) and not isinstance(weights, bool):
        MEAN_MAGNITUDE.require("E|w|/σ", weights)
        return Weights("given", float(weights))
    raise invalid(
        f"weights is one of {', '.join(NAMED)}, {STUDENT}5, a .npy file, a number E|w|/σ or perturb.Weights",
        weights,
        "pass one of these",
    )


def moments_under(perturbation: HasMoments, weights: Weights) -> Moments:
    """The moments of a perturbation of weights of this law.

    Raises:
      InvalidInput: for a perturbation whose moments take more of the law than b, unless it is Gaussian.
    """
    if weights == GAUSSIAN or isinstance(perturbation, SignFlip | Scale | MagnitudeNoise):
        return perturbation.moments()
    if isinstance(perturbation, MagnitudeShift | SignQuantize):
        return perturbation.moments(weights.mean_magnitude)
    raise invalid(
        "a flip, factor, noise, shift or sign quantiser of weights that are not Gaussian",
        perturbation,
        "pass perturb.OnWeights(perturbation, matrix), whose moments are of the matrix",
    )
