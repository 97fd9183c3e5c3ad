"""What every law asks of its arguments, and what it says where float64 does not resolve its value."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from signmag_jax.evidence import Incomplete, invalid
from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import is_traced
from signmag_jax.perturb import (
    HasMoments,
    MagnitudeNoise,
    MagnitudeShift,
    Moments,
    SignFlip,
    find_weights,
    moments_under,
)
from signmag_jax.perturb.base import MOMENT
from signmag_jax.perturb.weights import MEAN_MAGNITUDE

from .scaled import Scaled, WeightMoments, of_flips, of_noise, of_shift

RATE = Interval(0.0, 0.5, open_low=True, fix="pass a flip rate in (0, 1/2]")
# XLA may count subnormal numbers as 0: whoever divides by the rate refuses them.
NORMAL_RATE = Interval(0.0, 0.5, open_low=True, normal=True, fix="pass a flip rate from 2.3e-308 to 1/2")
FLIPS = Interval(0.0, 1.0, normal=True, fix="pass a flip rate of 0 or from 2.3e-308 to 1")
SCALE = Interval(0.0, open_low=True, fix="pass the standard deviation of the pre-activations")
# Up to 1e150 the square is a number of float64.
SIZE = Interval(-1e150, 1e150, normal=True, fix="pass a size of 0 or at least 2.3e-308, and at most 1e150")
LARGEST_SQUARE = 0.08
"""Largest squared error: beyond it an expansion may be off by more than a tenth."""
# The square of a smaller error underflows, and with it what distinguishes a shift from a factor.
SMALLEST_ERROR = 1e-150


def weight_moments(weights: Any) -> WeightMoments:
    """What a law of infinite width sees of weights that are given by name, by b or as they are.

    Raises:
      InvalidInput: as `perturb.find_weights` does.
    """
    law = find_weights(weights)
    b = law.mean_magnitude
    if is_traced(b):
        # A traced b cannot be refused: outside (0, 1) it is NaN, and so is what follows.
        b = b * jnp.where(MEAN_MAGNITUDE.contains(b), 1, jnp.nan)
    return WeightMoments(b)


def weight_cumulants(weights: Any) -> WeightMoments:
    """What a law of finite width sees of them: third and fourth moments besides.

    Raises:
      InvalidInput: where they are not known, as of a number b alone, or infinite.
    """
    law = find_weights(weights)
    check_known(law.third, law.fourth)
    return WeightMoments(law.mean_magnitude, law.third, law.fourth)


def check_known(third: Any, fourth: Any) -> None:
    """Refuse weights of which a law of finite width knows too little.

    Raises:
      InvalidInput: unless both moments are known.
    """
    if third is None or fourth is None:
        raise invalid(
            "weights with finite E|w|³ and E w⁴ for a law of finite width",
            (third, fourth),
            "pass a name, perturb.empirical_weights(matrix) or perturb.Weights with these",
        )


WEIGHTS = {"weights": weight_moments}
CUMULANTS = {"weights": weight_cumulants}
"""How a law reads its argument `weights`, at infinite and at finite width."""


def error_of(perturbation: Any, weights: Any = "gaussian") -> Moments | Scaled:
    """The moments of a perturbation that a law is asked about, in units of the error where it has a size.

    Raises:
      InvalidInput: as `moments_of`; and for an error, other than a flip, a shift or noise, of a size that is
        not 0 and below 1e-150, or for v = 0 beside c != 0: it has underflown.
    """
    law = find_weights(weights)
    if isinstance(perturbation, SignFlip):
        if not is_traced(perturbation.rate):
            FLIPS.require("rate", perturbation.rate)
        return of_flips(moments_of(perturbation))
    if isinstance(perturbation, MagnitudeShift | MagnitudeNoise):
        if not is_traced(perturbation.size):
            SIZE.require("size", perturbation.size)
        moments = moments_under(perturbation, law)
        if isinstance(perturbation, MagnitudeNoise):
            return of_noise(perturbation.size, moments)
        return of_shift(perturbation.size, moments, weight_moments(law))
    moments = moments_of(perturbation, law)
    if not is_traced(moments):
        _check_size(moments)
    return moments


def moments_of(perturbation: Any, weights: Any = "gaussian") -> Moments:
    """The moments of a perturbation that a law is asked about.

    Raises:
      InvalidInput: for what has no moments, or moments that are not finite or break Cauchy–Schwarz (up to
        rounding).
    """
    if not isinstance(perturbation, HasMoments) or isinstance(perturbation, type):
        raise invalid("perturbation has moments()", perturbation, "pass one of `signmag_jax.perturb`")
    moments = moments_under(perturbation, find_weights(weights))
    if not isinstance(moments, Moments):
        raise invalid("moments() returns `perturb.Moments`", moments, "return Moments(c, v, drift, noise)")
    if not is_traced(moments):
        _check(moments)
    return moments


def _check(moments: Moments) -> None:
    for name, value in zip(Moments._fields, moments, strict=True):
        MOMENT.require(name, value)
    c, noise = (np.asarray(value, dtype=np.float64) for value in (moments.c, moments.noise))
    # Cauchy and Schwarz, but for the rounding of whoever formed v − c².
    if np.any(noise + 1e-12 * np.square(c) < 0):
        raise invalid("noise = v - c**2 >= 0", float(np.min(noise)), "check the perturbation's moments")


def _check_size(moments: Moments) -> None:
    c, v, drift, noise = (np.asarray(value, dtype=np.float64) for value in moments)
    size = np.maximum(np.abs(drift), np.sqrt(np.maximum(noise, 0)))
    if np.any((size > 0) & (size < SMALLEST_ERROR)) or np.any((v == 0) & (c != 0)):
        raise invalid(
            f"an error of size 0 or >= {SMALLEST_ERROR:g}, and v = 0 only with c = 0",
            float(np.min(size)),
            "the moments of smaller ones underflow; ratios and fractions are at their limits long before",
        )


def shape_of(name: str, value: Any) -> tuple[int, ...]:
    """The shape of numbers, arrays and lists.

    Raises:
      InvalidInput: for lists of unequal length, and arrays of which something is masked.
    """
    if np.ma.is_masked(value):
        raise invalid(f"{name} is a number or an array", value, "fill in what is masked")
    try:
        return np.shape(value)
    except ValueError:
        raise invalid(f"{name} is a number or an array", value, "pass lists of equal length") from None


def check_many_flips(rate: ArrayLike, effective: float) -> None:
    """Refuse a first order in 1/n where a row holds less than one effective flip.

    Raises:
      InvalidInput: naming rate times the effective number of inputs, ‖x‖⁴/Σx_j⁴; for a concrete rate that is
        none.
    """
    if not is_traced(rate):
        RATE.require("rate", rate)
    if not is_traced(rate, effective) and not np.all(np.asarray(rate, dtype=np.float64) * effective >= 1):
        raise invalid(
            "rate·‖x‖⁴/Σx_j⁴ >= 1 for an expansion in it, (n + 2)/3 for ‖x‖⁴/Σx_j⁴ on the sphere",
            float(np.min(rate) * effective),
            "take the law itself",
        )


def check_first_order(rate: ArrayLike, effective: float, fourth: float) -> None:
    """Refuse weights that are not Gaussian where their law is more than its first order in 1/n.

    Raises:
      InvalidInput: naming 4·rate/E w⁴ times the effective number of inputs, ‖x‖⁴/Σx_j⁴.
    """
    flips = 4 * np.asarray(rate, dtype=np.float64) * effective / fourth
    if not np.all(flips >= 1):
        raise invalid(
            "4·rate·(‖x‖⁴/Σx_j⁴)/E w⁴ >= 1 for weights that are not Gaussian, (n + 2)/3 for ‖x‖⁴/Σx_j⁴ on "
            "the sphere",
            float(np.min(flips)),
            "raise the rate or the width: the law is a first order in 1/n, and with so few flips in a row "
            "sixth moments count, which heavy tails lack",
        )


def check_small_error(square: Any) -> None:
    """Refuse a first order in the error where it is large.

    Raises:
      InvalidInput: naming the squared norm of the error.
    """
    if not is_traced(square) and not np.all(np.asarray(square) <= LARGEST_SQUARE):
        raise invalid(
            f"drift**2 + noise <= {LARGEST_SQUARE:g} for an expansion in it",
            float(np.max(square)),
            "take radial_fraction",
        )


def check_scale(scale: ArrayLike) -> None:
    """Refuse a concrete scale that is not one positive number.

    Raises:
      InvalidInput: naming it.
    """
    if shape_of("scale", scale) != ():
        raise invalid("scale is one number", scale, "call once for each scale")
    if not is_traced(scale):
        SCALE.require("scale", scale)


def resolved(name: str, value: Any) -> Any:
    """A law's value, where float64 resolves it.

    Raises:
      Incomplete: for a concrete value of which an element is NaN or infinite.
    """
    if not is_traced(value) and not np.all(np.isfinite(value)):
        raise Incomplete(
            f"{name}: float64 does not resolve it at these arguments, or hold it; take theory.enclose, if it "
            "has a ball"
        )
    return value
