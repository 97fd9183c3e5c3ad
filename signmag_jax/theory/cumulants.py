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

from .arguments import resolved
from .energies import relu_block
from .homogeneous import kept
from .kernel import gap, safe_sqrt
from .scaled import BEYOND, MEAN_MAGNITUDE, Scaled


class FourthCumulants(NamedTuple):
    """κ_ab of (w, w')/σ with a + b = 4: κ₄₀ = E w⁴ − 3, κ₂₂ = E w²w'² − v − 2c² and so on."""

    k40: ArrayLike
    k31: ArrayLike
    k22: ArrayLike
    k13: ArrayLike
    k04: ArrayLike


def flip_cumulants(rate: ArrayLike) -> FourthCumulants:
    """Sign flips of Gaussian weights: κ₂₂ = 8p(1−p), the others 0."""
    p = jnp.asarray(rate)
    return FourthCumulants(0 * p, 0 * p, 8 * p * (1 - p), 0 * p, 0 * p)


def shift_cumulants(size: ArrayLike) -> FourthCumulants:
    """The magnitude shift of Gaussian weights: polynomials in its size ε, with b = √(2/π)."""
    e = jnp.asarray(size)
    b = MEAN_MAGNITUDE * e
    return FourthCumulants(
        0 * e,
        -b,
        -2 * b - 2 * b**2,
        -3 * b - 6 * b**2 - 2 * b * e**2,
        -4 * b - 12 * b**2 - 8 * b * e**2 - 2 * e**4,
    )


@law()
def _kernel_change(moments: Moments, cumulants: FourthCumulants) -> Array:
    c, v, d = moments.c, moments.v, moments.noise
    k40, k31, k22, k13, k04 = map(jnp.asarray, cumulants)
    terms = (k40 * (c**2 - d), -4 * k31 * c, 6 * k22, -4 * k13 * c / v, k04 * (c**2 - d) / v**2)
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


def flip_change(moments: Scaled) -> Array:
    """ΔT/T of flips per Σ x_j⁴: −κ√D/(πT), from Δκ = √D/(4π); for use inside a law."""
    return -_kappa(moments) * safe_sqrt(moments.noise) / (jnp.pi * moments.unit * _transverse(moments))


def shift_change(moments: Scaled) -> Array:
    """ΔT/T of the shift of size 2·unit per Σ x_j⁴, for use inside a law.

    With a = 2b² − 1 and size ε the sum of the general formula is −2aε⁴(a + 2bε + ε²)/v², all lower orders
    cancelling: Δκ = −aε³(a + 2bε + ε²)/(24πkv²), k² = 1 − b².
    """
    s = moments.unit
    return 4 * s * _kappa(moments) * shift_bend(s, moments.v) / _transverse(moments)


def shift_bend(s: Any, v: Any) -> Any:
    """−Δκ/s³ per Σ x_j⁴ of the shift of size 2s: a(a + 4bs + 4s²)/(3πkv²), for arrays of either kind."""
    b = MEAN_MAGNITUDE
    a = 2 * b**2 - 1
    return a * (a + 4 * b * s + 4 * s**2) / (3 * math.pi * math.sqrt(BEYOND) * v**2)


def _kappa(moments: Scaled) -> Array:
    c, unit, _, noise = moments
    return c / 2 + unit * (unit * gap(c, unit, noise)) / (2 * jnp.pi)


def _transverse(moments: Scaled) -> Array:
    """T/unit² of the ReLU block."""
    return relu_block(moments).pair.transverse
