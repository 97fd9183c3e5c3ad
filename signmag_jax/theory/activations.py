"""Activations: each is what it does to a pair of correlated Gaussians.

Closed forms for the ReLU family; smooth activations go through a trapezoidal rule on the plane, which for
functions that are analytic around the real axis converges faster than any power of the step.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf
from jaxtyping import Array

from signmag_jax.evidence import invalid
from signmag_jax.evidence.precision import is_traced
from signmag_jax.perturb import Moments

from .kernel import gap, safe_sqrt, second_gap
from .quadrature import SecondMoments, Smooth, derivative_of


def stretch(moments: Moments) -> Array:
    """√v − 1 without cancellation."""
    # √v − 1 = (v − 1)/(1 + √v), and v − 1 from drift and noise keeps its digits at small errors.
    growth = moments.drift * (2 + moments.drift) + moments.noise
    return growth / (1 + safe_sqrt(moments.c**2 + moments.noise))


@dataclass(frozen=True)
class Activation:
    """An activation by its action on a Gaussian pair.

    Args:
      name: how it is called.
      pair: moments in units of the pre-activation variance, and that standard deviation, to `SecondMoments`.
    """

    name: str
    pair: Callable[[Moments, Any], SecondMoments]

    @property
    def by_quadrature(self) -> bool:
        """Whether its moments are integrals on the plane and not closed forms."""
        return isinstance(self.pair, Smooth)

    def resolved(self, scale: Any, moments: Moments | None = None) -> "Activation":
        """The activation with a quadrature that is fine enough; closed forms as they are.

        Args:
          scale: standard deviation of the clean pre-activations.
          moments: of the perturbation. Without, or traced, √v may be up to that of the shift that matches
            flips of half of all signs, 2.29; results beyond are NaN.

        Raises:
          InvalidInput: for a scale beyond the finest quadrature, or an activation without second moment.
        """
        if not isinstance(self.pair, Smooth):
            return self
        if moments is None or is_traced(moments):
            return replace(self, pair=self.pair.resolved(scale))
        # The clean pre-activations have deviation 1 themselves, however small v is.
        growth = float(np.sqrt(np.max(moments.v, initial=1.0)))
        return replace(self, pair=self.pair.resolved(scale, growth))


def leaky_relu(slope: float = 0.01) -> Activation:
    """max(z, 0) + slope·min(z, 0); slope 0 is ReLU, 1 the identity, −1 the absolute value.

    With ν = (1 + slope²)/2 and w = (1 − slope)²g/(2π): E hh' = νc + w, energy ν(drift² + noise) − 2w,
    transverse ν·noise − 2cw − w²/ν, all times the variance.

    Raises:
      InvalidInput: for a slope that is not finite.
    """
    if not math.isfinite(slope):
        raise invalid("slope is finite", slope, "pass a number")
    name = {0.0: "relu", 1.0: "identity"}.get(float(slope), f"leaky_relu({slope:g})")
    return Activation(name, _Leaky(float(slope)))


@dataclass(frozen=True)
class _Leaky:
    slope: float

    def __call__(self, moments: Moments, scale: Any) -> SecondMoments:
        c, noise, drift = moments.c, moments.noise, moments.drift
        nu, square = (1 + self.slope**2) / 2, scale**2
        mean = scale * (1 - self.slope) / math.sqrt(2 * math.pi)
        # Only the kink, a jump of 1 − slope in the derivative, opens a gap; the linear part is exact.
        w = (1 - self.slope) ** 2 * gap(c, noise) / (2 * jnp.pi)
        return SecondMoments(
            energy=square * (nu * (drift**2 + noise) - 2 * w),
            alignment=square * (nu * drift + w),
            transverse=square * (nu * noise - 2 * c * w - w**2 / nu),
            # + 0·c: constants take the shape of the moments.
            signal=square * nu + 0 * c,
            perturbed=square * nu * (c**2 + noise),
            overlap=square * (nu * c + w),
            mean=mean + 0 * c,
            mean_shift=mean * stretch(moments),
        )


@dataclass(frozen=True)
class _SquaredReLU:
    def __call__(self, moments: Moments, scale: Any) -> SecondMoments:
        """E hh' = (3c² + noise)/2 + g₂/(2π), the degree-2 arc-cosine kernel, times the variance squared."""
        c, noise, fourth = moments.c, moments.noise, scale**4
        # c² − 1 from the drift: in no sum below do near equals cancel at small errors.
        growth = moments.drift * (2 + moments.drift)
        g = second_gap(c, noise) / jnp.pi
        w = (noise + g) / 2
        return SecondMoments(
            energy=fourth * (1.5 * growth**2 + noise * (3 * c**2 - 1) + 1.5 * noise**2 - g),
            alignment=fourth * (1.5 * growth + w),
            transverse=fourth * (2 * c**2 * noise + 1.5 * noise**2 - c**2 * g - 2 / 3 * w**2),
            signal=1.5 * fourth + 0 * c,
            perturbed=1.5 * fourth * (c**2 + noise) ** 2,
            overlap=fourth * (1.5 * c**2 + w),
            mean=scale**2 / 2 + 0 * c,
            mean_shift=scale**2 / 2 * (growth + noise),
        )


