"""What weights are before an error: a symmetric law of independent entries, as moments and as a draw."""

import functools
import hashlib
import math
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence import InvalidInput, invalid
from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.files import user_path
from signmag_jax.evidence.precision import is_traced

from .base import GAUSSIAN_MAGNITUDE, HasMoments, Moments
from .empirical import checked_weights
from .flip import SignFlip
from .grouped import Grouped
from .linear import Scale
from .magnitude import MagnitudeNoise, MagnitudeShift
from .quantize import SignQuantize

MEAN_MAGNITUDE = Interval(0.0, 1.0, open_low=True, open_high=True, fix="pass E|w|/σ of your weights")
MOMENT = Interval(1.0, fix="pass E|w|³/σ³ and E w⁴/σ⁴ of your weights, which are at least 1, or None")
DEGREES = Interval(
    2.0,
    1e9,
    open_low=True,
    fix="pass degrees of freedom above 2, for a finite variance; weights of more than 1e9 are Gaussian",
)
# Of moments, in units of what they are.
ROUNDING = 1e-12

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

    Raises:
      InvalidInput: for several laws in one, or moments that no law has.
    """

    name: str
    mean_magnitude: Any
    third: float | None = None
    fourth: float | None = None
    draw: Draw | None = None

    def __post_init__(self) -> None:
        b, known = self.mean_magnitude, [m for m in (self.third, self.fourth) if m is not None]
        if shape := np.shape(b):
            raise invalid("E|w|/σ is one number", shape, "pass a list for the layers of a chain, or use vmap")
        if is_traced(b, known):
            return
        MEAN_MAGNITUDE.require("E|w|/σ", b)
        MOMENT.require("a moment", known)
        # Twice the inequality of Cauchy and Schwarz.
        least = [1 / b, known[0] ** 2] if len(known) == 2 else []
        if any(moment < (1 - ROUNDING) * bound for moment, bound in zip(known, least, strict=False)):
            raise invalid("E|w|·E|w|³ >= σ⁴ and E w⁴·σ² >= (E|w|³)²", (b, *known), "check the moments")


def _laplace(key: PRNGKeyArray, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    # JAX's law has the variance 2, and the uniform one below 1 on (−√3, √3).
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


def student_t(degrees: float) -> Weights:
    """Student's t, scaled to variance 1: heavy tails, a fourth moment for more than 4 degrees of freedom.

    Args:
      degrees: of freedom, above 2 and at most 1e9.

    Raises:
      InvalidInput: for degrees outside.
    """
    if np.ndim(degrees):
        raise invalid("degrees is one number", degrees, "call once for each")
    DEGREES.require("degrees", degrees)
    return _student_t(float(degrees))


@functools.cache
def _student_t(nu: float) -> Weights:
    # With all digits: by its name a record knows whose it is.
    digits = np.format_float_positional(nu, trim="-")
    # What is left above 2 and 4 decides, and is that of the decimals.
    spare = Fraction(digits) - 2

    def absolute(k: int) -> float | None:
        if nu <= k:
            return None
        if k == 4:
            return float(3 * spare / (spare - 2))
        from scipy.special import gamma, poch  # slow to import, and few ask for it

        # Γ((ν − k)/2)/Γ(ν/2) as a Pochhammer symbol: from ν = 343 on either overflows by itself.
        return float(float(spare) ** (k / 2) * gamma((k + 1) / 2) * poch(nu / 2, -k / 2) / math.sqrt(math.pi))

    def draw(key: PRNGKeyArray, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        unit = math.sqrt(1 - 2 / nu)
        return jax.random.t(key, jnp.asarray(nu, dtype), shape, dtype) * jnp.asarray(unit, dtype)

    return Weights(STUDENT + digits, absolute(1), absolute(3), absolute(4), draw)


def empirical_weights(matrix: Any) -> Weights:
    """The law of a matrix's magnitudes with random signs: its moments, and draws with replacement.

    Args:
      matrix: any shape, not all zero. Of its entries' signs, which in trained matrices are symmetric to a
        few parts in a thousand, nothing is used.

    Raises:
      InvalidInput: for entries that are none, not finite or all zero, or all of one size, which have no law
        beside their signs'.
    """
    sizes = _unit_sizes(matrix)
    name = f"empirical:{hashlib.sha256(sizes.tobytes()).hexdigest()[:16]}"
    return Weights(name, *absolute_moments(sizes), Resampled(sizes))


@dataclass(frozen=True, eq=False)
class Resampled:
    """Draws from magnitudes with replacement, with random signs.

    Args:
      sizes: the magnitudes, of mean square 1.
    """

    sizes: Any

    def __call__(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: DTypeLike) -> Float[Array, "..."]:
        """Entries of that shape."""
        for_size, for_sign = jax.random.split(key)
        size = jax.random.choice(for_size, jnp.asarray(self.sizes, dtype), shape)
        return size * jax.random.rademacher(for_sign, shape, dtype)


def absolute_moments(matrix: Any) -> tuple[float, float, float]:
    """E|w|, E|w|³ and E w⁴ of a matrix's entries, in units of their root mean square.

    Raises:
      InvalidInput: for entries that are none, not finite or all zero.
    """
    sizes = _unit_sizes(matrix)
    first, third, fourth = (float(np.mean(sizes**k)) for k in (1, 3, 4))
    if first > 1 - ROUNDING:
        first = 1.0  # all of one size
    return first, third, fourth


def _unit_sizes(matrix: Any) -> Float[np.ndarray, " entries"]:
    sizes = np.abs(checked_weights(matrix).ravel())
    # By the largest first: no square over- or underflows.
    sizes = sizes / np.max(sizes)
    return sizes / np.sqrt(np.mean(sizes**2))


def _from_file(path: str) -> Weights:
    try:
        with user_path(path).open("rb") as file:
            matrix = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise invalid("a matrix in NumPy's format", path, str(error).partition("\n")[0]) from None
    try:
        return empirical_weights(matrix)
    except InvalidInput as error:
        raise InvalidInput(f"{path!r}: {error}") from None


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
        if name + colon == STUDENT and (nu := _number(degrees)) is not None:
            return student_t(nu)
        if (b := _number(weights)) is not None:
            return find_weights(b)
    elif is_traced(weights):
        return Weights("given", weights)
    elif _is_number(weights):
        MEAN_MAGNITUDE.require("E|w|/σ", weights)
        return Weights("given", float(weights))
    raise invalid(
        f"weights is one of {', '.join(NAMED)}, {STUDENT}5, a .npy file, a number E|w|/σ or perturb.Weights",
        weights,
        "pass one of these",
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _is_number(value: Any) -> bool:
    """Whether it is a real number, of Python or as an array without axes."""
    if isinstance(value, np.ndarray | jax.Array):
        return value.ndim == 0 and jnp.issubdtype(value.dtype, jnp.floating)
    return isinstance(value, Real) and not isinstance(value, bool)


def moments_under(perturbation: HasMoments, weights: Weights) -> Moments:
    """The moments of a perturbation of weights of this law.

    Raises:
      InvalidInput: for a perturbation whose moments take more of the law than b, unless it is Gaussian.
    """
    if weights == GAUSSIAN or isinstance(perturbation, SignFlip | Scale | MagnitudeNoise):
        return perturbation.moments()
    if isinstance(perturbation, MagnitudeShift | SignQuantize):
        return perturbation.moments(weights.mean_magnitude)
    if isinstance(perturbation, Grouped) and isinstance(perturbation.quantizer, SignQuantize):
        return perturbation.moments(weights.mean_magnitude)
    raise invalid(
        "a flip, factor, noise, shift or sign quantiser of weights that are not Gaussian",
        perturbation,
        "pass perturb.OnWeights(perturbation, matrix), whose moments are of the matrix",
    )
