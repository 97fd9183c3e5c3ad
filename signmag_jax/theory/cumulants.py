"""The 1/n term of any odd error of i.i.d. weights: the fourth cumulants of (w, w'), by Edgeworth's expansion.

For a unit input x the pair (z, z') = (w·x, w'·x) has the fourth cumulants κ_ab·Σ x_j⁴, and E f(z, z') changes
by Σ_j x_j⁴/24·Σ_a C(4, a) κ_ab E ∂_z^a ∂_z'^b f. For f = relu(z)relu(z') all five expectations are closed.
"""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array

from signmag_jax.evidence import invalid
from signmag_jax.evidence.precision import Real, is_traced, law
from signmag_jax.perturb import Moments

from .arguments import CUMULANTS, resolved
from .energies import relu_block
from .homogeneous import kept
from .kernel import gap, safe_sqrt
from .scaled import Scaled, WeightMoments


class FourthCumulants(NamedTuple):
    """κ_ab of (w, w')/σ with a + b = 4: κ₄₀ = E w⁴ − 3, κ₂₂ = E w²w'² − v − 2c² and so on."""

    k40: ArrayLike
    k31: ArrayLike
    k22: ArrayLike
    k13: ArrayLike
    k04: ArrayLike


@law(read=CUMULANTS)
def flip_cumulants(rate: ArrayLike, weights: Any = "gaussian") -> FourthCumulants:
    """Sign flips: κ₂₂ = 8p(1−p) + κ₄₀, κ₃₁ = κ₁₃ = (1−2p)κ₄₀, κ₀₄ = κ₄₀; of Gaussian weights κ₄₀ is 0.

    Args:
      rate: flip rate.
      weights: a law with third and fourth moments, as in `perturb.find_weights`.
    """
    return cumulants_of_flips(jnp.asarray(rate), weights)


def cumulants_of_flips(p: Array, weights: WeightMoments) -> FourthCumulants:
    """`flip_cumulants`, for use inside a law."""
    # κ₂₂ = E w⁴ − 1 − 2(1 − 2p)², multiplied out: of Gaussian weights a small rate leaves 8p(1 − p), and the
    # difference would lose it.
    excess = weights.fourth - 3 + 0 * p
    odd = (1 - 2 * p) * excess
    return FourthCumulants(excess, odd, 8 * p * (1 - p) + excess, odd, excess)


@law(read=CUMULANTS)
def shift_cumulants(size: ArrayLike, weights: Any = "gaussian") -> FourthCumulants:
    """The magnitude shift: polynomials in its size ε, with b = E|w|, h = E|w|³ − 3b and κ₄₀ = E w⁴ − 3.

    Args:
      size: in units of σ.
      weights: a law with third and fourth moments, as in `perturb.find_weights`.
    """
    return cumulants_of_shift(jnp.asarray(size), weights)


def cumulants_of_shift(e: Array, weights: WeightMoments) -> FourthCumulants:
    """`shift_cumulants`, for use inside a law."""
    # The Gaussian parts, 3v² and its like, are subtracted by hand, power by power: as numbers they would
    # cancel.
    b, h = weights.b * e, (weights.third - 3 * weights.b) * e
    excess = weights.fourth - 3 + 0 * e
    return FourthCumulants(
        excess,
        excess + h,
        excess + 2 * h - 2 * b**2,
        excess + 3 * h - 6 * b**2 - 2 * b * e**2,
        excess + 4 * h - 12 * b**2 - 8 * b * e**2 - 2 * e**4,
    )


@law()
def _kernel_change(moments: Moments, cumulants: FourthCumulants) -> Array:
    c, v, d = moments.c, moments.v, moments.noise
    k40, k31, k22, k13, k04 = map(jnp.asarray, cumulants)
    terms = (k40 * (c**2 - d), -4 * k31 * c, 6 * k22, -4 * k13 * c / v, k04 * (c**2 - d) / v**2)
    # For a small shift the five cancel down to ε⁴. `shift_bend` is the shift's own form, in which they have.
    return kept(terms[0] + terms[1] + terms[2] + terms[3] + terms[4], *terms) / (48 * jnp.pi * jnp.sqrt(d))


def kernel_change(moments: Moments, cumulants: FourthCumulants) -> Real:
    """Change of κ = E relu(z)relu(z') per Σ x_j⁴ of a unit input, to first order in it.

    With D = v − c²: [κ₄₀(c²−D) − 4κ₃₁c + 6κ₂₂ − 4κ₁₃c/v + κ₀₄(c²−D)/v²]/(48π√D). The weights need not be
    Gaussian. Σ x_j⁴ is 1/n where all |x_j| are equal, and 3/(n + 2) in the mean over the sphere.

    Args:
      moments: of the error, with noise > 0.
      cumulants: of the weights and what the error makes of them, in units of σ⁴.

    Raises:
      InvalidInput: for a noise that is not positive.
      Incomplete: where the terms cancel so far that 1e-12 is not left, as for a shift of size below 0.5.
    """
    if not is_traced(moments) and not np.all(np.asarray(moments.noise) > 0):
        raise invalid("noise > 0", moments.noise, "a factor has no term of this order")
    return resolved("kernel_change", _kernel_change(moments, cumulants))


def flip_change(moments: Scaled, weights: WeightMoments) -> Array:
    """ΔT/T of flips per Σ x_j⁴: −κ√D m₄/(3πT), from Δκ = √D m₄/(12π), m₄ = E w⁴; for use inside a law."""
    # ΔT = −4κΔκ, because E h'² = v/2 holds at every width for symmetric weights: only κ moves.
    spread = safe_sqrt(moments.noise) * (weights.fourth / 3)
    return -_kappa(moments) * spread / (jnp.pi * moments.unit * _transverse(moments))


def shift_change(moments: Scaled, weights: WeightMoments) -> Array:
    """ΔT/T of the shift of size 2·unit per Σ x_j⁴, for use inside a law."""
    s = moments.unit
    return 4 * s * _kappa(moments) * shift_bend(s, moments.v, weights) / _transverse(moments)


def shift_bend(s: Any, v: Any, weights: WeightMoments) -> Any:
    """−Δκ/s³ per Σ x_j⁴ of the shift of size ε = 2s, for arrays of either kind.

    With a = 2b² − 1, m₃ = E|w|³ and m₄ = E w⁴ the sum of the general formula is ε⁴(A + Bε + Cε²)/v², all
    lower orders cancelling: A = (2a² − 1)m₄ − 4b(2a − 1)m₃ + 4a − 1, B = 2b(2a − 1)m₄ − 8am₃ + 6b and
    C = am₄ − 4bm₃ + 4 − a. Of Gaussian weights it is −2aε⁴(a + 2bε + ε²)/v².
    """
    b, third, fourth = weights
    a = 2 * b**2 - 1
    level = (2 * a**2 - 1) * fourth - 4 * b * (2 * a - 1) * third + 4 * a - 1
    slope = 2 * b * (2 * a - 1) * fourth - 8 * a * third + 6 * b
    bend = a * fourth - 4 * b * third + 4 - a
    return -(level + 2 * slope * s + 4 * bend * s**2) / (6 * math.pi * weights.beyond**0.5 * v**2)


def _kappa(moments: Scaled) -> Array:
    c, unit, _, noise = moments
    return c / 2 + unit * (unit * gap(c, unit, noise)) / (2 * jnp.pi)


def _transverse(moments: Scaled) -> Array:
    """T/unit² of the ReLU block."""
    return relu_block(moments).pair.transverse