def smooth(
    name: str,
    function: Callable[[Array], Array],
    derivative: Callable[[Array], Array] | None = None,
    analytic: float = math.inf,
) -> Activation:
    """An activation that is analytic in the strip |Im z| < `analytic`, by quadrature on the plane.

    Trapezoidal rule of step s on [−9, 9]² in standard normal coordinates. What is cut away weighs below
    1e-18; the discretisation errs by about 2exp(−2π·d/s + d²/2) relative to the integrand's size on the lines
    |Im| = d, and s is halved until this is below 1e-14 at d = analytic/(scale·√v). Differences
    φ(z') − φ(z) are integrals of φ' where z' is near z, so that small errors keep their digits. The bound
    stated for each energy is 1e-10, relative. First derivatives with respect to moments and scale are
    expectations of their own, by the same rule (Price's theorem), and exist at noise = 0 too.

    Args:
      name: how it is called.
      function: elementwise, of an array.
      derivative: elementwise; by default JAX's.
      analytic: distance of the nearest singularity to the real axis; of an entire function, a distance at
        which it is still of the size that it has on the axis.

    Raises:
      InvalidInput: unless `analytic` > 0.
    """
    if not analytic > 0:
        raise invalid("analytic > 0", analytic, "pass the half-width of the strip; kinks are not smooth")
    return Activation(name, Smooth(function, derivative or derivative_of(function), analytic))


def _silu_slope(z: Array) -> Array:
    gate = jax.nn.sigmoid(z)
    return gate * (1 + z * (1 - gate))


def _gelu(z: Array) -> Array:
    return z * (1 + erf(z / math.sqrt(2))) / 2


def _gelu_slope(z: Array) -> Array:
    return (1 + erf(z / math.sqrt(2))) / 2 + z * jnp.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


ACTIVATIONS: dict[str, Activation] = {
    "relu": leaky_relu(0.0),
    "leaky_relu": replace(leaky_relu(), name="leaky_relu"),
    "relu_squared": Activation("relu_squared", _SquaredReLU()),
    "identity": leaky_relu(1.0),
    # Entire, but of size exp(y²/2) and exp(y²) at distance y from the axis.
    "gelu": smooth("gelu", _gelu, _gelu_slope, analytic=2.0),
    "erf": smooth("erf", erf, lambda z: 2 / math.sqrt(math.pi) * jnp.exp(-(z**2)), analytic=math.sqrt(2)),
    "silu": smooth("silu", jax.nn.silu, _silu_slope, analytic=math.pi),
    "tanh": smooth("tanh", jnp.tanh, lambda z: 1 / jnp.cosh(z) ** 2, analytic=math.pi / 2),
}


def find_activation(activation: "str | Activation") -> Activation:
    """The activation of that name, or the one given.

    Raises:
      InvalidInput: for an unknown name.
    """
    if isinstance(activation, Activation):
        return activation
    if activation not in ACTIVATIONS:
        raise invalid(f"activation in {tuple(ACTIVATIONS)}", activation, "choose one, or pass an Activation")
    return ACTIVATIONS[activation]
